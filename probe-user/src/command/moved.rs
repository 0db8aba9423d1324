//! Commands and options of earlier versions: for one release they say where they went.

use std::convert::Infallible;
use std::env;
use std::process::ExitCode;

/// Each, and the command that does the same now.
const MOVED: [(&str, &str); 4] = [
    ("a-a", "validate a-a"),
    ("calibrate", "validate probes"),
    ("compare", "report RUN RUN…"),
    ("truth", "validate truth"),
];

/// How clap ends where the command line is wrong.
const USAGE: u8 = 2;

/// If the command line calls a command that has moved, with whatever options, says so and how to end.
pub fn refuse_moved() -> Option<ExitCode> {
    let called = env::args_os().nth(1)?;
    let (former, now) = MOVED.iter().find(|(former, _)| called == *former)?;
    eprintln!("probe-user: '{former}' has moved: use 'probe-user {now}'");
    Some(ExitCode::from(USAGE))
}

/// Refuses what comparisons had for `--trim`.
pub fn refuse_trim(_: &str) -> Result<Infallible, &'static str> {
    Err(
        "comparisons leave nothing out any more: they show what response times have up to a threshold, and what is \
         above it, side by side",
    )
}
