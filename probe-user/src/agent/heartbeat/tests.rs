use super::*;

fn own() -> Generation {
    let pid = i32::try_from(std::process::id()).unwrap();
    Generation::of(pid).unwrap()
}

fn spoilt(spoil: impl Fn(&mut Value)) -> (Heartbeat, Option<f64>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let mut first = Heartbeat::begin(&path).unwrap();
    assert!(first.beat(vec![own()]) && first.predecessor().is_none());
    let mut state: Value = json::read(&path).unwrap();
    spoil(&mut state);
    json::write(&path, &state).unwrap();
    let second = Heartbeat::begin(&path).unwrap();
    let until_s = second.observed_until_s(&own());
    // What was of no use is no longer there.
    Heartbeat::begin(&path).unwrap();
    (second, until_s)
}

#[test]
fn the_next_agent_knows_until_when_a_process_was_observed() {
    let before_s = since_boot_s();
    let (mut next, until_s) = spoilt(|_| {});
    let until_s = until_s.unwrap();
    assert!((before_s..=since_boot_s()).contains(&until_s), "{until_s}");
    let mut other = own();
    other.start_ticks += 1;
    assert_eq!(next.observed_until_s(&other), None);
    next.path = tempfile::tempdir().unwrap().path().join("gone/state.json");
    assert!(!next.beat(vec![own(), other]), "the folder has gone");
    let predecessor = next.predecessor().unwrap();
    assert_eq!(predecessor.processes, 1);
    assert!(predecessor.gap_s.unwrap() >= 0.0);
    assert_eq!(next.observed_until_s(&own()), None, "once");
}

#[test]
fn what_is_of_no_use_is_said_and_not_used() {
    type Spoil = fn(&mut Value);
    let cases: [(&str, Spoil); 5] = [
        ("another boot", |state| {
            state["clock"]["boot_id"] = "x".into();
        }),
        ("another clock", |state| {
            state["clock"]["time_namespace"] = "time:[1]".into();
        }),
        ("another clock", |state| state["until_s"] = 1e12.into()),
        ("agent-state/9", |state| {
            state["schema"] = "hookprobe/agent-state/9".into();
        }),
        ("state.json", |state| state["observed"] = 3.into()),
    ];
    for (text, spoil) in cases {
        let (heartbeat, until_s) = spoilt(spoil);
        let said = heartbeat.predecessor().and_then(|it| it.ignored.clone());
        assert!(
            said.as_ref().is_some_and(|said| said.contains(text)),
            "{text}: {said:?}"
        );
        assert_eq!(until_s, None);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = Heartbeat::begin(&folder.path().join("missing/state.json")).unwrap_err();
    assert!(format!("{error:#}").contains("--state-file"), "{error:#}");
}
