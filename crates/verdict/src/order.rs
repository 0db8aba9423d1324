//! How arms are compared, by the order in which their blocks ran.

use runlog::Order as Kind;
use runlog::manifest::Schedule;
use stats::{Interval, mean, mean_interval, unpaired_difference};

/// The order of a run, and over how many servers the blocks of each arm went.
///
/// Two processes of one program differ, in where its code and data came to lie, by tens of nanoseconds a
/// request, for as long as they live. No number of blocks tells that from a hook. So where arms have
/// several servers, the unit of comparison is the pair of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    kind: Kind,
    servers: usize,
}

impl Order {
    /// Rounds, with one server an arm.
    #[cfg(test)]
    pub const ROUNDS: Self = Self {
        kind: Kind::Rmit,
        servers: 1,
    };

    /// The order that a schedule names.
    pub fn of(schedule: &Schedule) -> Self {
        Self {
            kind: schedule.order,
            servers: usize::try_from(schedule.servers_per_arm).unwrap_or(1),
        }
    }

    /// Whether two arms ran at once.
    pub fn is_duet(self) -> bool {
        self.kind == Kind::Duet
    }

    /// Whether arms were drawn request by request.
    pub fn is_trial(self) -> bool {
        self.kind == Kind::Trial
    }

    /// Whether one arm ran wholly after the other.
    pub fn is_sequential(self) -> bool {
        self.kind == Kind::Sequential
    }

    /// Treatment minus control, out of the block means of each by round.
    ///
    /// In a duet the unit is two rounds: on either side each arm ran once, so that what one side is slower
    /// than the other is in neither the difference nor its interval.
    pub fn difference(
        self,
        control: &[Option<f64>],
        treatment: &[Option<f64>],
    ) -> Option<Interval> {
        match self.kind {
            Kind::Rmit | Kind::Trial => self.paired(control, treatment),
            Kind::Duet => self.paired(&by_twos(control), &by_twos(treatment)),
            Kind::Sequential => {
                let [control, treatment] =
                    [control, treatment].map(|rounds| self.by_server(rounds));
                unpaired_difference(&known(&control), &known(&treatment))
            }
        }
    }

    fn paired(self, control: &[Option<f64>], treatment: &[Option<f64>]) -> Option<Interval> {
        let differences: Vec<Option<f64>> = control
            .iter()
            .zip(treatment)
            .map(|(control, treatment)| Some((*treatment)? - (*control)?))
            .collect();
        mean_interval(&known(&self.by_server(&differences)))
    }

    /// The means of what belongs to each server, or what is given where there is one.
    fn by_server(self, units: &[Option<f64>]) -> Vec<Option<f64>> {
        if self.servers < 2 {
            return units.to_vec();
        }
        (0..self.servers)
            .map(|server| {
                let own = units.iter().skip(server).step_by(self.servers);
                mean(&known(&own.copied().collect::<Vec<_>>()))
            })
            .collect()
    }

    /// The same less a third quantity, which was seen in the same rounds.
    pub fn difference_less(
        self,
        control: &[Option<f64>],
        treatment: &[Option<f64>],
        less: &[Option<f64>],
    ) -> Option<Interval> {
        match self.kind {
            Kind::Rmit | Kind::Duet | Kind::Trial => {
                let differences: Vec<Option<f64>> = control
                    .iter()
                    .zip(treatment)
                    .map(|(control, treatment)| Some((*treatment)? - (*control)?))
                    .collect();
                self.difference(less, &differences)
            }
            Kind::Sequential => {
                let difference = self.difference(control, treatment)?;
                Some(difference.minus(mean_interval(&known(less))?))
            }
        }
    }

    /// A quantity by what ran together, in the order of time: by round, or by two rounds in a duet. None
    /// where what is compared did not run together.
    pub fn units(self, rounds: &[Option<f64>]) -> Vec<Option<f64>> {
        match self.kind {
            Kind::Rmit | Kind::Trial => rounds.to_vec(),
            Kind::Duet => by_twos(rounds),
            Kind::Sequential => Vec::new(),
        }
    }

    /// A quantity by what counts as one observation: a unit, or the mean of those of one pair of servers.
    pub fn observations(self, rounds: &[Option<f64>]) -> Vec<Option<f64>> {
        self.by_server(&self.units(rounds))
    }

    /// How the interval of a difference between arms is made.
    pub fn method(self) -> String {
        let method = match self.kind {
            Kind::Rmit => "Student's t on differences of block means, paired by round (order rmit)",
            Kind::Trial => {
                "Student's t on differences of the arms' means within each block (order trial)"
            }
            Kind::Duet => {
                "Student's t on differences of means of blocks that ran at once, of two rounds with the \
                 sides swapped (order duet)"
            }
            Kind::Sequential => {
                "Welch's t on block means, unpaired: one arm ran after the other, and what drifted between \
                 them is in the difference (order sequential)"
            }
        };
        match (self.servers, self.kind) {
            (0 | 1, _) => method.to_owned(),
            (servers, Kind::Sequential) => {
                format!(
                    "{method}; one value is the mean of the blocks of one of an arm's {servers} servers"
                )
            }
            (servers, Kind::Trial) => {
                format!("{method}; one value is the mean of the blocks of one of {servers} servers")
            }
            (servers, Kind::Rmit | Kind::Duet) => {
                format!(
                    "{method}; one value is the mean of the blocks of one of {servers} pairs of servers"
                )
            }
        }
    }
}

/// The means of rounds 0 and 1, 2 and 3 and so on. Where one is missing, so is the mean.
fn by_twos(rounds: &[Option<f64>]) -> Vec<Option<f64>> {
    rounds
        .chunks_exact(2)
        .map(|two| Some(f64::midpoint(two[0]?, two[1]?)))
        .collect()
}

fn known(rounds: &[Option<f64>]) -> Vec<f64> {
    rounds.iter().flatten().copied().collect()
}

#[cfg(test)]
mod tests;
