//! What an experiment must come to.

use anyhow::ensure;
use serde_json::Value;

/// What was seen, as the programs wrote it.
#[derive(Debug)]
pub struct Figures {
    /// The run, from the page.
    pub run: Value,
    /// What the observer saw of the server without the hook.
    pub baseline: Value,
    /// And of the other.
    pub hooked: Value,
    /// The other's reads, joined to the requests.
    pub joined: Value,
}

impl Figures {
    /// Checks all of them, and prints those that count.
    pub fn check(&self, requests: u64) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        let mut expect = |what: &str, seen: u64, expected: u64| {
            println!("{seen:>9}  {what}");
            if seen != expected {
                wrong.push(format!("{what}: {seen}, and not {expected}"));
            }
        };
        for (number, name) in ["baseline", "hooked"].iter().enumerate() {
            let arm = &self.run["summary"]["arms"][number];
            let answered = count(&arm["requests"]).saturating_add(count(&arm["warmup_requests"]));
            expect(&format!("requests to {name}"), answered, requests);
            expect(&format!("of them failed, {name}"), count(&arm["errors"]), 0);
        }
        let join = &self.joined["join"];
        expect(
            "requests joined to hooked reads",
            count(&join["matched"]),
            requests,
        );
        let strays = count(&join["reads_without_request"]);
        expect("hooked reads of no request", strays, 0);
        // Only kinds that occurred are there.
        let strays = match self.baseline["spans"].get("hook") {
            Some(hook) => count(&hook["count"]),
            None => 0,
        };
        expect("hooked reads of the server without the hook", strays, 0);
        for (what, trace) in [("baseline", &self.baseline), ("hooked", &self.hooked)] {
            let ledger = &trace["ledger"];
            let balanced = u64::from(ledger["balanced"] == true);
            expect(&format!("ledgers that balance, {what}"), balanced, 1);
            let others = count(&ledger["hits_of_other_processes"]);
            expect(&format!("hits of other processes, {what}"), others, 0);
            let dropped = count(&ledger["dropped"]);
            expect(&format!("records dropped, {what}"), dropped, 0);
        }
        // Each would be seen twice, if one attach did not do for all containers that share a file. At the end of a
        // connection there is a read without bytes.
        let spans = count(&self.hooked["spans"]["hook"]["count"]);
        println!("{spans:>9}  hooked reads, those at the ends of connections among them");
        if !(requests..=requests + requests / 100).contains(&spans) {
            wrong.push(format!("{spans} hooked reads, and not one a request"));
        }
        // Somebody looked: its reads were seen, and not the hook's.
        let reads = count(&self.baseline["spans"]["read_syscall"]["count"]);
        println!("{reads:>9}  reads of the server without the hook, in the kernel");
        if reads < requests {
            wrong.push(format!(
                "the server without the hook was seen to read {reads} times only"
            ));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }
}

/// A count, or a number that no count equals.
fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Break = fn(&mut Figures);

    /// What a run of 100 requests an arm comes to when all is well.
    fn good() -> Figures {
        let arm = || json!({"requests": 90, "warmup_requests": 10, "errors": 0});
        let ledger = json!({"balanced": true, "hits_of_other_processes": 0, "dropped": 0});
        Figures {
            run: json!({"summary": {"arms": [arm(), arm()]}}),
            baseline: json!({"ledger": ledger, "spans": {"read_syscall": {"count": 101}}}),
            hooked: json!({"ledger": ledger, "spans": {"hook": {"count": 101}}}),
            joined: json!({"join": {"matched": 100, "reads_without_request": 0}}),
        }
    }

    #[test]
    fn what_is_wrong_is_found_and_nothing_else() {
        good().check(100).unwrap();
        let wrong: [(&str, Break); 7] = [
            ("failed, hooked", |figures| {
                figures.run["summary"]["arms"][1]["errors"] = json!(1);
            }),
            ("requests to baseline", |figures| {
                figures.run["summary"]["arms"][0]["requests"] = json!(89);
            }),
            ("200 hooked reads", |figures| {
                figures.hooked["spans"]["hook"]["count"] = json!(200);
            }),
            ("server without the hook: 1,", |figures| {
                figures.baseline["spans"]["hook"] = json!({"count": 1});
            }),
            ("joined to hooked reads: 99,", |figures| {
                figures.joined["join"]["matched"] = json!(99);
            }),
            ("balance, hooked", |figures| {
                figures.hooked["ledger"]["balanced"] = json!(false);
            }),
            ("read 0 times", |figures| {
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
}
