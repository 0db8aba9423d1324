//! The runs on disk: `agent-run.json` in the folder of each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use runlog::agent_run::{AgentRun, LogBytes, RunState};
use runlog::{RunDirectory, json};

/// Reads all runs of a folder, by their names. One that an agent has left unfinished is marked so. What is no run is
/// passed over.
pub fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, AgentRun>> {
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(folder.join(".writable"), []))
        .and_then(|()| fs::remove_file(folder.join(".writable")))
        .with_context(|| format!("cannot write to {} (--runs-dir)", folder.display()))?;
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read {} (--runs-dir)", folder.display()))?;
    let mut runs = BTreeMap::new();
    for entry in entries {
        let directory = RunDirectory::existing(entry?.path());
        if !directory.agent_run().exists() {
            continue;
        }
        match json::read::<AgentRun>(&directory.agent_run()) {
            Ok(mut run) => {
                if !run.state.is_over() {
                    run.state = RunState::CutShort;
                    run.reason = Some("the agent was ended while the run went on".to_owned());
                    run.received = LogBytes {
                        requests: length(&directory.requests()),
                        connections: length(&directory.client_connections()),
                    };
                    json::write(&directory.agent_run(), &run)?;
                }
                runs.insert(run.id.clone(), run);
            }
            Err(error) => log::warn!("not shown: {:#}", anyhow::Error::from(error)),
        }
    }
    Ok(runs)
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// How many bytes a folder's files and those of its folders have.
pub fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}
