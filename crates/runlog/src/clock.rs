//! Which clock instants were taken from.
//!
//! `CLOCK_MONOTONIC` counts from the boot of a kernel, shifted by the offset of the process's time
//! namespace. Two programs have the same clock if both are the same.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Tells one `CLOCK_MONOTONIC` from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// The kernel's name for this boot of this machine. Containers share it.
    pub boot_id: String,
    /// The time namespace, as `/proc/self/ns/time` names it; empty on kernels without (before 5.6).
    pub time_namespace: String,
}

impl Clock {
    /// The clock of this process; `None` if the kernel does not say.
    pub fn of_this_process() -> Option<Self> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let time_namespace = fs::read_link("/proc/self/ns/time")
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        Some(Self {
            boot_id: boot_id.trim().to_owned(),
            time_namespace,
        })
    }
}

/// An instant for people, in UTC to the second.
pub fn utc(unix_ns: u64) -> String {
    let instant = UNIX_EPOCH + Duration::from_nanos(unix_ns);
    let text = humantime::format_rfc3339_seconds(instant).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_utc() {
        // 2^30 seconds since 1970.
        assert_eq!(utc(1_073_741_824_999_999_999), "2004-01-10 13:37:04 UTC");
    }

    #[test]
    fn a_process_has_one_clock() {
        let clock = Clock::of_this_process().unwrap();
        assert_eq!(clock.boot_id.len(), 36, "{clock:?}");
        assert_eq!(Some(clock), Clock::of_this_process());
    }
}
