//! What an experiment must come to.

use std::ops::RangeInclusive;

use anyhow::ensure;
use serde_json::Value;

/// What was seen, as the programs wrote it.
#[derive(Debug)]
pub struct Figures {
    /// The run, from the page.
    pub run: Value,
    /// What the agent has seen.
    pub arms: Value,
    /// What a trace saw of the server without the hook.
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
        let mut expect = |what: &str, seen: Option<u64>, expected: RangeInclusive<u64>| {
            let shown = seen.map_or_else(|| "none".to_owned(), |seen| seen.to_string());
            println!("{shown:>9}  {what}");
            if !seen.is_some_and(|seen| expected.contains(&seen)) {
                wrong.push(format!("{what}: {shown}, and not {}", in_words(&expected)));
            }
        };
        let all = requests..=requests;
        let none = 0..=0;
        for (number, name) in ["baseline", "hooked"].iter().enumerate() {
            let arm = &self.run["summary"]["arms"][number];
            let counted = arm["requests"].as_u64();
            let answered = counted.zip(arm["warmup_requests"].as_u64());
            let answered = answered.map(|(counted, warmup)| counted + warmup);
            expect(&format!("requests to {name}"), answered, all.clone());
            let failed = arm["errors"].as_u64();
            expect(&format!("of them failed, {name}"), failed, none.clone());
        }
        let join = &self.joined["join"];
        let joined = join["matched"].as_u64();
        expect("requests joined to hooked reads", joined, all);
        let strays = join["reads_without_request"].as_u64();
        expect("hooked reads of no request", strays, none.clone());
        // The agent, which has got the log while the load went on, comes to the same.
        let by_agent = &self.run["summary"]["agent"]["run"];
        let is_complete = u64::from(by_agent["state"] == "complete");
        expect("agent: runs that are complete", Some(is_complete), 1..=1);
        let usable = by_agent["result"]["usable"].as_bool().map(u64::from);
        expect("agent: results without doubts", usable, 1..=1);
        let by_agent = &by_agent["result"]["arms"][1];
        let at_agent = by_agent["join"]["matched"].as_u64();
        expect(
            "agent: requests joined to hooked reads",
            at_agent,
            joined.unwrap_or(0)..=joined.unwrap_or(0),
        );
        let strays = by_agent["join"]["reads_without_request"].as_u64();
        expect("agent: hooked reads of no request", strays, none.clone());
        let balanced = by_agent["ledger"]["balanced"].as_bool().map(u64::from);
        expect("agent: ledgers of the run that balance", balanced, 1..=1);
        // Each would be seen twice, if one attach did not do for all containers that share a file. At the end of a
        // connection there is a read without bytes.
        let one_each = requests..=requests + requests / 100;
        let spans = self.hooked["spans"]["hook"]["count"].as_u64();
        expect(
            "hooked reads, also at ends of connections",
            spans,
            one_each.clone(),
        );
        // Only kinds that occurred are there.
        let strays = match self.baseline["spans"].get("hook") {
            Some(hook) => hook["count"].as_u64(),
            None => Some(0),
        };
        expect(
            "hooked reads of the server without the hook",
            strays,
            none.clone(),
        );
        // Somebody looked: its reads were seen, and not the hook's.
        let reads = self.baseline["spans"]["read_syscall"]["count"].as_u64();
        expect(
            "reads of that server in the kernel",
            reads,
            requests..=u64::MAX,
        );
        for (what, trace) in [("baseline", &self.baseline), ("hooked", &self.hooked)] {
            let ledger = &trace["ledger"];
            let balanced = ledger["balanced"].as_bool().map(u64::from);
            expect(&format!("ledgers that balance, {what}"), balanced, 1..=1);
            let others = ledger["hits_of_other_processes"].as_u64();
            expect(
                &format!("hits of other processes, {what}"),
                others,
                none.clone(),
            );
            let dropped = ledger["dropped"].as_u64();
            expect(&format!("records dropped, {what}"), dropped, none.clone());
        }
        // The agent, which has found both by their environment.
        for (name, hooked_reads) in [("baseline", none.clone()), ("hooked", one_each)] {
            let arm = self.arms["arms"].as_array().and_then(|arms| {
                let mut arms = arms.iter().filter(|arm| arm["arm"] == name);
                arms.next().filter(|_| arms.next().is_none())
            });
            let arm = arm.unwrap_or(&Value::Null);
            let balanced = arm["ledger"]["balanced"].as_bool().map(u64::from);
            expect(
                &format!("agent: ledgers that balance, {name}"),
                balanced,
                1..=1,
            );
            let hook = &arm["spans"]["hook_overhead"];
            let spans = if hook.is_null() && !arm.is_null() {
                Some(0)
            } else {
                hook["count"].as_u64()
            };
            expect(&format!("agent: hooked reads, {name}"), spans, hooked_reads);
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }
}

fn in_words(expected: &RangeInclusive<u64>) -> String {
    match (*expected.start(), *expected.end()) {
        (from, to) if from == to => from.to_string(),
        (from, u64::MAX) => format!("{from} or more"),
        (from, to) => format!("{from} to {to}"),
    }
}

#[cfg(test)]
mod tests;
