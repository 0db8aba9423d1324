//! The runs of load generators: one at a time is recorded, and those of before are kept.
//!
//! A load generator announces a run, sends its logs while it goes on, and says when it has ended. Then what the agent
//! has recorded meanwhile is joined to them.

pub mod api;
mod ending;
mod history;
mod result;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use abi::trial::Trial;
use axum::http::StatusCode;
use runlog::agent_run::{
    AgentRun, Announcement, Finish, LogBytes, RunEntries, RunEntry, RunState, SCHEMA,
};
use runlog::directory::is_arm_name;
use runlog::{RunDirectory, json};
use web::refusal::Refused;

use crate::agent::core::{Core, NoAnswer};
use crate::agent::http::unavailable;
use crate::agent::recording::RecordingPlan;
use crate::agent::runs::upload::{LogFile, Upload};
use crate::machine;

/// Arms of a run.
const MAX_ARMS: usize = 16;
/// A load generator that says nothing for so long has gone.
const IDLE: Duration = Duration::from_secs(30);

/// What runs may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Runs that are kept.
    pub runs: usize,
    /// Bytes of one run: logs and records.
    pub bytes: u64,
    /// How long one may go on.
    pub time: Duration,
}

/// All runs.
#[derive(Debug)]
pub struct Runs {
    folder: PathBuf,
    limits: Limits,
    core: Core,
    known: Mutex<Known>,
    /// One is announced at a time.
    announcing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    runs: BTreeMap<String, AgentRun>,
    open: Option<Open>,
}

/// The run that is recorded.
#[derive(Debug)]
struct Open {
    id: String,
    upload: Arc<Mutex<Upload>>,
    begun: Instant,
    /// When the load generator was heard last.
    heard: Instant,
    /// Why records cannot be written any more.
    trouble: Arc<OnceLock<String>>,
    /// What the files had at the last look, and what has come in since.
    bytes: u64,
}

impl Runs {
    /// The runs of a folder, among them those that are there already.
    pub fn open(folder: PathBuf, limits: Limits, core: Core) -> anyhow::Result<Arc<Self>> {
        let known = Known {
            runs: history::read(&folder)?,
            open: None,
        };
        Ok(Arc::new(Self {
            folder,
            limits,
            core,
            known: Mutex::new(known),
            announcing: tokio::sync::Mutex::default(),
        }))
    }

