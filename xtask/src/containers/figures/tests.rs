use serde_json::json;

use super::*;

type Break = fn(&mut Figures);

/// What a run of 100 requests an arm comes to when all is well.
fn good() -> Figures {
    let arm = || json!({"requests": 90, "warmup_requests": 10, "errors": 0});
    let ledger = json!({"balanced": true, "hits_of_other_processes": 0, "dropped": 0});
    Figures {
        run: json!({"summary": {
            "arms": [arm(), arm()],
            "agent": {"run": {"state": "complete", "result": {"usable": true, "arms": [
                {"ledger": ledger},
                {"ledger": ledger, "join": {"matched": 100, "reads_without_request": 0}},
            ]}}},
        }}),
        baseline: json!({"ledger": ledger, "spans": {"read_syscall": {"count": 101}}}),
        hooked: json!({"ledger": ledger, "spans": {"hook": {"count": 101}}}),
        arms: json!({"arms": [
            {"arm": "baseline", "ledger": ledger, "spans": {}},
            {"arm": "hooked", "ledger": ledger, "spans": {"hook_overhead": {"count": 101}}},
        ]}),
        joined: json!({"join": {"matched": 100, "reads_without_request": 0}}),
    }
}

#[test]
fn what_is_wrong_is_found_and_nothing_else() {
    good().check(100).unwrap();
    let wrong: [(&str, Break); 11] = [
        ("agent: hooked reads, baseline: 1,", |figures| {
            figures.arms["arms"][0]["spans"]["hook_overhead"] = json!({"count": 1});
        }),
        ("agent: hooked reads, hooked: 202,", |figures| {
            figures.arms["arms"][1]["spans"]["hook_overhead"]["count"] = json!(202);
        }),
        ("failed, hooked", |figures| {
            figures.run["summary"]["arms"][1]["errors"] = json!(1);
        }),
        ("requests to baseline", |figures| {
            figures.run["summary"]["arms"][0]["requests"] = json!(89);
        }),
        ("ends of connections: 200,", |figures| {
            figures.hooked["spans"]["hook"]["count"] = json!(200);
        }),
        ("server without the hook: 1,", |figures| {
            figures.baseline["spans"]["hook"] = json!({"count": 1});
        }),
        ("requests joined to hooked reads: 99,", |figures| {
            figures.joined["join"]["matched"] = json!(99);
            let arms = &mut figures.run["summary"]["agent"]["run"]["result"]["arms"];
            arms[1]["join"]["matched"] = json!(99);
        }),
        ("agent: requests joined to hooked reads: 99,", |figures| {
            let arms = &mut figures.run["summary"]["agent"]["run"]["result"]["arms"];
            arms[1]["join"]["matched"] = json!(99);
        }),
        ("agent: runs that are complete: 0,", |figures| {
            figures.run["summary"]["agent"]["run"]["state"] = json!("cut_short");
        }),
        ("balance, hooked", |figures| {
            figures.hooked["ledger"]["balanced"] = json!(false);
        }),
        ("in the kernel: 0,", |figures| {
            figures.baseline["spans"]["read_syscall"]["count"] = json!(0);
        }),
    ];
    for (what, breaks) in wrong {
        let mut figures = good();
        breaks(&mut figures);
        let error = figures.check(100).unwrap_err().to_string();
        assert!(error.contains(what), "{what}: {error}");
        assert!(!error.contains(';'), "more than that: {error}");
    }
}

#[test]
fn a_run_without_a_summary_does_not_pass() {
    let mut figures = good();
    figures.run = json!({"summary": null});
    figures.check(100).unwrap_err();
}
