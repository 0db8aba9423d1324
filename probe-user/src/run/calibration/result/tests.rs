use super::super::subject::{Bare, Watched};
use super::*;

const UNWATCHED: Unwatched = Unwatched {
    clock: Answer {
        mean_ns: 20.0,
        median_ns: 19.0,
    },
    no_work: Answer {
        mean_ns: 70.0,
        median_ns: 70.0,
    },
    no_work_after_pause: Answer {
        mean_ns: 200.0,
        median_ns: 190.0,
    },
};
const ROUND: Round = Round {
    bare: Bare {
        back_to_back_ns: 85.0,
        after_pause_ns: 220.0,
    },
    watched: Watched {
        back_to_back_ns: 300.0,
        seen_mean_ns: 120.0,
        seen_median_ns: 118.0,
        seen_after_pause_ns: 330.0,
    },
};

#[test]
fn what_a_refused_call_does_itself_is_no_bias() {
    let bias = bias(Call::RefusedRead, &ROUND, &UNWATCHED);
    assert_eq!(
        (bias.mean_ns, bias.median_ns, cost_ns(&ROUND)),
        (105.0, 103.0, 215.0)
    );
    assert_eq!(bias.after_pause_ns, Some(300.0));
}

#[test]
fn all_that_is_seen_of_an_empty_function_is_bias() {
    use super::super::first_instruction::FirstInstruction;
    let bias = bias(Call::Function(FirstInstruction::Nop), &ROUND, &UNWATCHED);
    assert_eq!((bias.mean_ns, bias.median_ns), (120.0, 118.0));
}

#[test]
fn a_self_timed_span_of_nothing_is_one_clock_read() {
    let bias = bias(Call::HookedRead, &ROUND, &UNWATCHED);
    assert_eq!((bias.mean_ns, bias.median_ns), (20.0, 19.0));
}

#[test]
fn a_round_that_saw_nothing_is_no_estimate() {
    assert!(interval(&[1.0, f64::NAN]).is_err());
    assert!(interval(&[1.0]).is_err());
}
