//! Ctrl-C while a child runs that has something to say before it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::bail;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// Runs `child` to its end; SIGINT does not end this process in the meantime. The terminal sends the
/// signal to the child too, and that decides.
///
/// The signal is caught, not ignored: a child would inherit that it is ignored, but what is caught has
/// its default effect again after `exec`.
pub fn left_to_the_child<T>(child: impl FnOnce() -> T) -> std::io::Result<T> {
    // A handler stays for good, so there is one, and out of children's time it does what the signal
    // does by default.
    static ENDS_US: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let is_new = ENDS_US.get().is_none();
    let ends_us = ENDS_US.get_or_init(Arc::default);
    ends_us.store(false, Ordering::Relaxed);
    let caught = caught();
    caught.store(false, Ordering::Relaxed);
    if is_new {
        flag::register_conditional_default(SIGINT, Arc::clone(ends_us))?;
        flag::register(SIGINT, Arc::clone(caught))?;
    }
    let result = child();
    ends_us.store(true, Ordering::Relaxed);
    Ok(result)
}

/// An error once SIGINT came while it was left to a child: for what waits meanwhile without one.
pub fn check() -> anyhow::Result<()> {
    if caught().load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

fn caught() -> &'static Arc<AtomicBool> {
    static CAUGHT: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    CAUGHT.get_or_init(Arc::default)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, ExitStatus};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Interrupts us and the child, as the terminal does. One that ignores the signal ends with 7.
    fn interrupted(before: &str) -> ExitStatus {
        let script = format!("{before} kill -INT $PPID; kill -INT $$; sleep 0.1; exit 7");
        let child = || {
            let status = Command::new("sh").args(["-c", &script]).status().unwrap();
            // Of several threads, as here, another may get the signal, and get round to it later.
            thread::sleep(Duration::from_millis(300));
            status
        };
        left_to_the_child(child).unwrap()
    }

    #[test]
    fn an_interrupt_is_the_childs_alone() {
        assert_eq!(interrupted("").signal(), Some(SIGINT));
        assert_eq!(check().unwrap_err().to_string(), "interrupted");
        left_to_the_child(check).unwrap().unwrap();
        assert_eq!(
            interrupted("trap 'exit 3' INT;").code(),
            Some(3),
            "and again"
        );
    }
}
