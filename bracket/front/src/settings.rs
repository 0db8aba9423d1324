//! The environment variables, read once while the program loads.
//!
//! | variable | meaning |
//! |---|---|
//! | `HOOKPROBE_TRIAL` | the trial ([`abi::trial::Trial`]); without it all calls go to the hook |
//! | `HOOKPROBE_RECORDS` | number of an inherited descriptor: the memory in which calls of the trial are counted and recorded; without it front makes one, for an agent that looks for it |
//!
//! Nonsense in any of them is one line on stderr, and all calls go to the hook. So they do, without a word, in set-uid
//! programs and their like.

use core::ffi::CStr;
use core::fmt::{self, Write as _};

use abi::trial::{Problem, RECORDS_VARIABLE, Trial, VARIABLE};
use preload::environment::{is_privileged, say, variable};
use preload::line::Line;

use crate::entry::{back, hook};
use crate::memory;
use crate::plan::Plan;

/// Why there is no trial although one was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Trial(Problem),
    Records,
    Back,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trial(problem) => write!(f, "HOOKPROBE_TRIAL: {problem}"),
            Self::Records => f.write_str(
                "HOOKPROBE_RECORDS must be the number of an open descriptor of the agent's memory for records",
            ),
            Self::Back => f.write_str(
                "HOOKPROBE_TRIAL needs the back.so of the same release behind the hook: LD_PRELOAD=front.so:HOOK.so:back.so",
            ),
        }
    }
}

/// What the variables ask for, and what is there; `None` if there is nothing to be done.
pub fn plan() -> Option<Plan> {
    if is_privileged() {
        return None;
    }
    let without_trial = || Plan::without_trial(hook(), back());
    let Some(text) = variable(VARIABLE) else {
        return Some(without_trial());
    };
    Some(plan_of(text).unwrap_or_else(|refusal| {
        let mut line = Line::new();
        let _ = writeln!(line, "hookprobe front: {refusal}; all calls go to the hook");
        say(&line);
        without_trial()
    }))
}

fn plan_of(text: &CStr) -> Result<Plan, Refusal> {
    let trial = Trial::parse(text.to_bytes()).map_err(Refusal::Trial)?;
    let back = back().ok_or(Refusal::Back)?;
    let shared = match variable(RECORDS_VARIABLE) {
        // Arms are drawn without it too.
        None => memory::make(&trial),
        Some(number) => Some(
            descriptor(number)
                .and_then(memory::map)
                .ok_or(Refusal::Records)?,
        ),
    };
    Ok(Plan::with_trial(hook(), back, &trial, shared))
}

fn descriptor(number: &CStr) -> Option<i32> {
    number.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_says_what_to_do() {
        assert_eq!(
            plan_of(c"seed=1 size=64 arms=on").err(),
            Some(Refusal::Trial(Problem::Incomplete))
        );
        // The test program has no back.
        assert_eq!(
            plan_of(c"seed=1 size=64 arms=off,on").err(),
            Some(Refusal::Back)
        );
    }

    #[test]
    fn descriptors_are_read_exactly() {
        assert_eq!(descriptor(c"17"), Some(17));
        for nonsense in [c"", c"x", c"3 ", c"99999999999"] {
            assert_eq!(descriptor(nonsense), None, "{nonsense:?}");
        }
        assert!(memory::map(-1).is_none());
    }
}
