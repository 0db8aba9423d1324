use std::net::TcpListener;

use super::*;

fn own_pid() -> Pid {
    Pid::try_from(std::process::id()).unwrap()
}

#[test]
fn this_process_is_found_each_way() {
    assert_eq!(by_pid(own_pid()).unwrap(), [own_pid()]);
    let exe = std::env::current_exe().unwrap();
    assert!(by_executable(&exe).unwrap().contains(&own_pid()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(by_port(port).unwrap(), [own_pid()]);
    assert!(descends_from(own_pid(), own_pid()));
    assert!(!descends_from(1, own_pid()));
}

#[test]
fn a_thread_is_told_from_a_process() {
    let thread = std::thread::spawn(|| {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        by_pid(tid).unwrap_err().to_string()
    });
    let error = thread.join().unwrap();
    assert!(
        error.contains(&format!("thread of process {}", own_pid())),
        "{error}"
    );
}

#[test]
fn what_is_not_there_is_an_error_that_names_it() {
    assert!(
        by_pid(i32::MAX)
            .unwrap_err()
            .to_string()
            .contains("2147483647")
    );
    let error = by_executable(Path::new("/nonexistent/program")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/program"));
    let error = by_executable(Path::new("/etc/passwd")).unwrap_err();
    assert_eq!(error.to_string(), "no process runs /etc/passwd");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert!(
        by_port(port)
            .unwrap_err()
            .to_string()
            .contains(&port.to_string())
    );
}
