use clap::Parser as _;

use super::*;
use crate::check::check;

const TRIAL: &str = "--trial=arms=off,null,on,on+1000 seed=7 size=512";

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    run: RunArguments,
}

/// What the command line `loadgen run` with these options is read as.
fn run(options: &[&str]) -> RunArguments {
    let words = ["run", "--arm=server=http://127.0.0.1:1/"].iter();
    let line = Line::try_parse_from(words.chain(options));
    line.unwrap_or_else(|error| panic!("{error}")).run
}

#[test]
fn a_trial_is_an_order_and_names_the_arms() {
    let arguments = run(&[TRIAL]);
    check(&arguments).unwrap();
    let names: Vec<String> = arguments
        .named_arms()
        .into_iter()
        .map(|arm| format!("{} {}", arm.name, arm.url))
        .collect();
    let expected = ["off", "null", "on", "on+1000"].map(|arm| format!("{arm} http://127.0.0.1:1/"));
    assert_eq!(names, expected);
    let schedule = arguments.schedule(1);
    assert_eq!(schedule.order, Order::Trial);
    let text = "seed=7 size=512 run=1 arms=off,null,on,on+1000";
    assert_eq!(schedule.trial.as_deref(), Some(text));
    assert_eq!(run(&[]).schedule(1).order, Order::Rmit);
    check(&run(&[TRIAL, "--order=trial"])).unwrap();
}

#[test]
fn a_block_of_a_trial_has_the_requests_of_all_arms() {
    let arguments = run(&[
        TRIAL,
        "--server=server=http://127.0.0.1:2/",
        "--requests=103",
        "--blocks=10",
        "--warmup=21",
        "--observe",
        "--gate",
        "--out=x",
    ]);
    check(&arguments).unwrap();
    let blocks = arguments.design(1, 3).blocks();
    assert_eq!(blocks.len(), 20);
    assert!(blocks.iter().all(|block| block.arm == 0));
    for observed in [false, true] {
        let of_state = || blocks.iter().filter(|block| block.observed == observed);
        let requests: Vec<u64> = of_state().map(|block| block.requests).collect();
        assert_eq!(requests, [42, 42, 41, 41, 41, 41, 41, 41, 41, 41]);
        let warmup: Vec<u64> = of_state().map(|block| block.warmup).collect();
        assert_eq!(warmup, [42, 42, 0, 0, 0, 0, 0, 0, 0, 0]);
        let servers: Vec<usize> = of_state().map(|block| block.server).collect();
        assert_eq!(servers, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    }
    // Each round has both states, in an order that is drawn.
    let rounds = || {
        blocks
            .chunks(2)
            .map(|round| [round[0].observed, round[1].observed])
    };
    assert!(rounds().all(|[first, second]| first != second));
    assert!(rounds().any(|[first, _]| first) && rounds().any(|[first, _]| !first));
}

#[test]
fn the_client_of_a_trial_stands_back_unless_it_spins() {
    assert!(!run(&[]).lets_others_finish());
    assert!(run(&[TRIAL]).lets_others_finish());
    assert!(!run(&[TRIAL, "--spin"]).lets_others_finish());
}

#[test]
fn what_does_not_go_with_a_trial_is_refused() {
    let refused = |options: &[&str], expected: &str| {
        let error = check(&run(options)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{options:?}: {error}");
    };
    refused(&["--order=trial"], "--order trial: takes --trial");
    refused(&[TRIAL, "--order=rmit"], "--order rmit: ");
    refused(&[TRIAL, "--arm=b=http://b/"], "--arm: ");
    refused(&[TRIAL, "--pipeline=2"], "--pipeline 2: ");
    refused(&[TRIAL, "--rate=10"], "--rate: ");
    assert!(check(&run(&[TRIAL, "--agent=http://a/"])).is_ok());
    let two_servers = ["--server=a=http://b/", "--agent=http://a/"];
    refused(&[TRIAL, two_servers[0], two_servers[1]], "--agent: ");
    refused(&[TRIAL, "--side-cpus=0,1"], "--side-cpus: ");
    let line = [
        "run",
        "--arm=a=http://a/",
        "--trial=seed=1 size=512 arms=on",
    ];
    let Err(error) = Line::try_parse_from(line) else {
        panic!("there is no arm off");
    };
    assert!(
        error.to_string().contains("must name off and on"),
        "{error}"
    );
}
