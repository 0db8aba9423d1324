use super::*;

fn figures(kernel: &str, values: &[(&str, f64)]) -> Figures {
    let of_kernel = values
        .iter()
        .map(|(state, value)| ((*state).to_owned(), *value));
    let mut figures = Figures::default();
    figures.insert(kernel, of_kernel.collect());
    figures
}

#[test]
fn a_rise_of_more_than_five_percent_is_a_fault() {
    let kept = figures("6.1", &[("records", 2_000.0), ("none", 100.0)]);
    let faults = |records, none| {
        compare(
            &kept,
            &figures("6.1", &[("records", records), ("none", none)]),
        )
    };
    assert!(faults(2_098.0, 104.9).is_empty(), "4.9 %");
    assert!(faults(1_000.0, 1.0).is_empty(), "a fall is welcome");
    let rise = faults(2_102.0, 100.0);
    assert_eq!(rise.len(), 1, "5.1 %");
    assert!(
        rise[0].contains("6.1") && rise[0].contains("records"),
        "{rise:?}"
    );
    assert_eq!(faults(2_102.0, 105.1).len(), 2);
}

#[test]
fn what_is_kept_must_be_found() {
    let kept = figures("6.1", &[("records", 2_000.0)]);
    assert_eq!(compare(&kept, &figures("6.1", &[("none", 1.0)])).len(), 1);
    assert_eq!(
        compare(&kept, &Figures::default()).len(),
        1,
        "missing kernel"
    );
    let other = figures("5.10", &[("records", 1.0)]);
    assert_eq!(compare(&kept, &other).len(), 2, "one missing, one unknown");
}

#[test]
fn all_of_ours_must_take_less_than_the_bare_pair() {
    let above =
        |ours, bare| figures("6.1", &[(EVERYTHING, ours), (BARE_PAIR, bare)]).above_the_bare_pair();
    assert!(above(2_999.0, 3_000.0).is_empty());
    assert_eq!(above(3_000.0, 3_000.0).len(), 1);
    assert_eq!(
        figures("6.1", &[(EVERYTHING, 1.0)])
            .above_the_bare_pair()
            .len(),
        1
    );
}

#[test]
fn an_update_keeps_the_other_kernels() {
    let mut kept = figures("6.1", &[("records", 1.0)]);
    kept.replace(figures("5.10", &[("records", 2.0)]));
    kept.replace(figures("5.10", &[("records", 3.0)]));
    let folder = std::env::temp_dir().join(format!("figures-{}", std::process::id()));
    kept.write(&folder).unwrap();
    let read = Figures::read(&folder);
    fs::remove_file(&folder).unwrap();
    let read = read.unwrap();
    assert_eq!(read, kept);
    assert_eq!(
        (read.0["6.1"]["records"], read.0["5.10"]["records"]),
        (1.0, 3.0)
    );
}
