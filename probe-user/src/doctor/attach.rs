//! Which kinds of probes work here. Each was attached for a moment, and had to see the calls of a process of ours:
//! a short calibration.

use runlog::calibration::Calibration;
use runlog::doctor::{AttachType, Finding};

use probes::KernelProbe;

const SITE: &str = "site";
const FUNCTION: &str = "uprobe+uretprobe";

/// What came of it.
#[derive(Debug, Default)]
pub struct Tried {
    /// In short.
    pub findings: Vec<Finding>,
    /// Kind by kind.
    pub attach_types: Vec<AttachType>,
}

/// Judges what came of trying all kinds; the error says why none could be tried.
pub fn judge(tried: &anyhow::Result<Calibration>) -> Tried {
    match tried {
        Ok(calibration) => by_kind(calibration),
        Err(error) => Tried {
            findings: vec![Finding::fail(
                "probes",
                format!("none can be attached: {error:#}"),
                "see capabilities, process numbers, kernel and lockdown",
            )],
            attach_types: Vec::new(),
        },
    }
}

fn by_kind(calibration: &Calibration) -> Tried {
    let types = [SITE, FUNCTION]
        .into_iter()
        .chain(KernelProbe::PAIRS.map(KernelProbe::name));
    let attach_types: Vec<AttachType> = types
        .map(|name| {
            let works = calibration
                .probes
                .iter()
                .any(|probe| probe.attach_type == name);
            let missing = || {
                calibration
                    .missing
                    .iter()
                    .find(|missing| missing.attach_type == name)
            };
            AttachType {
                name: name.to_owned(),
                reason: (!works).then(|| {
                    missing().map_or("not tried".to_owned(), |missing| missing.reason.clone())
                }),
            }
        })
        .collect();
    let of = |name: &str| attach_types.iter().find(|kind| kind.name == name);
    let single = |title: &str, name: &str, advice: &str| match of(name)
        .and_then(|kind| kind.reason.as_ref())
    {
        None => Finding::pass(title, "attached, and saw each call"),
        Some(reason) => Finding::fail(title, reason.as_str(), advice),
    };
    let findings = vec![
        single(
            "hook sites",
            SITE,
            "trace your hook by a function of it: --lib and --symbol",
        ),
        single(
            "probes on functions",
            FUNCTION,
            "the kernel lacks CONFIG_UPROBES, or refuses",
        ),
        pairs(&attach_types),
    ];
    Tried {
        findings,
        attach_types,
    }
}

/// One kernel pair is enough.
fn pairs(attach_types: &[AttachType]) -> Finding {
    const NAME: &str = "kernel pair on read";
    let is_pair = |kind: &&AttachType| {
        KernelProbe::PAIRS
            .iter()
            .any(|pair| pair.name() == kind.name)
    };
    let (working, missing): (Vec<_>, Vec<_>) = attach_types
        .iter()
        .filter(is_pair)
        .partition(|kind| kind.reason.is_none());
    let names = |kinds: &[&AttachType]| {
        kinds
            .iter()
            .map(|kind| kind.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if working.is_empty() {
        let reason = missing.first().and_then(|kind| kind.reason.as_deref());
        return Finding::fail(
            NAME,
            reason.unwrap_or("none was tried"),
            "--kernel-probe none measures the hook without read(2) in the kernel",
        );
    }
    let without = if missing.is_empty() {
        String::new()
    } else {
        format!("; not {}", names(&missing))
    };
    Finding::pass(NAME, format!("{}{without}", names(&working)))
}

#[cfg(test)]
mod tests {
    use runlog::doctor::State;

    use super::*;

    fn kind(name: &str, reason: Option<&str>) -> AttachType {
        AttachType {
            name: name.to_owned(),
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn one_pair_is_enough() {
        let found = pairs(&[
            kind("site", None),
            kind("tp-btf", None),
            kind("kprobe", Some("refused")),
        ]);
        assert_eq!(found.state, State::Pass);
        assert_eq!(found.found, "tp-btf; not kprobe");
        let none = pairs(&[kind("site", None), kind("kprobe", Some("refused"))]);
        assert_eq!((none.state, none.found.as_str()), (State::Fail, "refused"));
    }
}
