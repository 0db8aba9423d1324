//! What is special to a trial: the options, and the arms.

use abi::trial::{Arm, Trial};
use anyhow::Context as _;
use clap::Args;
use runlog::{Order, Role};

use crate::command::slices::SliceOptions;
use crate::run::arms::{ArmSpec, HookSpec};

/// Options of a trial.
#[derive(Args, Debug)]
pub struct TrialOptions {
    /// Delays that a trial puts behind the hook, each as an arm of its own, to see whether it finds them [default: 1000]
    ///
    /// In nanoseconds. "none" has no such arm.
    #[arg(long, hide_short_help = true, value_name = "NS,…", value_parser = delays)]
    pub delays: Option<Delays>,

    /// Inject five delays from 250 to 4000 ns: how much each ns in the hook costs at this load (dose and response)
    #[arg(long, hide_short_help = true, conflicts_with = "delays")]
    pub doses: bool,

    /// Size of each request of a trial [default: 256, more where the path is long]
    #[arg(long, hide_short_help = true, value_name = "BYTES")]
    pub request_size: Option<u32>,

    #[command(flatten)]
    pub slices: SliceOptions,
}

/// The delays of `--doses`: each twice the one before.
const DOSES: [u64; 5] = [250, 500, 1_000, 2_000, 4_000];

/// Delays of arms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays(Vec<u64>);

fn delays(text: &str) -> Result<Delays, String> {
    if text == "none" {
        return Ok(Delays(Vec::new()));
    }
    let delays: Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
    match delays {
        Ok(delays) if !delays.contains(&0) => Ok(Delays(delays)),
        _ => Err(
            "expected none, or whole numbers of nanoseconds above 0 with commas between".to_owned(),
        ),
    }
}

/// How arms are drawn: one for each delay beside the usual ones.
pub fn design(
    seed: u64,
    path: &str,
    request_size: Option<u32>,
    delays: &[u64],
) -> anyhow::Result<Trial> {
    let mut arms = vec![Arm::Off, Arm::Null, Arm::On];
    arms.extend(delays.iter().map(|delay_ns| Arm::Spiked {
        delay_ns: *delay_ns,
    }));
    let size = request_size.unwrap_or_else(|| usual_size(path));
    Trial::new(seed, size, 1, &arms)
        .context("--order trial: these --delays and this --request-size make none")
}

impl TrialOptions {
    /// How arms are drawn.
    pub fn design(&self, seed: u64, path: &str) -> anyhow::Result<Trial> {
        let usual = Delays(if self.doses {
            DOSES.to_vec()
        } else {
            vec![1_000]
        });
        let Delays(delays) = self.delays.as_ref().unwrap_or(&usual);
        design(seed, path, self.request_size, delays)
    }

    /// Refuses what has no meaning in another order.
    pub fn refuse(&self, order: Order) -> anyhow::Result<()> {
        let given = [
            ("--delays", self.delays.is_some()),
            ("--doses", self.doses),
            ("--request-size", self.request_size.is_some()),
            ("--slice", self.slices.slice.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => {
                anyhow::bail!("{option} is for --order trial, and this is --order {order}")
            }
            None => Ok(()),
        }
    }
}

/// What a request with this path takes, with the salt.
fn usual_size(path: &str) -> u32 {
    /// Bytes of a request beside its path.
    const OTHERS: usize = 224;
    let size = (OTHERS + path.len()).next_multiple_of(64);
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// The arms of a trial, by their numbers.
pub fn arms(trial: &Trial, hook: &HookSpec) -> Vec<ArmSpec> {
    let arms = trial.arms().iter().map(|arm| ArmSpec {
        name: arm.to_string(),
        role: match arm {
            Arm::Off => Role::Baseline,
            Arm::Null => Role::Baseline2,
            Arm::On => Role::Hooked,
            Arm::Spiked { .. } => Role::Other,
        },
        hook: arm.is_hooked().then(|| hook.clone()),
    });
    arms.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(delays_text: Option<&str>, request_size: Option<u32>) -> TrialOptions {
        TrialOptions {
            delays: delays_text.map(|text| delays(text).unwrap()),
            doses: false,
            request_size,
            slices: SliceOptions::default(),
        }
    }

    #[test]
    fn options_become_the_text_that_both_sides_read() {
        for (delays, size, path, text) in [
            (None, None, "/", "size=256 run=1 arms=off,null,on,on+1000"),
            (Some("none"), None, "/", "size=256 run=1 arms=off,null,on"),
            (
                Some("100,2000"),
                Some(300),
                "/",
                "size=300 run=1 arms=off,null,on,on+100,on+2000",
            ),
        ] {
            let design = options(delays, size).design(7, path).unwrap();
            assert_eq!(design.to_string(), format!("seed=7 {text}"));
        }
        let long = "/".repeat(1_000);
        let size = options(None, None).design(7, &long).unwrap().size;
        assert!(size > 1_200 && size.is_multiple_of(64), "{size}");
    }

    #[test]
    fn what_is_no_delay_or_no_size_is_refused() {
        for text in ["", "0", "-1", "1,", "1;2", "None", "1,0"] {
            assert!(delays(text).is_err(), "{text}");
        }
        for (delays, size) in [
            (Some("5,5"), None),
            (Some("1000000001"), None),
            (None, Some(63)),
        ] {
            assert!(options(delays, size).design(7, "/").is_err());
        }
        let many: Vec<String> = (1..=14).map(|delay| delay.to_string()).collect();
        assert!(options(Some(&many.join(",")), None).design(7, "/").is_err());
    }

    #[test]
    fn options_of_a_trial_are_refused_elsewhere() {
        assert!(options(None, None).refuse(Order::Rmit).is_ok());
        for (options, name) in [
            (options(Some("none"), None), "--delays"),
            (options(None, Some(256)), "--request-size"),
        ] {
            let refusal = options.refuse(Order::Duet).unwrap_err().to_string();
            assert!(
                refusal.contains(name) && refusal.contains("duet"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn each_arm_has_its_part_and_the_hooked_ones_the_hook() {
        let hook = HookSpec {
            path: "/hook.so".into(),
            environment: Vec::new(),
        };
        let trial = options(None, None).design(7, "/").unwrap();
        let arms: Vec<_> = arms(&trial, &hook)
            .into_iter()
            .map(|arm| (arm.name, arm.role, arm.hook.is_some()))
            .collect();
        assert_eq!(
            arms,
            [
                ("off".to_owned(), Role::Baseline, false),
                ("null".to_owned(), Role::Baseline2, false),
                ("on".to_owned(), Role::Hooked, true),
                ("on+1000".to_owned(), Role::Other, true),
            ]
        );
    }
}
