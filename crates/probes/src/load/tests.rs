use std::io;

use super::*;

fn fails_with(errno: i32) -> anyhow::Result<()> {
    Err(ProgramError::LoadError {
        io_error: io::Error::from_raw_os_error(errno),
        verifier_log: aya_obj::VerifierLog::new(String::new()),
    }
    .into())
}

#[test]
fn a_message_keeps_the_end_of_the_verifiers_log() {
    let log: Vec<String> = (0..1_000)
        .map(|line| format!("{line}: (bf) r9 = r1"))
        .collect();
    let message = format!(
        "refused. Verifier output: {}\nR9 is bad\ntime 1\ninsns 2",
        log.join("\n")
    );
    let expected = "refused. Verifier output: 0: (bf) r9 = r1 […] R9 is bad time 1 insns 2";
    assert_eq!(brief(&message), expected);
    assert_eq!(brief("two\nlines"), "two\nlines");
}

#[test]
fn an_interrupted_load_is_done_again_and_no_other() {
    let mut tries = 0;
    let loaded = load(|| {
        tries += 1;
        if tries < 3 {
            fails_with(libc::EAGAIN)
        } else {
            Ok(())
        }
    });
    assert!(loaded.is_ok());
    assert_eq!(tries, 3);

    let mut tries = 0;
    let refused = load(|| {
        tries += 1;
        fails_with(libc::EINVAL)
    });
    assert!(refused.is_err());
    assert_eq!(tries, 1);
}