    /// The runs, the newest first.
    pub fn list(&self) -> RunEntries {
        let mut runs: Vec<RunEntry> = self.known().runs.values().map(RunEntry::from).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.started_unix_ns));
        RunEntries { runs }
    }

    /// A run.
    pub fn get(&self, id: &str) -> Result<AgentRun, Refused> {
        let known = self.known();
        known.runs.get(id).cloned().ok_or_else(|| no_run(id))
    }

    /// Begins a run.
    pub async fn announce(self: &Arc<Self>, announced: Announcement) -> Result<AgentRun, Refused> {
        check(&announced)?;
        let turn = self.announcing.try_lock();
        let _turn = turn.map_err(|_| conflict("another run is being announced"))?;
        let run = self.free_folder()?;
        let begun = self.begin(&run, announced).await;
        if begun.is_err() {
            // It was made for this run, and nothing was recorded.
            let _ = fs::remove_dir_all(run.root());
        }
        begun
    }

    async fn begin(
        self: &Arc<Self>,
        run: &RunDirectory,
        announced: Announcement,
    ) -> Result<AgentRun, Refused> {
        let id = run.root().file_name().unwrap_or_default();
        let id = id.to_string_lossy().into_owned();
        let upload = Upload::create(run).map_err(|error| no_room(&error))?;
        let trouble: Arc<OnceLock<String>> = Arc::default();
        let arms = announced.arms.iter().map(|arm| &arm.name);
        let names: Vec<String> = match &announced.server {
            Some(server) => vec![server.clone()],
            None => arms.cloned().collect(),
        };
        let plan = RecordingPlan {
            run: run.clone(),
            arms: names.clone(),
            trial: trial_of(&announced)?,
            trouble: Arc::clone(&trouble),
        };
        let processes = self.core.record(plan).await;
        let processes = processes.map_err(|error| unavailable(&error))?;
        if processes.values().all(|count| *count == 0) {
            return Err(Refused::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!(
                    "no process of {} is observed here: GET /v1/arms tells which arms there are",
                    names.join(", ")
                ),
            ));
        }
        let begun = AgentRun {
            schema: SCHEMA.to_owned(),
            id: id.clone(),
            state: RunState::Recording,
            reason: None,
            announced,
            processes,
            started_unix_ns: machine::unix_ns(),
            received: LogBytes::default(),
            result: None,
        };
        if let Err(error) = json::write(&run.agent_run(), &begun) {
            let _ = self.core.end_recording().await;
            return Err(no_room(&anyhow::Error::from(error)));
        }
        let now = Instant::now();
        let mut known = self.known();
        known.open = Some(Open {
            id: id.clone(),
            upload: Arc::new(Mutex::new(upload)),
            begun: now,
            heard: now,
            trouble,
            bytes: 0,
        });
        known.runs.insert(id.clone(), begun.clone());
        drop(known);
        tokio::spawn(ending::attend(Arc::clone(self), id));
        Ok(begun)
    }

    /// Makes a folder for a run, if there may be one more.
    fn free_folder(&self) -> Result<RunDirectory, Refused> {
        let known = self.known();
        if let Some(running) = known.runs.values().find(|run| !run.state.is_over()) {
            let text = format!(
                "run {} goes on: there is one at a time; wait for its end",
                running.id
            );
            return Err(conflict(&text));
        }
        if known.runs.len() >= self.limits.runs {
            return Err(Refused::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!(
                    "{} runs are kept already (--max-runs): DELETE /v1/runs/ID removes one",
                    self.limits.runs
                ),
            ));
        }
        let root = RunDirectory::default_root("run");
        let name = root.file_name().unwrap_or_default().display().to_string();
        let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
        let mut folders = names.map(|name| self.folder.join(name));
        let folder = folders.find(|folder| !folder.exists()).unwrap_or_default();
        RunDirectory::create(folder).map_err(|error| no_room(&anyhow::Error::from(error)))
    }

    /// Adds a piece to a log of a run. Returns how much there is then. Blocks while it writes.
    pub fn add(
        &self,
        id: &str,
        to: LogFile,
        offset: u64,
        piece: &[u8],
    ) -> Result<LogBytes, Refused> {
        let upload = {
            let mut known = self.known();
            let open = known.open_run(id)?;
            open.heard = Instant::now();
            let bytes = open.bytes.saturating_add(piece.len() as u64);
            if bytes > self.limits.bytes {
                return Err(Refused::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!(
                        "the run has more than {} bytes (--max-run-bytes)",
                        self.limits.bytes
                    ),
                ));
            }
            open.bytes = bytes;
            Arc::clone(&open.upload)
        };
        let received = {
            let mut upload = upload.lock().unwrap_or_else(PoisonError::into_inner);
            upload.add(to, offset, piece)?;
            upload.bytes()
        };
        if let Some(run) = self.known().runs.get_mut(id) {
            run.received = received;
        }
        Ok(received)
    }

    /// The load has ended: the run ends too, and its records are joined. One that was told so before is as it is.
    pub fn finish(self: &Arc<Self>, id: &str, finish: &Finish) -> Result<AgentRun, Refused> {
        let run = self.get(id)?;
        if run.state != RunState::Recording {
            return Ok(run);
        }
        let names = run.announced.arms.iter().map(|arm| &arm.name);
        if !names.eq(finish.summary.arms.iter().map(|arm| &arm.name)) {
            let text = "the summary is of other arms than were announced";
            return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text));
        }
        if run.received != finish.bytes {
            return Err(conflict(&format!(
                "the logs are not all here: {} of {} bytes of requests.npy, {} of {} of connections-client.npy",
                run.received.requests,
                finish.bytes.requests,
                run.received.connections,
                finish.bytes.connections
            )));
        }
        let summary = self.directory(id).load_summary();
        json::write(&summary, &finish.summary)
            .map_err(|error| no_room(&anyhow::Error::from(error)))?;
        let cut = finish.summary.cut_short.as_ref();
        let reason = cut.map(|reason| format!("the load was cut short: {reason}"));
        ending::close_in_background(self, id, reason);
        self.get(id)
    }

    /// Removes a run that is over, with its folder.
    pub fn remove(&self, id: &str) -> Result<(), Refused> {
        if !self.get(id)?.state.is_over() {
            return Err(conflict(&format!("run {id} goes on")));
        }
        fs::remove_dir_all(self.directory(id).root()).map_err(|error| {
            let text = format!("cannot remove the run: {error}");
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        })?;
        self.known().runs.remove(id);
        Ok(())
    }

    /// The folder of a run. Its name was made here, or read from a folder that has it.
    fn directory(&self, id: &str) -> RunDirectory {
        RunDirectory::existing(self.folder.join(id))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn open_run(&mut self, id: &str) -> Result<&mut Open, Refused> {
        let run = self.runs.get(id).ok_or_else(|| no_run(id))?;
        let why = run.reason.as_ref().map(|reason| format!(": {reason}"));
        let open = self.open.as_mut().filter(|open| open.id == id);
        open.ok_or_else(|| {
            let why = why.unwrap_or_default();
            conflict(&format!("run {id} takes no logs any more{why}"))
        })
    }
}

