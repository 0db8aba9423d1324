use super::*;
use crate::estimate::Unit;

fn estimate(unit: Unit) -> Estimate {
    Estimate {
        estimate: 1.5,
        ci95: [1.0, 2.0],
        unit,
        estimand: "difference of means".into(),
        method: "t on block means".into(),
        blocks: 10,
    }
}

fn analysis() -> Analysis {
    Analysis {
        schema: SCHEMA.into(),
        cut_short: None,
        not_usable: vec![],
        warnings: vec![],
        trim_each_end: 0.01,
        micro: Micro {
            hook_overhead: Some(estimate(Unit::Ns)),
            ..Micro::default()
        },
        in_situ: InSitu {
            calls_per_request: Some(estimate(Unit::Calls)),
            ..InSitu::default()
        },
        macro_: Macro {
            response_time: [("baseline".to_owned(), estimate(Unit::Ns))].into(),
            ..Macro::default()
        },
        trial: None,
        probe_effect: None,
        agreement: Some(Agreement {
            in_situ_per_request: estimate(Unit::Ns),
            unexplained: estimate(Unit::Ns),
            verdict: Verdict::Agree,
            resolution_ns: 0.5,
            explained_share: Some(estimate(Unit::One)),
            lines: [("read_syscall".to_owned(), estimate(Unit::Ns))].into(),
            blocks_more: None,
            needed: Some(Needed {
                observations: 40,
                of: "rounds".into(),
                now: 20,
            }),
            margin_ns: None,
            within_ns: Some(1.5),
            a_a_within_ns: None,
            withheld: vec![],
        }),
        agreement_typical: None,
        budget: Some(Budget {
            arm: "hooked".into(),
            requests: 3,
            end_to_end_ns: 10.0,
            lines: vec![BudgetLine {
                name: "rest".into(),
                mean_ns: 10.0,
            }],
            quantiles: vec![BudgetAt {
                quantile: 0.99,
                from: 0.985,
                to: 0.995,
                requests: 2,
                end_to_end_ns: 30.0,
                lines: vec![],
            }],
            association: Some(Association {
                rank_correlation: estimate(Unit::One),
                slope: estimate(Unit::One),
                most_requests_of_a_block: 400,
            }),
            waited_for: 0,
        }),
        probes: None,
        ledger: Some(Ledger {
            probes: [("read".to_owned(), LedgerRow::default())].into(),
            ..Ledger::default()
        }),
        join: Some(Join::default()),
        requests: [("baseline".to_owned(), Requests::default())].into(),
        environment: Environment::default(),
        placement: Placement::default(),
        recommendations: vec![Finding::warn("one pod", "two nodes", "use one")],
    }
}

#[test]
fn the_schema_accepts_what_is_written_and_refuses_what_is_not() {
    let schema = serde_json::to_value(schemars::schema_for!(Analysis)).unwrap();
    let mut json = serde_json::to_value(analysis()).unwrap();
    assert!(jsonschema::is_valid(&schema, &json));
    assert!(json["macro"]["response_time"]["baseline"].is_object());
    json["in_situ"]["surprise"] = 1.into();
    assert!(!jsonschema::is_valid(&schema, &json));
    json["in_situ"] = serde_json::json!({});
    json["ledger"]["hits"] = "many".into();
    assert!(!jsonschema::is_valid(&schema, &json));
}

#[test]
fn a_row_balances_when_every_hit_is_accounted_for() {
    let mut row = LedgerRow {
        hits: 10,
        recorded: 6,
        dropped: 2,
        unpaired: 1,
        in_flight: 1,
        ..LedgerRow::default()
    };
    assert!(row.is_balanced());
    row.hits += 1;
    assert!(!row.is_balanced());
}
