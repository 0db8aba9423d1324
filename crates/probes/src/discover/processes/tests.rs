use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

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
fn what_a_process_has_started_is_found() {
    let mut shell = Command::new("sh")
        .args(["-c", "cat; :"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // What comes back says that the shell's own child is there.
    shell.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    let mut back = [0];
    shell
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut back)
        .unwrap();
    let pid = Pid::try_from(shell.id()).unwrap();
    let found = descendants(pid);
    assert_eq!((found.len(), found[0]), (2, pid));
    assert!(descends_from(found[1], pid));
    drop(shell.stdin.take());
    shell.wait().unwrap();
    assert_eq!(descendants(i32::MAX), [i32::MAX]);
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
