//! CPUs and clock.

use runlog::doctor::Finding;
use runlog::manifest::Environment;

use crate::machine::{Policy, core_of, line_of, place};

/// Clock, frequency, hardware threads, and the CPUs that we may use.
pub fn findings(environment: &Environment) -> Vec<Finding> {
    vec![
        clock(environment),
        frequency(environment.governor.as_deref()),
        boost(),
        hardware_threads(line_of("/sys/devices/system/cpu/smt/active").as_deref()),
        placement(),
    ]
}

fn clock(environment: &Environment) -> Finding {
    const NAME: &str = "clock";
    let (source, read_ns) = (&environment.clock_source, environment.clock_read_ns);
    let found = format!("{source}, {read_ns:.0} ns a read");
    if !environment.has_slow_clock() {
        return Finding::pass(NAME, found);
    }
    Finding::warn(
        NAME,
        found,
        "each call is timed with three reads: look why the kernel gave up tsc or kvm-clock (dmesg), or boot with \
         clocksource=tsc",
    )
}

fn frequency(governor: Option<&str>) -> Finding {
    const NAME: &str = "governor";
    match governor {
        Some("performance") => Finding::pass(NAME, "performance"),
        Some(other) => Finding::warn(
            NAME,
            other,
            "cpupower frequency-set -g performance, so that cores do not change their frequency in a run",
        ),
        None => Finding::unknown(
            NAME,
            "the kernel shows none, as in most virtual machines",
            "the host decides; take many blocks",
        ),
    }
}

fn boost() -> Finding {
    const NAME: &str = "boost";
    let no_turbo = line_of("/sys/devices/system/cpu/intel_pstate/no_turbo");
    let boosts = line_of("/sys/devices/system/cpu/cpufreq/boost")
        .map(|line| line != "0")
        .or_else(|| no_turbo.map(|line| line == "0"));
    match boosts {
        Some(false) => Finding::pass(NAME, "off"),
        Some(true) => Finding::warn(
            NAME,
            "on: frequency depends on what other cores do, and on heat",
            "echo 0 > /sys/devices/system/cpu/cpufreq/boost, or 1 to intel_pstate/no_turbo, for runs to compare",
        ),
        None => Finding::unknown(NAME, "the kernel does not show it", "the host decides"),
    }
}

fn hardware_threads(active: Option<&str>) -> Finding {
    const NAME: &str = "hardware threads (SMT)";
    match active {
        Some("0") => Finding::pass(NAME, "off, or hidden"),
        Some(_) => Finding::warn(
            NAME,
            "on: what runs on a core's other thread slows the server",
            "echo off > /sys/devices/system/cpu/smt/control, or bind with taskset to one thread of each core",
        ),
        None => Finding::unknown(NAME, "the kernel does not show it", "see lscpu"),
    }
}

fn placement() -> Finding {
    const NAME: &str = "CPUs to use";
    let Ok(placement) = place(Policy::Auto, 1) else {
        return Finding::unknown(NAME, "the affinity cannot be read", "see taskset -p $$");
    };
    let is_shared = |cpu: &usize| placement.agent_cpus.contains(cpu);
    if placement.sut_cpus.iter().any(is_shared) {
        return Finding::warn(
            NAME,
            "one: the agent shares it with the server",
            "give it two, so that emptying the probes' buffer disturbs nobody",
        );
    }
    let cores = placement.agent_cpus.iter().chain(&placement.sut_cpus);
    let cores: std::collections::BTreeSet<String> = cores.map(|cpu| core_of(*cpu)).collect();
    let cpus = placement.agent_cpus.len() + placement.sut_cpus.len();
    Finding::pass(NAME, format!("{cpus}, of {} cores", cores.len()))
}

#[cfg(test)]
mod tests {
    use runlog::doctor::State;

    use super::*;

    #[test]
    fn a_clock_behind_a_system_call_is_dear() {
        let with = |clock_read_ns| {
            clock(&Environment {
                clock_read_ns,
                ..Environment::default()
            })
            .state
        };
        assert_eq!((with(25.0), with(900.0)), (State::Pass, State::Warn));
    }

    #[test]
    fn settings_are_judged() {
        assert_eq!(frequency(Some("performance")).state, State::Pass);
        assert_eq!(frequency(Some("powersave")).state, State::Warn);
        assert_eq!(frequency(None).state, State::Unknown);
        assert_eq!(hardware_threads(Some("0")).state, State::Pass);
        assert_eq!(hardware_threads(Some("1")).state, State::Warn);
    }
}
