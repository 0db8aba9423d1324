//! The dashboard and the rules ask for what the agent has, and show all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{deploy_folder, rules, tool};
use crate::kit::{Kit, succeed};

/// The agent's own list.
const METRICS: &str = include_str!("../../../probe-user/metrics.txt");

/// The metrics of the list, and their types.
pub fn listed() -> anyhow::Result<BTreeMap<&'static str, &'static str>> {
    let lines = METRICS.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let (name, kind) = (words.next(), words.next());
            let (name, kind) = name.zip(kind).context("a metric has a name and a type")?;
            ensure!(
                ["counter", "gauge", "histogram"].contains(&kind),
                "{name} is a {kind}"
            );
            ensure!(words.nth(1).is_some(), "{name} means nothing");
            Ok((name, kind))
        })
        .collect()
}

/// The names in a `PromQL` expression that could be ours.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.contains("hookprobe_"))
}

/// The metric of the list that a name asks for; an error if there is none.
fn metric<'a>(listed: &BTreeMap<&'a str, &str>, name: &str) -> anyhow::Result<&'a str> {
    let histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix));
    let found = match (listed.get_key_value(name), histogram) {
        (Some((_, kind)), _) if *kind == "histogram" => {
            bail!("{name} is a histogram: ask for its buckets, sum or count")
        }
        (Some((metric, _)), _) => Some(metric),
        (None, Some(histogram)) => listed
            .get_key_value(histogram)
            .filter(|(_, kind)| **kind == "histogram")
            .map(|(metric, _)| metric),
        (None, None) => None,
    };
    found
        .copied()
        .with_context(|| format!("no metric of the agent is {name}"))
}

/// All values of a field in a JSON document, wherever they are.
fn all<'a>(document: &'a Value, field: &str, found: &mut Vec<&'a str>) {
    match document {
        Value::Array(elements) => elements.iter().for_each(|it| all(it, field, found)),
        Value::Object(fields) => {
            found.extend(fields.get(field).and_then(Value::as_str));
            fields.values().for_each(|it| all(it, field, found));
        }
        _ => {}
    }
}

pub fn are_what_the_agent_has(kit: &Kit) -> anyhow::Result<()> {
    let listed = listed()?;
    what_is_wrong_is_found(&listed)?;
    let dashboard = std::fs::read_to_string(deploy_folder().join("grafana/dashboard.json"))?;
    let dashboard: Value = serde_json::from_str(&dashboard)?;
    let mut shown = Vec::new();
    all(&dashboard, "expr", &mut shown);
    parse(kit, &shown)?;
    all(&dashboard, "query", &mut shown);

    let rules = rules::shipped()?;
    let recorded: BTreeSet<&str> = rules.iter().filter_map(|it| it.record.as_deref()).collect();
    let of_rules = rules.iter().map(|rule| rule.expression.as_str());
    let mut used = BTreeSet::new();
    for expression in shown.into_iter().chain(of_rules) {
        for name in names(expression).filter(|name| !recorded.contains(name)) {
            used.insert(metric(&listed, name).with_context(|| expression.to_owned())?);
        }
    }
    let all: BTreeSet<&str> = listed.keys().copied().collect();
    ensure!(used == all, "neither shown nor watched: {:?}", &all - &used);
    Ok(())
}

/// Whether Prometheus can parse the expressions of the dashboard, as Grafana sends them.
fn parse(kit: &Kit, expressions: &[&str]) -> anyhow::Result<()> {
    ensure!(!expressions.is_empty(), "the dashboard shows nothing");
    let mut rules = Vec::new();
    for (number, expression) in expressions.iter().enumerate() {
        let record = format!("expression:{number}");
        let sent = expression.replace("$__rate_interval", "1m");
        rules.push(json!({"record": record, "expr": sent}));
    }
    let folder = kit.scratch()?;
    let file = folder.path().join("rules.json");
    // JSON is YAML.
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, groups.to_string())?;
    succeed(
        Command::new(tool("promtool"))
            .args(["check", "rules"])
            .arg(&file),
    )?;
    Ok(())
}

/// The check can fail.
fn what_is_wrong_is_found(listed: &BTreeMap<&str, &str>) -> anyhow::Result<()> {
    let asks_for = |expression| {
        let mut asked = names(expression).map(|name| metric(listed, name).map(str::to_owned));
        asked.next().context("no name")?
    };
    let fine = asks_for("rate(hookprobe_hook_overhead_seconds_sum{arm=\"a\"}[5m])")?;
    ensure!(fine == "hookprobe_hook_overhead_seconds", "{fine}");
    for wrong in [
        "hookprobe_hook_overhead_second_sum",
        "max(hookprobe_hook_overhead_seconds)",
        "hookprobe_attached_count",
        "arm:hookprobe_unheard_of:rate5m",
    ] {
        ensure!(asks_for(wrong).is_err(), "{wrong} is taken for a metric");
    }
    Ok(())
}
