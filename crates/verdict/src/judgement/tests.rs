use runlog::trial::{TrialResult, UndisturbedEffect};

use super::*;

/// A run of whole servers against each other, whose verdict is withheld as its warm-up did not end.
fn analysis() -> Analysis {
    let text = include_str!("rmit.json");
    serde_json::from_str(text).unwrap()
}

fn agreement(analysis: &mut Analysis) -> &mut Agreement {
    analysis.agreement.as_mut().unwrap()
}

fn headline(analysis: &Analysis) -> (Tone, String) {
    let judgement = judge(analysis, None);
    (judgement.tone, judgement.headline)
}

#[test]
fn what_is_not_usable_is_said_before_any_verdict() {
    let mut run = analysis();
    let withheld = agreement(&mut run).withheld.clone();
    let judgement = judge(&run, None);
    assert_eq!(judgement.tone, Tone::Open);
    assert_eq!(judgement.reasons, withheld);
    run.not_usable = vec!["a reason".to_owned(), withheld[0].clone()];
    let judgement = judge(&run, None);
    assert_eq!(judgement.headline, "Do not use this result.");
    assert_eq!(judgement.reasons, ["a reason", &withheld[0]], "once each");
    run.ledger.as_mut().unwrap().balanced = false;
    run.not_usable = vec![Doubt::Unbalanced.to_string()];
    let judgement = judge(&run, None);
    assert!(judgement.headline.contains("the ledger does not balance"));
    assert_eq!(judgement.reasons, withheld, "the headline has the other");
}

#[test]
fn without_layers_to_compare_facts_speak_for_themselves() {
    let mut run = analysis();
    run.agreement = None;
    let limits = Resources {
        throttled_periods: Some(17),
        stolen: Some(0.2),
        ..Resources::default()
    };
    let judgement = judge(&run, Some(&limits));
    assert!(judgement.headline.contains("throttled") && judgement.tone == Tone::Bad);
    assert!(judgement.reasons[0].contains("17 periods"));
    assert!(judgement.reasons[1].contains("20.0 % of the CPU time"));
    assert_eq!(headline(&run).0, Tone::Plain);
}

#[test]
fn with_a_margin_agreement_is_to_within_it() {
    let mut run = analysis();
    let found = agreement(&mut run);
    found.withheld.clear();
    found.margin_ns = Some(25.0);
    found.within_ns = Some(19.0);
    found.in_situ_per_request.estimate = 190.0;
    for (verdict, tone, words) in [
        (
            Verdict::Agree,
            Tone::Good,
            "agree to within 19.0 ns, 10 % of what the hook takes",
        ),
        (
            Verdict::Unresolved,
            Tone::Open,
            "cannot tell whether the layers agree to within 25.0 ns",
        ),
    ] {
        agreement(&mut run).verdict = verdict;
        let judgement = judge(&run, None);
        assert_eq!(judgement.tone, tone);
        assert!(judgement.headline.contains(words), "{}", judgement.headline);
        let mut parts = judgement.text.iter().flatten();
        assert!(parts.any(|part| matches!(part, Part::Ns("/agreement/margin_ns", _))));
    }
}

