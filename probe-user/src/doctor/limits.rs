//! Limits of this process' control groups, and whether they are hit.

use runlog::doctor::Finding;

use crate::cgroup::{Controller, Groups};
use crate::doctor::counts::During;

/// CPU and memory limit.
pub fn findings(during: &During) -> Vec<Finding> {
    let cpu = Groups::of("self", Controller::Cpu).cpu_limit();
    let memory = Groups::of("self", Controller::Memory).memory_limit();
    vec![
        limit(
            "CPU limit",
            cpu.map(|cpus| format!("{cpus} CPUs")),
            during.throttled_periods,
            during.seconds,
            "raise or drop the limit of the container, or ask for less load",
        ),
        limit(
            "memory limit",
            memory.map(|bytes| format!("{} MiB", bytes >> 20)),
            during.memory_limit_hits,
            during.seconds,
            "raise the limit: reclaiming memory takes CPU time from the server",
        ),
    ]
}

/// Judges a limit by how often it was hit while it was watched, and before.
fn limit(
    name: &str,
    limit: Option<String>,
    hits: Option<[u64; 2]>,
    seconds: f64,
    advice: &str,
) -> Finding {
    let Some([now, before]) = hits else {
        let found = limit.map_or("not to be seen".to_owned(), |limit| {
            format!("{limit}; whether it is hit cannot be seen")
        });
        return Finding::unknown(name, found, "mount the control groups at /sys/fs/cgroup");
    };
    let found = |hit: String| match &limit {
        Some(limit) => format!("{limit}, {hit}"),
        None if now + before == 0 => "none".to_owned(),
        None => format!("none now, {hit}"),
    };
    if now > 0 {
        return Finding::fail(
            name,
            found(format!("hit {now} times in {seconds:.1} s")),
            advice,
        );
    }
    if before > 0 {
        return Finding::warn(
            name,
            found(format!(
                "hit {before} times before, not in these {seconds:.1} s"
            )),
            advice,
        );
    }
    Finding::pass(name, found("never hit".to_owned()))
}

#[cfg(test)]
mod tests {
    use runlog::doctor::State;

    use super::*;

    #[test]
    fn a_limit_that_is_being_hit_is_worse_than_one_that_was() {
        let state = |hits| {
            limit(
                "CPU limit",
                Some("1 CPUs".to_owned()),
                hits,
                1.0,
                "raise it",
            )
            .state
        };
        assert_eq!(state(Some([3, 0])), State::Fail);
        assert_eq!(state(Some([0, 3])), State::Warn);
        assert_eq!(state(Some([0, 0])), State::Pass);
        assert_eq!(state(None), State::Unknown);
    }
}
