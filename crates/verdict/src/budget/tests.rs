use super::*;

fn joined(response_time_ns: u64, flags: u16) -> JoinedRequest {
    JoinedRequest {
        flags,
        calls: 1,
        hook_overhead_ns: 300,
        read_syscall_ns: 900,
        application_ns: 2_000,
        write_syscall_ns: 5_000,
        response_time_ns,
        ..JoinedRequest::default()
    }
}

#[test]
fn the_lines_add_up_and_exceptions_are_left_out() {
    let mut collector = BudgetCollector::new(Trim::each_end(0.25).unwrap());
    let mut no_answer = joined(10_000, 0);
    no_answer.write_syscall_ns = 0;
    collector.add(&[
        joined(1_000_000_000, 0),
        joined(12_000, 0),
        joined(10_000, 0),
        joined(9_000, 0),
        joined(5, Request::WARMUP),
        joined(5, JoinedRequest::SHARED),
        no_answer,
    ]);
    let budget = collector.finish("hooked").unwrap();
    assert_eq!(
        budget.requests, 2,
        "the fastest and the slowest of four are trimmed"
    );
    assert!((budget.end_to_end_ns - 11_000.0).abs() < 1e-9);
    let sum: f64 = budget.lines.iter().map(|line| line.mean_ns).sum();
    assert!((sum - budget.end_to_end_ns).abs() < 1e-9);
    assert_eq!(
        budget.lines.last().map(|line| line.name.as_str()),
        Some("rest")
    );
    assert!((budget.lines[4].mean_ns - 2_800.0).abs() < 1e-9);
}

#[test]
fn slow_requests_have_a_budget_of_their_own() {
    let mut collector = BudgetCollector::new(Trim::NONE);
    // One request in fifty is slow, and it is the application that takes the time.
    let requests: Vec<JoinedRequest> = (0..5_000)
        .map(|number| {
            let mut request = joined(10_000, 0);
            if number % 50 == 0 {
                request.application_ns += 40_000;
                request.response_time_ns += 40_000;
            }
            request
        })
        .collect();
    for block in requests.chunks(500) {
        collector.add(block);
    }
    let budget = collector.finish("hooked").unwrap();
    let application = |at: &BudgetAt| at.lines[2].mean_ns;
    let [p50, p90, p99, p999] = &budget.quantiles[..] else {
        panic!("{:?}", budget.quantiles);
    };
    assert_eq!((p50.end_to_end_ns, application(p50)), (10_000.0, 2_000.0));
    assert_eq!((p90.end_to_end_ns, application(p90)), (10_000.0, 2_000.0));
    assert_eq!((p99.end_to_end_ns, application(p99)), (50_000.0, 42_000.0));
    assert_eq!(p99.requests, 100, "all that share the bucket");
    assert_eq!((p999.from, p999.to), (0.98, 1.0));
    for at in &budget.quantiles {
        let sum: f64 = at.lines.iter().map(|line| line.mean_ns).sum();
        assert!((sum - at.end_to_end_ns).abs() < 1e-9);
    }
}

#[test]
fn no_requests_make_no_budget() {
    assert_eq!(BudgetCollector::new(Trim::NONE).finish("hooked"), None);
}
