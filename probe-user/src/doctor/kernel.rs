//! What this kernel has.

use std::fs;
use std::path::Path;

use runlog::doctor::Finding;

use probes::kernel_types;

/// The oldest kernel that the programs load on.
const OLDEST: (u32, u32) = (5, 10);

/// Kernel features, and the file systems that show them.
pub fn findings() -> Vec<Finding> {
    let release = rustix::system::uname();
    let locked = fs::read_to_string("/sys/kernel/security/lockdown").ok();
    vec![
        version(&release.release().to_string_lossy()),
        types(),
        lockdown(locked.as_deref()),
        tracefs(),
    ]
}

fn version(release: &str) -> Finding {
    const NAME: &str = "kernel";
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse::<u32>().ok());
    let found = numbers.next().flatten().zip(numbers.next().flatten());
    match found {
        Some(found) if found < OLDEST => Finding::fail(
            NAME,
            format!("{release}: older than {}.{}", OLDEST.0, OLDEST.1),
            "use a newer kernel; bench --no-probes works on any",
        ),
        Some(_) => Finding::pass(NAME, release),
        None => Finding::unknown(
            NAME,
            release,
            "5.10 is the oldest that probes are tested on",
        ),
    }
}

fn types() -> Finding {
    const NAME: &str = "kernel types (BTF)";
    if kernel_types::are_shown() {
        return Finding::pass(NAME, "there");
    }
    Finding::warn(
        NAME,
        "/sys/kernel/btf/vmlinux is not there",
        "tp-btf and fentry need CONFIG_DEBUG_INFO_BTF; raw tracepoints do without, and are as cheap",
    )
}

fn lockdown(text: Option<&str>) -> Finding {
    const NAME: &str = "lockdown";
    match text {
        None => Finding::unknown(
            NAME,
            "/sys/kernel/security/lockdown cannot be read",
            "mount -t securityfs securityfs /sys/kernel/security, if the kernel has it",
        ),
        Some(text) if text.contains("[confidentiality]") => Finding::fail(
            NAME,
            "confidentiality: programs may not read the kernel's memory",
            "boot with lockdown=integrity or none",
        ),
        Some(text) if text.contains("[integrity]") => Finding::pass(NAME, "integrity"),
        Some(_) => Finding::pass(NAME, "none"),
    }
}

fn tracefs() -> Finding {
    const NAME: &str = "tracefs";
    let folders = [
        "/sys/kernel/tracing/events",
        "/sys/kernel/debug/tracing/events",
    ];
    match folders
        .into_iter()
        .find(|folder| Path::new(folder).exists())
    {
        Some(folder) => Finding::pass(NAME, folder),
        None => Finding::warn(
            NAME,
            "not mounted, or not to be seen",
            "mount -t tracefs tracefs /sys/kernel/tracing; only the kernel probes tracepoint and kprobe need it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use runlog::doctor::State;

    use super::*;

    #[test]
    fn kernels_before_5_10_are_too_old() {
        for (release, state) in [
            ("4.19.0-27-amd64", State::Fail),
            ("5.9.1", State::Fail),
            ("5.10.0-46-cloud-amd64", State::Pass),
            ("6.1", State::Pass),
            ("10.0.0", State::Pass),
            ("next", State::Unknown),
        ] {
            assert_eq!(version(release).state, state, "{release}");
        }
    }

    #[test]
    fn the_level_in_brackets_is_the_one_in_force() {
        assert_eq!(lockdown(None).state, State::Unknown);
        let confidential = "none integrity [confidentiality]\n";
        assert_eq!(lockdown(Some(confidential)).state, State::Fail);
        for open in [
            "[none] integrity confidentiality\n",
            "none [integrity] confidentiality\n",
        ] {
            assert_eq!(lockdown(Some(open)).state, State::Pass, "{open}");
        }
    }
}
