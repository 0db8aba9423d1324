//! Loading a program in spite of signals.

use anyhow::Context as _;
use aya::programs::ProgramError;

/// How often to try.
const TRIES: u32 = 20;

/// Loads a program by `load`, and once more for each time that a signal came in between: the kernel then
/// gives up verifying and answers EAGAIN. A child that ends is signal enough.
pub fn load(mut load: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    for _ in 1..TRIES {
        match load() {
            Err(error) if was_interrupted(&error) => {}
            result => return result,
        }
    }
    load().with_context(|| format!("interrupted {TRIES} times"))
}

/// Lines of the verifier's log that a message keeps: why it refuses stands at its end.
const LAST_LINES: usize = 3;

/// A message without all but the last lines of the verifier's log, which may be thousands.
pub fn brief(message: &str) -> String {
    let lines: Vec<&str> = message.lines().collect();
    match lines.as_slice() {
        [first, others @ ..] if others.len() > LAST_LINES => {
            let last = &others[others.len() - LAST_LINES..];
            format!("{first} […] {}", last.join(" "))
        }
        _ => message.to_owned(),
    }
}

fn was_interrupted(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(ProgramError::LoadError { io_error, .. })
            if io_error.raw_os_error() == Some(libc::EAGAIN)
    )
}

#[cfg(test)]
mod tests;
