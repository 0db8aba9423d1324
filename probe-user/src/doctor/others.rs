//! Who else is on this machine.

use runlog::doctor::Finding;
use verdict::doubt::STOLEN_SHARE;

use crate::doctor::counts::During;

/// CPU time of others, in CPUs, that a result notices.
const NOISY_CPUS: f64 = 0.1;
/// And that leaves too little to measure in, as a share of all CPUs.
const CROWDED_SHARE: f64 = 0.5;
/// CPU time that the hypervisor gave to others, as a share of all, that a result notices.
const NOTICED_SHARE: f64 = 0.001;
/// Proxies that a service mesh puts beside each server.
const SIDECARS: [&str; 6] = [
    "envoy",
    "pilot-agent",
    "linkerd2-proxy",
    "linkerd-proxy",
    "consul-dataplan",
    "kuma-dp",
];

/// Name of the finding about other containers.
pub const TENANTS: &str = "other containers";
/// Name of the finding about service meshes.
pub const MESH: &str = "service mesh";
/// Name of the finding about stolen time.
pub const STEAL: &str = "stolen time";

/// Neighbours in the machine and below it.
pub fn findings(during: &During, cpus: usize) -> Vec<Finding> {
    let cpus = cpus as f64;
    vec![
        neighbours(during, cpus),
        stolen(during, cpus),
        tenants(during.other_homes),
        mesh(&during.names),
    ]
}

fn neighbours(during: &During, cpus: f64) -> Finding {
    const NAME: &str = "noisy neighbours";
    let Some(busy) = during.busy_cpus else {
        return Finding::unknown(NAME, "/proc/stat cannot be read", "see top");
    };
    let names: Vec<String> = during
        .busiest
        .iter()
        .take(3)
        .map(|(name, cpus)| format!("{name} {cpus:.2}"))
        .collect();
    let names = if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join(", "))
    };
    let found = format!("others use {busy:.2} of {cpus:.0} CPUs{names}");
    let advice = "stop what is not needed, or wait";
    if busy > CROWDED_SHARE * cpus {
        Finding::fail(NAME, found, advice)
    } else if busy > NOISY_CPUS {
        Finding::warn(NAME, found, advice)
    } else {
        Finding::pass(NAME, found)
    }
}

fn stolen(during: &During, cpus: f64) -> Finding {
    let Some(stolen) = during.stolen_cpus else {
        return Finding::unknown(STEAL, "the kernel does not tell", "none on real hardware");
    };
    let share = stolen / cpus;
    let found = format!("{:.1} % of {:.1} s", 100.0 * share, during.seconds);
    let advice = "the hypervisor has other guests: take a machine of your own, or more repetitions";
    if share > STOLEN_SHARE {
        Finding::fail(STEAL, found, advice)
    } else if share > NOTICED_SHARE {
        Finding::warn(STEAL, found, advice)
    } else {
        Finding::pass(STEAL, found)
    }
}

fn tenants(others: usize) -> Finding {
    if others == 0 {
        return Finding::pass(TENANTS, "none to be seen");
    }
    Finding::warn(
        TENANTS,
        format!("{others} pods or containers besides ours"),
        "take a node of your own: taints, node affinity",
    )
}

fn mesh(names: &[String]) -> Finding {
    let found: Vec<&str> = SIDECARS
        .into_iter()
        .filter(|sidecar| names.iter().any(|name| name == sidecar))
        .collect();
    if found.is_empty() {
        return Finding::pass(MESH, "no proxy of one to be seen");
    }
    Finding::warn(
        MESH,
        format!("{} runs here", found.join(", ")),
        "each request may pass two proxies: leave the arms' pods out of the mesh, or say that they are in it",
    )
}

#[cfg(test)]
mod tests {
    use runlog::doctor::State;

    use super::*;

    fn during(busy: f64, stolen: f64) -> During {
        During {
            seconds: 1.0,
            busy_cpus: Some(busy),
            stolen_cpus: Some(stolen),
            busiest: vec![("cc1".to_owned(), busy)],
            ..During::default()
        }
    }

    #[test]
    fn neighbours_are_named() {
        let quiet = neighbours(&during(0.02, 0.0), 4.0);
        assert_eq!(quiet.state, State::Pass);
        let noisy = neighbours(&during(0.9, 0.0), 4.0);
        assert_eq!(noisy.state, State::Warn);
        assert!(noisy.found.contains("cc1 0.90"), "{noisy:?}");
        assert_eq!(neighbours(&during(3.0, 0.0), 4.0).state, State::Fail);
    }

    #[test]
    fn stolen_time_is_a_share_of_all_cpus() {
        let state = |cpus| stolen(&during(0.0, cpus), 2.0).state;
        assert_eq!(
            (state(0.0), state(0.01), state(0.1)),
            (State::Pass, State::Warn, State::Fail)
        );
    }

    #[test]
    fn proxies_are_known_by_name() {
        let names = ["sh", "envoy"].map(str::to_owned);
        assert_eq!(mesh(&names).state, State::Warn);
        assert_eq!(mesh(&names[..1]).state, State::Pass);
        assert_eq!(tenants(0).state, State::Pass);
        assert_eq!(tenants(3).state, State::Warn);
    }
}
