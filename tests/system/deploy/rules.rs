//! Prometheus' own tool reads the rules, and runs their tests.

use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::{deploy_folder, tool};
use crate::kit::{Kit, fail, succeed};

/// A rule, and the alert or the series that it makes.
pub struct Rule {
    pub expression: String,
    pub alert: Option<String>,
    pub record: Option<String>,
}

/// The rules that we ship.
pub fn shipped() -> anyhow::Result<Vec<Rule>> {
    let file = deploy_folder().join("prometheus/rules.yaml");
    let text = std::fs::read_to_string(file)?;
    let rules: Value = serde_saphyr::from_str(&text).context("rules.yaml")?;
    let text = |rule: &Value, field| rule[field].as_str().map(str::to_owned);
    let groups = rules["groups"].as_array().context("no groups")?;
    groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten()
        .map(|rule| {
            Ok(Rule {
                expression: text(rule, "expr").context("a rule without expression")?,
                alert: text(rule, "alert"),
                record: text(rule, "record"),
            })
        })
        .collect()
}

pub fn do_what_they_say(kit: &Kit) -> anyhow::Result<()> {
    let folder = deploy_folder().join("prometheus");
    let promtool = |words: &[&str], file| {
        let mut promtool = Command::new(tool("promtool"));
        succeed(promtool.args(words).arg(folder.join(file)))
    };
    // Without the token's file, which is in Prometheus' pod.
    promtool(&["check", "config", "--syntax-only"], "prometheus.yaml")?;
    promtool(&["check", "rules"], "rules.yaml")?;
    promtool(&["test", "rules"], "rules.test.yaml")?;
    each_is_tested()?;
    tests_can_fail(kit)
}

/// promtool is content with rules that have no test.
fn each_is_tested() -> anyhow::Result<()> {
    let tests = std::fs::read_to_string(deploy_folder().join("prometheus/rules.test.yaml"))?;
    for rule in shipped()? {
        let name = rule.alert.or(rule.record).context("a rule for nothing")?;
        ensure!(tests.contains(&name), "{name} has no test");
    }
    Ok(())
}

/// With a limit that no test expects, promtool complains.
fn tests_can_fail(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    for name in ["rules.yaml", "rules.test.yaml"] {
        let text = std::fs::read_to_string(deploy_folder().join("prometheus").join(name))?;
        std::fs::write(folder.path().join(name), text.replace("> 0.05", "> 0.5"))?;
    }
    fail(
        Command::new(tool("promtool"))
            .args(["test", "rules"])
            .arg(folder.path().join("rules.test.yaml")),
        1,
        &["HookprobeAgentCpu"],
    )
}