/// What means leave open, requests that nothing disturbs may settle.
#[test]
fn undisturbed_requests_may_settle_what_means_leave_open() {
    let mut run = analysis();
    let found = agreement(&mut run);
    found.withheld.clear();
    found.margin_ns = Some(35.0);
    found.within_ns = Some(31.0);
    found.in_situ_per_request.estimate = 310.0;
    let mut of_undisturbed = found.clone();
    let on = UndisturbedEffect {
        requests: 1_000,
        end_to_end: found.unexplained.clone(),
        outside_call: Some(found.unexplained.clone()),
    };
    for (of_mean, undisturbed, headline) in [
        (
            Verdict::Unresolved,
            Verdict::Agree,
            "The layers, for requests that nothing disturbs, agree to within 31.0 ns, 10 % of what the hook takes.",
        ),
        (
            Verdict::Unresolved,
            Verdict::Unresolved,
            "This run cannot tell whether the layers agree to within 35.0 ns.",
        ),
        (
            Verdict::Withheld,
            Verdict::Agree,
            "The layers, for requests that nothing disturbs, agree to within 31.0 ns, 10 % of what the hook takes.",
        ),
        (
            Verdict::Withheld,
            Verdict::Withheld,
            "No verdict on whether the layers agree.",
        ),
        (
            Verdict::Agree,
            Verdict::Differ,
            "The layers agree to within 31.0 ns, 10 % of what the hook takes.",
        ),
    ] {
        agreement(&mut run).verdict = of_mean;
        of_undisturbed.verdict = undisturbed;
        run.trial = Some(Box::new(TrialResult {
            undisturbed: Some(Undisturbed {
                share: 0.4,
                effects: [("on".to_owned(), on.clone())].into(),
                doses: None,
                agreement: Some(of_undisturbed.clone()),
            }),
            ..TrialResult::default()
        }));
        let judgement = judge(&run, None);
        assert_eq!(judgement.headline, headline);
        let mut parts = judgement.text.iter().flatten();
        let at = "/trial/undisturbed/effects/on/outside_call";
        assert!(parts.any(|part| matches!(part, Part::Estimate(pointer, _) if *pointer == at)));
    }
}

/// By slices of time nothing is said of response times: what the calls are held against is the time per completed request.
#[test]
fn by_slices_it_is_said_what_a_completed_request_costs() {
    let mut run = analysis();
    let found = agreement(&mut run);
    found.withheld.clear();
    found.verdict = Verdict::Differ;
    found.unexplained.estimate = 700.0;
    let on = found.unexplained.clone();
    run.macro_.difference = Some(on.clone());
    run.trial = Some(Box::new(TrialResult {
        slices: Some(Box::new(SlicesResult {
            effects: [("on".to_owned(), on)].into(),
            ..SlicesResult::default()
        })),
        ..TrialResult::default()
    }));
    let judgement = judge(&run, None);
    let ending = "per completed request the hook costs more than its calls.";
    assert!(
        judgement.headline.ends_with(ending),
        "{}",
        judgement.headline
    );
    let first = &judgement.text[0];
    assert!(
        matches!(first[1], Part::Estimate("/macro/difference", _)),
        "{first:?}"
    );
    let parts = judgement.text.iter().flatten();
    let words: String = parts
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert!(
        words.contains("Of the difference of the time per completed request, "),
        "{words}"
    );
    assert!(!words.contains("end-to-end"), "{words}");
    assert!(
        words.starts_with("The time per completed request is "),
        "{words}"
    );
    // In an open loop the end-to-end layer is another figure.
    run.macro_.difference.as_mut().unwrap().estimate += 1.0;
    let judgement = judge(&run, None);
    assert!(judgement.headline.contains("end to end the hook costs"));
    let first = &judgement.text[0][0];
    assert!(
        matches!(first, Part::Text(text) if text == "The mean response time is "),
        "{first:?}"
    );
}

#[test]
fn layers_agree_or_one_costs_more() {
    let mut run = analysis();
    let found = agreement(&mut run);
    found.withheld.clear();
    found.verdict = Verdict::Agree;
    // As runs of earlier versions had it.
    (found.resolution_ns, found.within_ns) = (176.4, None);
    found.in_situ_per_request.estimate = 176.4;
    let (tone, words) = headline(&run);
    assert_eq!(tone, Tone::Good);
    assert!(
        words.starts_with("The layers agree to within 176 ns, 100 %"),
        "{words}"
    );
    agreement(&mut run).verdict = Verdict::Differ;
    for (estimate, way) in [
        (700.0, "more than its calls"),
        (-700.0, "less than its calls"),
    ] {
        agreement(&mut run).unexplained.estimate = estimate;
        let judgement = judge(&run, None);
        assert!(judgement.headline.contains(way), "{}", judgement.headline);
        let last = judgement.text.last().unwrap();
        assert!(
            last.iter()
                .any(|part| matches!(part, Part::Estimate("/agreement/lines/read_syscall", _)))
        );
    }
}
