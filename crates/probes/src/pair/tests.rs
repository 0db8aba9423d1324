use super::*;

#[test]
fn pairs_are_all_that_can_be_asked_for() {
    let others = [KernelProbe::Auto, KernelProbe::None];
    let values = <KernelProbe as clap::ValueEnum>::value_variants();
    let pairs = values.iter().filter(|probe| !others.contains(probe));
    assert!(pairs.eq(&KernelProbe::PAIRS));
    let [mut cheapest, mut all] =
        [by_cost("7.0"), KernelProbe::PAIRS].map(|it| it.map(KernelProbe::name));
    cheapest.sort_unstable();
    all.sort_unstable();
    assert_eq!(cheapest, all);
}

#[test]
fn the_cheapest_depends_on_the_kernel() {
    for release in ["5.10.0-46-cloud-amd64", "6.18.44", "?"] {
        assert_eq!(by_cost(release)[0], KernelProbe::TpBtf, "{release}");
    }
    for release in ["7.3.4+deb13-cloud-amd64", "10.0"] {
        assert_eq!(by_cost(release)[0], KernelProbe::Fentry, "{release}");
    }
}

#[test]
fn each_kernel_probe_brackets_read_and_the_write_family() {
    let places =
        |probe| -> Vec<String> { parts(probe).into_iter().map(|part| part.place).collect() };
    assert_eq!(places(KernelProbe::TpBtf).len(), 3);
    for probe in [
        KernelProbe::Fentry,
        KernelProbe::Tracepoint,
        KernelProbe::Kprobe,
    ] {
        let places = places(probe);
        assert_eq!(places.len(), 2 * 5 + 1, "{places:?}");
        for syscall in ["read", "write", "writev", "sendto", "sendmsg"] {
            let count = places
                .iter()
                .filter(|place| place.ends_with(&format!("_{syscall}")))
                .count();
            assert_eq!(count, 2, "{syscall}: {places:?}");
        }
    }
    assert_eq!(places(KernelProbe::None), Vec::<String>::new());
}
