//! Whether the commands of a Markdown file run, and how far those are checked that cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use super::fence::Reason;
use super::markdown::Page;
use super::repository::Repository;
use super::sandbox::{Call, CallKind, Outcome, Sandbox};
use super::script::{Script, is_in};
use super::stand_ins::StandIns;
use super::table::Row;
use crate::kit::Kit;

/// Where commands are run and checked.
#[derive(Debug)]
pub struct Workshop<'here> {
    repository: &'here Repository,
    sandbox: Sandbox,
    stand_ins: StandIns<'here>,
}

/// What came of a file's commands.
#[derive(Debug)]
pub struct Checked {
    /// What is wrong, with file and line.
    pub faults: Vec<String>,
    pub row: Row,
    /// Why some were not run.
    pub reasons: BTreeSet<Reason>,
}

impl<'here> Workshop<'here> {
    pub fn new(kit: &'here Kit, repository: &'here Repository) -> anyhow::Result<Self> {
        let sandbox = Sandbox::new(kit, repository)?;
        let stand_ins = StandIns {
            kit,
            repository,
            copy: sandbox.repository(),
        };
        Ok(Self {
            repository,
            sandbox,
            stand_ins,
        })
    }

    /// Runs and checks the commands of a file; `None` when it has none.
    pub fn check(&self, file: &Path, page: &Page) -> anyhow::Result<Option<Checked>> {
        let script = Script::of(file, page)?;
        if script.shell.is_empty() && script.powershell.is_empty() {
            return Ok(None);
        }
        let began = Instant::now();
        let outcome = self
            .sandbox
            .run(self.repository, &script)
            .with_context(|| script.name.clone())?;
        let seconds = began.elapsed().as_secs_f64();

        let mut faults = Vec::new();
        let mut reasons = BTreeSet::new();
        let mut calls = BTreeMap::new();
        for call in &outcome.calls {
            *calls.entry(call.kind).or_default() += 1;
            if call.kind == CallKind::StandIn {
                reasons.insert(Reason::of_program(call.program())?);
                faults.extend(self.call_fault(&script, call));
            }
        }
        match &outcome.fault {
            // What came after it says nothing.
            Some(fault) => faults.push(format!("{}: {fault}", script.name)),
            None => faults.extend(block_faults(&script, &outcome)),
        }
        for block in &script.powershell {
            let words = block.text.split_whitespace();
            if let Err(error) = self.stand_ins.names_what_is_there(words) {
                faults.push(format!("{}:{}: {error:#}", script.name, block.line));
            }
        }
        let is_command = |line: &&usize| script.shell.iter().any(|(block, _)| is_in(block, **line));
        Ok(Some(Checked {
            faults,
            row: Row {
                blocks: script.shell.len(),
                powershell: script.powershell.len(),
                lines: outcome.ran.iter().filter(is_command).count(),
                calls,
                seconds,
                file: script.name,
            },
            reasons,
        }))
    }

    /// What is wrong with a call of a stand-in.
    fn call_fault(&self, script: &Script<'_>, call: &Call) -> Option<String> {
        let fault = self.stand_ins.check(&call.words).and_then(|()| {
            let reason = Reason::of_program(call.program())?;
            let block = script.shell.iter().find(|(it, _)| it.line == call.block);
            let (_, fence) = block.context("called outside of blocks")?;
            ensure!(
                fence.checked_as.contains(&reason),
                "not run here, and the fence does not say checked-as={}",
                reason.name()
            );
            Ok(())
        });
        let error = fault.err()?;
        let (file, line, words) = (&script.name, call.block, call.words.join(" "));
        Some(format!("{file}:{line}: {words}: {error:#}"))
    }
}

/// Blocks in which nothing ran, and reasons for nothing.
fn block_faults(script: &Script<'_>, outcome: &Outcome) -> Vec<String> {
    let mut faults = Vec::new();
    for (block, fence) in &script.shell {
        let place = format!("{}:{}", script.name, block.line);
        if !outcome.ran.iter().any(|line| is_in(block, *line)) {
            faults.push(format!("{place}: has no command"));
        }
        for reason in &fence.checked_as {
            let is_why = |call: &Call| {
                call.block == block.line
                    && call.kind == CallKind::StandIn
                    && Reason::of_program(call.program()).is_ok_and(|it| it == *reason)
            };
            if !outcome.calls.iter().any(is_why) {
                let reason = reason.name();
                faults.push(format!("{place}: nothing is checked-as={reason} in it"));
            }
        }
    }
    faults
}
