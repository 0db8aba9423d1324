//! How arms are compared, by the order in which their blocks ran.

use runlog::manifest::{Schedule, schedule};
use stats::{Interval, mean_interval, paired_difference, unpaired_difference};

/// The order of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Every arm has one block in each round.
    Rounds,
    /// Two arms at once, on sides that are swapped in every second round.
    Duet,
    /// One arm wholly after the other.
    Sequential,
}

impl Order {
    /// The order that a schedule names.
    pub fn of(schedule: &Schedule) -> Self {
        match schedule.order.as_str() {
            schedule::DUET => Self::Duet,
            schedule::SEQUENTIAL => Self::Sequential,
            _ => Self::Rounds,
        }
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
        match self {
            Self::Rounds => paired_difference(control, treatment),
            Self::Duet => paired_difference(&by_twos(control), &by_twos(treatment)),
            Self::Sequential => unpaired_difference(&known(control), &known(treatment)),
        }
    }

    /// The same less a third quantity, which was seen in the same rounds.
    pub fn difference_less(
        self,
        control: &[Option<f64>],
        treatment: &[Option<f64>],
        less: &[Option<f64>],
    ) -> Option<Interval> {
        match self {
            Self::Rounds | Self::Duet => {
                let differences: Vec<Option<f64>> = control
                    .iter()
                    .zip(treatment)
                    .map(|(control, treatment)| Some((*treatment)? - (*control)?))
                    .collect();
                self.difference(less, &differences)
            }
            Self::Sequential => {
                let difference = self.difference(control, treatment)?;
                Some(difference.minus(mean_interval(&known(less))?))
            }
        }
    }

    /// A quantity by what counts as one observation: a round, or two rounds in a duet. None where what is
    /// compared did not run together.
    pub fn units(self, rounds: &[Option<f64>]) -> Vec<Option<f64>> {
        match self {
            Self::Rounds => rounds.to_vec(),
            Self::Duet => by_twos(rounds),
            Self::Sequential => Vec::new(),
        }
    }

    /// Rounds that make one observation.
    pub fn rounds_a_unit(self) -> usize {
        match self {
            Self::Rounds | Self::Sequential => 1,
            Self::Duet => 2,
        }
    }

    /// How the interval of a difference between arms is made.
    pub fn method(self) -> &'static str {
        match self {
            Self::Rounds => {
                "Student's t on differences of block means, paired by round (order rmit)"
            }
            Self::Duet => {
                "Student's t on differences of means of blocks that ran at once, of two rounds with the \
                 sides swapped (order duet)"
            }
            Self::Sequential => {
                "Welch's t on block means, unpaired: one arm ran after the other, and what drifted between \
                 them is in the difference (order sequential)"
            }
        }
    }

    /// What to beware of.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::Rounds | Self::Duet => None,
            Self::Sequential => Some(
                "one arm ran wholly after the other: whatever drifts meanwhile falls on one arm and counts \
                 as a difference, and no interval knows of it; rmit and duet keep it out",
            ),
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
        let found = Order::Duet.difference(&control, &treatment).unwrap();
        assert!((found.estimate - 3.0).abs() < 1e-9 && found.half_width() < 1e-9);
        assert_eq!(found.blocks, 3);
        // Taken round by round the side would drown it.
        let naive = Order::Rounds.difference(&control, &treatment).unwrap();
        assert!(naive.half_width() > 50.0);
        let rest = Order::Duet
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
        let found = Order::Sequential.difference(&control, &treatment);
        assert_eq!(found, Order::Sequential.difference(&control, &other_way));
        let found = found.unwrap();
        assert!((found.estimate - 10.0).abs() < 1e-9 && found.half_width() > 1.0);
        let less = Order::Sequential
            .difference_less(&control, &treatment, &rounds(&[9.0, 11.0]))
            .unwrap();
        assert!((less.estimate).abs() < 1e-9 && less.half_width() > found.half_width());
    }

    #[test]
    fn a_missing_block_costs_its_unit() {
        let control = [Some(1.0), None, Some(1.0), Some(1.0), Some(1.0), Some(1.0)];
        let treatment = rounds(&[2.0, 9.0, 2.0, 2.0, 2.0, 2.0]);
        let duet = Order::Duet.difference(&control, &treatment).unwrap();
        assert_eq!((duet.estimate, duet.blocks), (1.0, 2));
        assert_eq!(
            Order::Rounds
                .difference(&control, &treatment)
                .unwrap()
                .blocks,
            5
        );
    }
}