/// How the requests of a run are drawn, if its arms share processes.
fn trial_of(announced: &Announcement) -> Result<Option<Box<Trial>>, Refused> {
    if announced.server.is_none() {
        return Ok(None);
    }
    let text = announced.schedule.trial.as_deref().unwrap_or_default();
    let refused = |problem| {
        let text = format!("the schedule's trial: {problem}");
        Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text)
    };
    let trial = Trial::parse(text.as_bytes()).map_err(refused)?;
    Ok(Some(Box::new(trial)))
}

/// Whether what was announced can be recorded.
fn check(announced: &Announcement) -> Result<(), Refused> {
    let refuse = |text: String| Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    let servers = announced.schedule.servers_per_arm;
    if announced.server.is_some() && servers != 1 {
        return refuse(format!(
            "{servers} servers: in a trial an agent takes requests to one"
        ));
    }
    let arms = &announced.arms;
    if arms.is_empty() || arms.len() > MAX_ARMS {
        return refuse(format!("{} arms: 1 to {MAX_ARMS}", arms.len()));
    }
    let mut names = BTreeSet::new();
    let given = arms.iter().map(|arm| &arm.name);
    for name in given.chain(&announced.server) {
        if !is_arm_name(name) {
            return refuse(format!(
                "\"{}\" is no name of an arm",
                name.escape_default()
            ));
        }
        if !names.insert(name) {
            return refuse(format!("the arm {name} is there twice"));
        }
    }
    Ok(())
}

fn no_run(id: &str) -> Refused {
    let text = format!("there is no run \"{}\"", id.escape_default());
    Refused::new(StatusCode::NOT_FOUND, text)
}

fn conflict(text: &str) -> Refused {
    Refused::new(StatusCode::CONFLICT, text)
}

fn no_room(error: &impl std::fmt::Display) -> Refused {
    let text = format!("cannot write to the folder of the run: {error:#}");
    Refused::new(StatusCode::INSUFFICIENT_STORAGE, text)
}

impl From<NoAnswer> for Refused {
    fn from(error: NoAnswer) -> Self {
        unavailable(&error)
    }
}
