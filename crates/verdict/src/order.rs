//! How arms are compared, by the order in which their blocks ran.

use runlog::Order as Kind;
use runlog::manifest::Schedule;
use stats::level::level_interval;
use stats::moments::quantile;
use stats::{Interval, Location};

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

    /// Of blocks of arms that had so many servers each.
    pub fn new(kind: Kind, servers: usize) -> Self {
        Self { kind, servers }
    }

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

    /// Treatment minus control, out of the block values of each by round: where it lies, whatever a few bad blocks or servers do.
    ///
    /// Of the rounds of a pair of servers the median counts, so that up to half of them may be bad, and over pairs of servers the
    /// trimmed mean ([`Location`]). With one server an arm, each round is an observation. In a duet the unit is two rounds: on either
    /// side each arm ran once, so that what one side is slower than the other is in neither the difference nor its interval.
    ///
    /// A trial has blocks of requests that were drawn, not blocks that were disturbed as wholes: means do.
    pub fn location(self, control: &[Option<f64>], treatment: &[Option<f64>]) -> Option<Location> {
        self.over_servers(control, treatment, self.summary())
    }

    /// The same by means of all blocks of each pair of servers: for what is in few of them, and must not be left out.
    pub fn mean(self, control: &[Option<f64>], treatment: &[Option<f64>]) -> Option<Location> {
        self.over_servers(control, treatment, Summary::Mean)
    }

    /// [`Order::location`] with its interval.
    pub fn difference(
        self,
        control: &[Option<f64>],
        treatment: &[Option<f64>],
    ) -> Option<Interval> {
        self.location(control, treatment)?.interval()
    }

    fn over_servers(
        self,
        control: &[Option<f64>],
        treatment: &[Option<f64>],
        summary: Summary,
    ) -> Option<Location> {
        let of = |units: &[Option<f64>]| summary.over(&known(&self.by_server(units, summary)));
        if self.is_sequential() {
            return Some(of(treatment)?.minus(of(control)?));
        }
        of(&self.units(&differences(control, treatment)))
    }

    /// What belongs to each server in one value, or what is given where there is one.
    fn by_server(self, units: &[Option<f64>], summary: Summary) -> Vec<Option<f64>> {
        if self.servers < 2 {
            return units.to_vec();
        }
        (0..self.servers)
            .map(|server| {
                let own = units.iter().skip(server).step_by(self.servers);
                summary.of(&known(&own.copied().collect::<Vec<_>>()))
            })
            .collect()
    }

    /// The same less a third quantity, which was seen in the same rounds.
    pub fn location_less(
        self,
        control: &[Option<f64>],
        treatment: &[Option<f64>],
        less: &[Option<f64>],
    ) -> Option<Location> {
        if self.is_sequential() {
            let difference = self.location(control, treatment)?;
            let less = known(&self.by_server(less, Summary::Mean));
            return Some(difference.minus(Location::of_all(&less)?));
        }
        self.location(less, &differences(control, treatment))
    }

    /// The mean of a quantity over the rounds of a run, however rounds and servers resemble each other.
    pub fn level(self, rounds: &[Option<f64>]) -> Option<Interval> {
        if self.is_duet() {
            // Servers change after two rounds.
            return level_interval(&by_twos(rounds), self.servers);
        }
        level_interval(rounds, self.servers)
    }

    fn summary(self) -> Summary {
        if self.is_trial() {
            Summary::Mean
        } else {
            Summary::Median
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

    /// A quantity by what counts as one observation: a unit, or one value for those of one pair of servers.
    pub fn observations(self, rounds: &[Option<f64>]) -> Vec<Option<f64>> {
        self.by_server(&self.units(rounds), self.summary())
    }

    /// What an observation is.
    pub fn observation(self) -> &'static str {
        match (self.servers, self.kind) {
            (0 | 1, Kind::Rmit) => "rounds",
            (0 | 1, Kind::Duet) => "pairs of rounds",
            (0 | 1, Kind::Sequential) => "blocks an arm",
            (0 | 1, Kind::Trial) => "blocks",
            (_, Kind::Trial) => "servers",
            (_, Kind::Sequential) => "servers an arm",
            (_, Kind::Rmit | Kind::Duet) => "pairs of servers",
        }
    }

    /// How the interval of a [`Order::location`] is made.
    pub fn method(self) -> String {
        let paired = match self.kind {
            Kind::Trial => {
                return format!(
                    "Student's t on differences of the arms' means within each block (order trial){}",
                    match self.servers {
                        0 | 1 => String::new(),
                        servers => format!(
                            "; one value is the mean of the blocks of one of {servers} servers"
                        ),
                    }
                );
            }
            Kind::Rmit => "differences of blocks, paired by round (order rmit)",
            Kind::Duet => {
                "differences of blocks that ran at once, of two rounds with the sides swapped (order duet)"
            }
            Kind::Sequential => {
                "blocks, unpaired: one arm ran after the other, and what drifted between them is in the \
                 difference (order sequential)"
            }
        };
        let values = match (self.servers, self.kind) {
            (0 | 1, _) => String::new(),
            (servers, Kind::Sequential) => {
                format!(
                    "; one value is the median of the blocks of one of an arm's {servers} servers"
                )
            }
            (servers, _) => {
                format!(
                    "; one value is the median of the rounds of one of {servers} pairs of servers"
                )
            }
        };
        format!("trimmed mean, a fifth at each end, and Yuen's t on {paired}{values}")
    }

    /// How that of an [`Order::mean`] is.
    pub fn method_of_mean(self) -> String {
        let observation = self.observation();
        format!("Student's t on means of {observation}")
    }

    /// How that of an [`Order::level`] is.
    pub fn method_of_level(self) -> String {
        let servers = if self.servers > 1 {
            ", and of servers that differ"
        } else {
            ""
        };
        format!(
            "mean of blocks; variance of rounds that resemble their neighbours (cosine transforms){servers}"
        )
    }
}

/// What becomes of the blocks of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Summary {
    Mean,
    Median,
}

impl Summary {
    fn of(self, values: &[f64]) -> Option<f64> {
        match self {
            Self::Mean => stats::mean(values),
            Self::Median => quantile(values, 0.5),
        }
    }

    fn over(self, observations: &[f64]) -> Option<Location> {
        match self {
            Self::Mean => Location::of_all(observations),
            Self::Median => Location::of(observations),
        }
    }
}

/// Treatment minus control, round by round.
pub fn differences(control: &[Option<f64>], treatment: &[Option<f64>]) -> Vec<Option<f64>> {
    let rounds = control.iter().zip(treatment);
    rounds
        .map(|(control, treatment)| Some((*treatment)? - (*control)?))
        .collect()
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
