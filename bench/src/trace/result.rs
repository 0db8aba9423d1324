//! What the bench finds: the shape of its JSON.

use serde::Serialize;
use stats::paired_difference;

use crate::estimate::Estimate;
use crate::result::Missing;

/// Everything that one run has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Release of the kernel.
    pub kernel: String,
    /// Rounds that were run.
    pub rounds: u32,
    /// The states that were measured, in the order of the table.
    pub states: Vec<State>,
    /// Those that were not, and why.
    pub missing: Vec<Missing>,
    /// What records could be had without loss.
    pub floods: Vec<Flood>,
}

/// One state: something observes, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct State {
    /// What observes.
    pub name: String,
    /// A read of a connection in the traced process, through the hook.
    pub traced_read: Figure,
    /// A call of the function that begins with `push`, in the traced process.
    pub function_call: Figure,
    /// A read of `/dev/zero` in a process that nobody traces.
    pub untraced_read: Figure,
}

/// What one call took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// The call, by round, in ns; null in rounds that were not measured.
    pub took_ns: Vec<Option<f64>>,
    /// What it took more than in the same round with nothing observing; null with less than two rounds.
    pub added_ns: Option<Estimate>,
}

/// What became of records while threads read as fast as they could, or with pauses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Flood {
    /// Threads that read.
    pub threads: usize,
    /// Pause of each thread between reads, in ns.
    pub pause_ns: u64,
    /// Reads a second, by all of them.
    pub reads_per_s: f64,
    /// Records that arrived, a second.
    pub records_per_s: f64,
    /// Records for which the ring buffer had no room.
    pub dropped: u64,
}

impl Report {
    /// The state of a name.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.states.iter().find(|state| state.name == name)
    }

    /// Works out what each state added to what the state `nothing` took.
    pub fn compare_with(&mut self, nothing: &str) {
        let Some(nothing) = self.state(nothing).cloned() else {
            return;
        };
        for state in &mut self.states {
            if state.name == nothing.name {
                continue;
            }
            let pairs = [
                (&mut state.traced_read, &nothing.traced_read),
                (&mut state.function_call, &nothing.function_call),
                (&mut state.untraced_read, &nothing.untraced_read),
            ];
            for (figure, control) in pairs {
                let added = paired_difference(&control.took_ns, &figure.took_ns);
                figure.added_ns = added.map(Estimate::from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, took_ns: &[Option<f64>]) -> State {
        State {
            name: name.to_owned(),
            traced_read: Figure {
                took_ns: took_ns.to_vec(),
                added_ns: None,
            },
            ..State::default()
        }
    }

    #[test]
    fn states_are_compared_round_by_round() {
        let mut report = Report {
            states: vec![
                state("probes", &[Some(150.0), Some(1_170.0), None]),
                state("nothing", &[Some(100.0), Some(1_100.0), Some(9.0)]),
            ],
            ..Report::default()
        };
        report.compare_with("nothing");
        // 50 and 70: mean 60, standard error 10, t(0.975, 1) = 12.7062.
        let added = report.states[0].traced_read.added_ns.unwrap();
        assert!((added.estimate - 60.0).abs() < 1e-9);
        assert!((added.ci95[1] - 187.062).abs() < 1e-3, "{added:?}");
        assert_eq!(report.states[0].untraced_read.added_ns, None);
        assert_eq!(report.states[1].traced_read.added_ns, None);
    }
}
