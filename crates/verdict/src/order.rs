//! How arms are compared, by the order in which their blocks ran.

use runlog::manifest::{Schedule, schedule};
use stats::{Interval, mean, mean_interval, unpaired_difference};

/// The order of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Every arm has one block in each round.
    Rounds,
    /// Two arms at once, on sides that are swapped in every second round.
    Duet,
    /// One arm wholly after the other.
    Sequential,
}

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
        kind: Kind::Rounds,
        servers: 1,
    };

    /// The order that a schedule names.
    pub fn of(schedule: &Schedule) -> Self {
        Self {
            kind: match schedule.order.as_str() {
                schedule::DUET => Kind::Duet,
                schedule::SEQUENTIAL => Kind::Sequential,
                _ => Kind::Rounds,
            },
            servers: usize::try_from(schedule.servers_per_arm).unwrap_or(1),
        }
    }

    /// Whether two arms ran at once.
    pub fn is_duet(self) -> bool {
        self.kind == Kind::Duet
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
            Kind::Rounds => self.paired(control, treatment),
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
            Kind::Rounds | Kind::Duet => {
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
            Kind::Rounds => rounds.to_vec(),
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
            Kind::Rounds => {
                "Student's t on differences of block means, paired by round (order rmit)"
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
            (servers, Kind::Rounds | Kind::Duet) => {
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
mod tests {
    use super::*;

    fn order(kind: Kind) -> Order {
        Order { kind, servers: 1 }
    }

    #[test]
    fn of_several_servers_the_pair_is_the_unit() {
        // Three pairs of servers; the second pair differs by 9 for as long as it lives, and 20 rounds
        // of each would make that look certain.
        let control: Vec<Option<f64>> = (0..60)
            .map(|round| Some(100.0 + f64::from(round)))
            .collect();
        let own = |round: u32| if round % 3 == 1 { 9.0 } else { 0.0 };
        let treatment: Vec<Option<f64>> = (0..60)
            .map(|round| Some(100.0 + f64::from(round) + own(round)))
            .collect();
        let rounds_of_three = Order {
            kind: Kind::Rounds,
            servers: 3,
        };
        let found = rounds_of_three.difference(&control, &treatment).unwrap();
        assert_eq!((found.estimate, found.blocks), (3.0, 3));
        assert!(found.contains(0.0));
        let blocks = order(Kind::Rounds)
            .difference(&control, &treatment)
            .unwrap();
        assert!(!blocks.contains(0.0));
        assert!(rounds_of_three.method().contains("3 pairs of servers"));
        let sequential = Order {
            kind: Kind::Sequential,
            servers: 3,
        };
        let found = sequential.difference(&control, &treatment).unwrap();
        assert_eq!(found.blocks, 3);
    }

    fn rounds(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn in_a_duet_a_slower_side_is_in_neither_estimate_nor_interval() {
        // The treatment costs 3 more; side B costs 50 more, and the arms swap sides each round. What
        // disturbs a pair disturbs both.
        let disturbance = [0.0, 7.0, 1.0, 90.0, 4.0, 2.0];
        let side = |round: usize, swapped: bool| {
            if (round % 2 == 1) == swapped {
                0.0
            } else {
                50.0
            }
        };
        let of = |cost: f64, swapped: bool| -> Vec<Option<f64>> {
            let at = |(round, extra)| Some(100.0 + cost + extra + side(round, swapped));
            disturbance.iter().copied().enumerate().map(at).collect()
        };
        let (control, treatment) = (of(0.0, false), of(3.0, true));
        let found = order(Kind::Duet).difference(&control, &treatment).unwrap();
        assert!((found.estimate - 3.0).abs() < 1e-9 && found.half_width() < 1e-9);
        assert_eq!(found.blocks, 3);
        // Taken round by round the side would drown it.
        let naive = order(Kind::Rounds)
            .difference(&control, &treatment)
            .unwrap();
        assert!(naive.half_width() > 50.0);
        let rest = order(Kind::Duet)
            .difference_less(&control, &treatment, &rounds(&[2.0; 6]))
            .unwrap();
        assert!((rest.estimate - 1.0).abs() < 1e-9);
    }

    #[test]
    fn without_pairs_the_rounds_do_not_matter() {
        let control = rounds(&[1.0, 2.0, 3.0, 4.0]);
        let treatment = rounds(&[14.0, 11.0, 13.0, 12.0]);
        let mut other_way = treatment.clone();
        other_way.reverse();
        let found = order(Kind::Sequential).difference(&control, &treatment);
        assert_eq!(
            found,
            order(Kind::Sequential).difference(&control, &other_way)
        );
        let found = found.unwrap();
        assert!((found.estimate - 10.0).abs() < 1e-9 && found.half_width() > 1.0);
        let less = order(Kind::Sequential)
            .difference_less(&control, &treatment, &rounds(&[9.0, 11.0]))
            .unwrap();
        assert!((less.estimate).abs() < 1e-9 && less.half_width() > found.half_width());
    }

    #[test]
    fn a_missing_block_costs_its_unit() {
        let control = [Some(1.0), None, Some(1.0), Some(1.0), Some(1.0), Some(1.0)];
        let treatment = rounds(&[2.0, 9.0, 2.0, 2.0, 2.0, 2.0]);
        let duet = order(Kind::Duet).difference(&control, &treatment).unwrap();
        assert_eq!((duet.estimate, duet.blocks), (1.0, 2));
        assert_eq!(
            order(Kind::Rounds)
                .difference(&control, &treatment)
                .unwrap()
                .blocks,
            5
        );
    }
}
