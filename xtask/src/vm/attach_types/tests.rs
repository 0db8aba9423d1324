use super::*;

fn outcome(attach_type: &str, worked: bool, detail: &str) -> Outcome {
    Outcome {
        attach_type: attach_type.to_owned(),
        kernel: "1.2.3".to_owned(),
        worked,
        detail: detail.to_owned(),
        as_expected: Some(true),
    }
}

#[test]
fn outcomes_are_found_among_the_tests_words() {
    let line = |json: &str| format!("test a ... \n{LINE}{json}\nok\n");
    let good = r#"{"kernel":"1.2.3","attach_type":"kprobe","outcome":"refused","detail":"no","as_expected":true}"#;
    assert_eq!(
        Outcome::all_in(&line(good)).unwrap(),
        [outcome("kprobe", false, "no")]
    );
    let unknown = good.replace("refused", "perhaps");
    assert!(Outcome::all_in(&line(&unknown)).is_err());
    assert_eq!(Outcome::all_in("").unwrap(), []);
}

#[test]
fn refusals_refer_to_their_reasons_and_gaps_are_told() {
    let mut table = Table::default();
    table.add(
        "a",
        &[
            outcome("auto", true, "tp-btf"),
            outcome("kprobe", false, "no"),
        ],
    );
    table.add(
        "b",
        &[
            outcome("kprobe", false, "no"),
            outcome("fentry", false, "never"),
        ],
    );
    table.add("c", &[]);
    let shown = table.to_string();
    let row = |name: &str| -> Vec<String> {
        let line = shown.lines().find(|line| line.contains(name)).unwrap();
        let cells = line.split('|').map(|cell| cell.trim().to_owned());
        cells.filter(|cell| !cell.is_empty()).collect()
    };
    assert_eq!(
        row("auto"),
        ["auto", "ok tp-btf", "no outcome", "no outcome"]
    );
    assert_eq!(
        row("kprobe"),
        ["kprobe", "refused [1]", "refused [1]", "no outcome"]
    );
    assert_eq!(
        row("fentry"),
        ["fentry", "no outcome", "refused [2]", "no outcome"]
    );
    assert!(shown.contains("[1] no\n[2] never\n"), "{shown}");
    assert!(shown.contains("kernel c is no outcome"), "{shown}");
}
