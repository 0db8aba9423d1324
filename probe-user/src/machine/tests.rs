use super::*;

#[test]
fn the_environment_knows_this_machine() {
    let environment = environment();
    assert!(!environment.kernel.is_empty() && !environment.architecture.is_empty());
    assert!(environment.cpus >= 1);
    assert!((0.5..10_000.0).contains(&environment.clock_read_ns));
}

#[test]
fn one_connection_shares_a_core_away_from_the_agent() {
    let placement = placement(Policy::Auto, 1, &[0, 1, 2]);
    assert_eq!(
        (placement.sut_cpus, placement.loadgen_cpus),
        (vec![2], vec![2])
    );
    assert_eq!(placement.agent_cpus, [0, 1]);
}

#[test]
fn more_connections_use_two_cores_where_there_are_two() {
    let two = placement(Policy::Auto, 32, &[4, 6]);
    assert_eq!((two.sut_cpus, two.loadgen_cpus), (vec![6], vec![4]));
    assert_eq!(two.agent_cpus, [4]);
    let three = placement(Policy::TwoCores, 1, &[1, 2, 3]);
    assert_eq!((three.loadgen_cpus, three.agent_cpus), (vec![2], vec![1]));
}

#[test]
fn a_duet_takes_two_cores() {
    // Hardware threads 0 and 1 are of one core, 2 and 3 of another.
    let core_of = |cpu: usize| format!("core {}", cpu / 2);
    let placement = duet_placement(&[0, 1, 2, 3], core_of).unwrap();
    assert_eq!(placement.sut_cpus, [1, 3]);
    assert_eq!(placement.agent_cpus, [0, 2]);
    let threads = duet_placement(&[2, 3], core_of).unwrap();
    assert_eq!(
        (threads.sut_cpus, threads.agent_cpus),
        (vec![2, 3], vec![2, 3])
    );
    assert!(threads.policy.contains("hardware thread"));
    assert_eq!(duet_placement(&[5], core_of), None);
    assert_eq!(duet_placement(&[], core_of), None);
}

#[test]
fn a_single_core_serves_all() {
    for policy in [
        Policy::Auto,
        Policy::OneCore,
        Policy::TwoCores,
        Policy::Free,
    ] {
        let placement = placement(policy, 32, &[0]);
        assert_eq!(
            (placement.sut_cpus, placement.agent_cpus),
            (vec![0], vec![0])
        );
    }
}

#[test]
fn fields_of_cpuinfo() {
    let text = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu hypervisor\n";
    assert_eq!(cpuinfo_field(text, "model name").as_deref(), Some("A CPU"));
    assert_eq!(cpuinfo_field(text, "model"), None);
}
