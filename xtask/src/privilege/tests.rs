use std::cell::RefCell;

use super::*;

/// What is found, and how often sudo ran, with a sudo that succeeds only when given this.
fn found(may_ask: bool, succeeds: &str) -> (Privilege, usize) {
    let asked = RefCell::new(0);
    let privilege = through_sudo(may_ask, |arguments| {
        *asked.borrow_mut() += 1;
        arguments.join(" ") == succeeds
    });
    (privilege, asked.into_inner())
}

#[test]
fn a_user_whom_sudo_does_not_know_goes_on_without_root() {
    assert_eq!(found(true, "nothing"), (Privilege::None, 2));
    assert_eq!(found(false, "nothing"), (Privilege::None, 1));
}

#[test]
fn nobody_is_asked_without_need_or_terminal() {
    assert_eq!(found(true, "-n true"), (Privilege::Sudo, 1));
    assert_eq!(found(true, "-v"), (Privilege::Sudo, 2));
    assert_eq!(found(false, "-v"), (Privilege::None, 1));
}

#[test]
fn sudo_keeps_every_variable_of_ours_that_is_set() {
    let option = |names: &[&str]| preserve_env(names.iter().map(Into::into));
    assert_eq!(
        option(&[
            "PATH",
            "READHOOK_FUNCTIONS",
            "HOOKPROBE_PAPER_DATA",
            "MY_READHOOK_MODE"
        ])
        .as_deref(),
        Some("--preserve-env=READHOOK_FUNCTIONS,HOOKPROBE_PAPER_DATA")
    );
    assert_eq!(option(&["PATH", "LD_PRELOAD"]), None);
}

#[test]
fn exit_codes_are_passed_on() {
    assert_eq!(NOT_USABLE, cli::End::NotUsable.code());
    let code = |script: &str| code_of(Command::new("sh").args(["-c", script]).status().unwrap());
    assert_eq!(code("exit 3"), 3);
    assert_eq!(code("kill -KILL $$"), 128 + 9);
}
