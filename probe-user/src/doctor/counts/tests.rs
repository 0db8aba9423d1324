use super::*;

#[test]
fn what_others_use_is_told_from_what_we_use() {
    let before = Counts::now();
    let until_ns = monotonic_ns() + 100_000_000;
    while monotonic_ns() < until_ns {}
    let mut after = Counts::now();
    let another = Seen {
        name: "another".to_owned(),
        cpu_ticks: 0,
        home: Home::default(),
    };
    let mut before = before;
    let _none = before.processes.insert(Pid::MAX, another.clone());
    let cpu_ticks = procfs::ticks_per_second() * 1_000;
    let _none = after.processes.insert(
        Pid::MAX,
        Seen {
            cpu_ticks,
            ..another
        },
    );
    let during = after.since(&before);
    assert!(during.seconds >= 0.1, "{during:?}");
    assert_eq!(during.busiest[0].0, "another");
    let own = during.names.len();
    assert!(own > 1, "{during:?}");
    assert!(during.busy_cpus.is_some(), "{during:?}");
}

#[test]
fn other_containers_are_counted_once() {
    let seen = |container: &str, pod: &str| Seen {
        name: "server".to_owned(),
        cpu_ticks: 0,
        home: Home {
            container: container.repeat(64),
            pod: pod.to_owned(),
        },
    };
    let mut counts = Counts::now();
    counts.processes = [
        (1, seen("a", "ours")),
        (2, seen("b", "ours")),
        (3, seen("c", "theirs")),
        (4, seen("d", "theirs")),
        (5, seen("e", "")),
        (6, seen("", "")),
    ]
    .into();
    assert_eq!(counts.other_homes(1), 2);
}
