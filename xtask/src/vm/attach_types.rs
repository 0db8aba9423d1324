//! What came of each attach type on each kernel, as a table.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;
use comfy_table::Table as Grid;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::Value;

/// What begins the line by which the tests tell an outcome; its JSON follows.
const LINE: &str = "attach type: ";

/// What came of an attach type on a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The attach type.
    pub attach_type: String,
    /// The version of the kernel.
    pub kernel: String,
    /// Whether it worked.
    pub worked: bool,
    /// What there is to say of one that worked; the reason of a refusal.
    pub detail: String,
    /// Whether it is as it should be on this kernel; `None` where nothing is known of the kernel.
    pub as_expected: Option<bool>,
}

impl Outcome {
    /// The outcomes that the tests told on their stdout.
    pub fn all_in(stdout: &str) -> anyhow::Result<Vec<Self>> {
        let lines = stdout.lines().filter_map(|line| line.strip_prefix(LINE));
        lines
            .map(|line| Self::parse(line).with_context(|| format!("no outcome: {line}")))
            .collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let outcome: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| outcome[key].as_str().map(str::to_owned);
        Some(Self {
            attach_type: text("attach_type")?,
            kernel: text("kernel")?,
            worked: match outcome["outcome"].as_str()? {
                "ok" => true,
                "refused" => false,
                _ => return None,
            },
            detail: text("detail")?,
            as_expected: outcome["as_expected"].as_bool(),
        })
    }
}

/// Attach types by kernels.
#[derive(Debug, Default)]
pub struct Table {
    /// The names of the kernels, and their versions.
    kernels: Vec<(String, String)>,
    /// The attach types, in the order in which they were tried.
    types: Vec<String>,
    cells: BTreeMap<(String, String), String>,
    /// Why attach types were refused; cells refer to them by number.
    reasons: Vec<String>,
}

impl Table {
    /// Adds what came of the attach types on a kernel.
    pub fn add(&mut self, kernel: &str, outcomes: &[Outcome]) {
        let version = outcomes.first().map_or("no outcome", |o| &o.kernel);
        self.kernels.push((kernel.to_owned(), version.to_owned()));
        for outcome in outcomes {
            if !self.types.contains(&outcome.attach_type) {
                self.types.push(outcome.attach_type.clone());
            }
            let cell = self.cell(outcome);
            let place = (outcome.attach_type.clone(), kernel.to_owned());
            self.cells.insert(place, cell);
        }
    }

    fn cell(&mut self, outcome: &Outcome) -> String {
        if outcome.worked {
            return format!("ok {}", outcome.detail).trim_end().to_owned();
        }
        let known = self
            .reasons
            .iter()
            .position(|known| *known == outcome.detail);
        let index = known.unwrap_or_else(|| {
            self.reasons.push(outcome.detail.clone());
            self.reasons.len() - 1
        });
        format!("refused [{}]", index + 1)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut grid = Grid::new();
        grid.load_preset(ASCII_MARKDOWN);
        let names = self.kernels.iter().map(|(name, _)| name.as_str());
        grid.set_header(["attach type"].into_iter().chain(names));
        for attach_type in &self.types {
            let cells = self.kernels.iter().map(|(kernel, _)| {
                let place = (attach_type.clone(), kernel.clone());
                self.cells.get(&place).map_or("no outcome", String::as_str)
            });
            grid.add_row([attach_type.as_str()].into_iter().chain(cells));
        }
        writeln!(f, "{grid}")?;
        for (index, reason) in self.reasons.iter().enumerate() {
            writeln!(f, "[{}] {reason}", index + 1)?;
        }
        for (name, version) in &self.kernels {
            writeln!(f, "kernel {name} is {version}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
