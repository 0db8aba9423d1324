//! What we may do.

use runlog::doctor::Finding;
use rustix::thread::{CapabilitySet, capabilities};

use probes::capabilities::needed;
use probes::discover::processes::in_root_pid_namespace;
use probes::kernel_types;

/// Rights, and how much of the machine can be seen.
pub fn findings() -> Vec<Finding> {
    vec![capability(), namespace()]
}

fn capability() -> Finding {
    const NAME: &str = "capabilities";
    let Ok(sets) = capabilities(None) else {
        return Finding::unknown(NAME, "the kernel does not tell", "see /proc/self/status");
    };
    let release = rustix::system::uname();
    let missing: Vec<&str> = needed(&release.release().to_string_lossy())
        .filter(|name| {
            let capability = CapabilitySet::from_name(name);
            capability.is_some_and(|capability| !sets.effective.contains(capability))
        })
        .collect();
    if missing.is_empty() {
        return Finding::pass(NAME, "all that probing takes");
    }
    Finding::fail(
        NAME,
        format!("CAP_{} missing", missing.join(", CAP_")),
        "run with sudo, or give the container these; without them: bench --no-probes, micro, analyze",
    )
}

fn namespace() -> Finding {
    const NAME: &str = "process numbers";
    if in_root_pid_namespace() {
        return Finding::pass(NAME, "those of the kernel: the root PID namespace");
    }
    if kernel_types::are_shown() {
        return Finding::pass(
            NAME,
            "a PID namespace of its own: the kernel is asked for its numbers",
        );
    }
    Finding::fail(
        NAME,
        "a PID namespace of its own, and a kernel without types (BTF), which cannot be asked for its numbers",
        "hostPID: true, or --pid=host",
    )
}
