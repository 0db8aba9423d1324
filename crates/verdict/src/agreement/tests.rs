use super::*;

/// Noise that has a mean of 0 over the rounds, the same for each call.
fn noise(round: u32, amplitude: f64) -> f64 {
    let values = [0.9, -0.4, 0.3, -1.0, 0.6, -0.2, 0.1, -0.3];
    values[round as usize % values.len()] * amplitude
}

/// Forty rounds in which the hook costs `in_situ` at the call and `macro_` end to end.
fn outcome(in_situ: f64, macro_: f64, amplitude: f64, doubts: &[Doubt]) -> Agreement {
    let rounds = 0..40;
    let of = |value: f64, shift: u32| -> Vec<Option<f64>> {
        let rounds = rounds.clone();
        rounds
            .map(|round| Some(value + noise(round + shift, amplitude)))
            .collect()
    };
    let baseline = of(10_000.0, 0);
    let hooked = of(10_000.0 + macro_, 3);
    let in_situ: Vec<Option<f64>> = rounds
        .clone()
        .map(|round| Some(in_situ + noise(round, 2.0)))
        .collect();
    let rounds = Rounds {
        baseline: &baseline,
        hooked: &hooked,
        in_situ: &in_situ,
        reads: [&baseline, &hooked],
        order: Order::ROUNDS,
    };
    agreement(&rounds, doubts).unwrap()
}

#[test]
fn layers_agree_differ_or_cannot_be_told_apart() {
    let found = outcome(300.0, 310.0, 100.0, &[]);
    assert_eq!(found.verdict, Verdict::Agree);
    let share = found.explained_share.unwrap();
    assert!((share.estimate - 300.0 / 310.0).abs() < 1e-6, "{share:?}");
    assert!(share.ci95[0] < 1.0 && share.ci95[1] > 1.0);
    assert_eq!(found.blocks_more, None);

    let found = outcome(300.0, 900.0, 100.0, &[]);
    assert_eq!(found.verdict, Verdict::Differ);
    assert!((found.unexplained.estimate - 600.0).abs() < 1e-6);
    let reads = &found.lines["read_syscall"];
    assert!((reads.estimate - 900.0).abs() < 1e-6, "{reads:?}");

    let found = outcome(300.0, 310.0, 5_000.0, &[]);
    assert_eq!(found.verdict, Verdict::Unresolved);
    assert_eq!(found.explained_share, None, "any share is possible");
    // With 40 + more rounds the interval would be as narrow as the hook's cost, and a bit.
    let more = found.blocks_more.unwrap() as f64;
    let then = found.resolution_ns * (40.0 / (40.0 + more)).sqrt();
    assert!(then < 300.0 && then > 150.0, "{more} more: {then}");
}

#[test]
fn a_level_that_still_changes_withholds_the_verdict() {
    let (baseline, in_situ) = ([Some(10_000.0); 40], [Some(300.0); 40]);
    let hooked: Vec<Option<f64>> = (0..40)
        .map(|round| Some(noise(round, 20.0) + if round < 30 { 10_300.0 } else { 10_700.0 }))
        .collect();
    let rounds = Rounds {
        baseline: &baseline,
        hooked: &hooked,
        in_situ: &in_situ,
        reads: [&baseline, &hooked],
        order: Order::ROUNDS,
    };
    let found = agreement(&rounds, &[]).unwrap();
    assert_eq!(found.verdict, Verdict::Withheld);
    assert!(found.withheld[0].contains("observation 31 of 40"));
}

#[test]
fn grave_doubts_withhold_the_verdict_and_leave_the_estimates() {
    let doubts = [Doubt::OneAfterTheOther, Doubt::Unbalanced];
    let found = outcome(300.0, 310.0, 100.0, &doubts);
    assert_eq!(found.verdict, Verdict::Withheld);
    assert_eq!(found.withheld, ["the ledger does not balance"]);
    assert!(found.explained_share.is_some());
    let warned = outcome(300.0, 310.0, 100.0, &doubts[..1]);
    assert_eq!(warned.verdict, Verdict::Agree);
}

#[test]
fn blocks_are_enough_or_not_whatever_withholds_the_verdict() {
    for (amplitude, enough) in [(100.0, true), (5_000.0, false)] {
        let found = outcome(300.0, 310.0, amplitude, &[Doubt::Unbalanced]);
        assert_eq!(
            (found.verdict, is_resolved(&found)),
            (Verdict::Withheld, enough)
        );
    }
}

#[test]
fn with_a_margin_the_whole_interval_decides() {
    for (ci95, expected) in [
        ([-24.0, 25.0], Verdict::Agree),
        ([3.0, 9.0], Verdict::Agree),
        ([-10.0, 26.0], Verdict::Unresolved),
        ([10.0, 90.0], Verdict::Unresolved),
        ([-900.0, 900.0], Verdict::Unresolved),
        ([26.0, 90.0], Verdict::Differ),
        ([-90.0, -26.0], Verdict::Differ),
    ] {
        let unexplained = Interval {
            estimate: f64::midpoint(ci95[0], ci95[1]),
            ci95,
            blocks: 8,
        };
        let (found, withheld) = verdict(unexplained, 100.0, Some(25.0), &[]);
        assert_eq!((found, withheld.len()), (expected, 0), "{ci95:?}");
    }
}
