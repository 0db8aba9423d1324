use std::ffi::OsString;

use super::*;

fn shell(script: &str) -> Invocation {
    Invocation {
        words: ["sh", "-c", script].map(OsString::from).into(),
        variables: Vec::new(),
    }
}

#[test]
fn it_waits_for_the_word_and_then_uses_cpu_time() {
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let script = format!(
        "echo $$ > {}; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done",
        begun.display()
    );
    let mut gated = Gated::start(&shell(&script), 0, folder.path()).unwrap();
    let pid = gated.pid();
    // No event tells that nothing begins.
    sleep(Duration::from_millis(100));
    assert!(!begun.exists());
    gated.go().unwrap();
    let ended = gated.wait(Duration::from_mins(1), &AtomicBool::new(false));
    let (status, cpu) = ended.unwrap().unwrap();
    assert!(status.success());
    assert!(cpu > Duration::from_millis(10), "{cpu:?}");
    let written = std::fs::read_to_string(&begun).unwrap();
    assert_eq!(written.trim(), pid.to_string(), "the same process");
}

#[test]
fn one_that_does_not_end_is_an_error_and_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut gated = Gated::start(&shell("sleep 100"), 0, folder.path()).unwrap();
    gated.go().unwrap();
    let error = gated.wait(Duration::from_millis(50), &AtomicBool::new(false));
    assert!(error.unwrap_err().to_string().contains("has not ended"));
    let gated = Gated::start(&shell("sleep 100"), 0, folder.path()).unwrap();
    assert!(
        gated
            .wait(Duration::from_mins(1), &AtomicBool::new(true))
            .unwrap()
            .is_none()
    );
}
