//! The runs: one at a time, and those of before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use runlog::live::{LiveEvent, Progress, Started};
use runlog::load_api::{Limits, Run, RunProgress, RunState, StartRequest};
use runlog::{Order, RunDirectory};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use web::refusal::Refused;

use super::history::{self, ProgressLog};
use super::process::LoadProcess;
use super::targets::Allowed;
use crate::agent::AgentOptions;
use crate::options::DEFAULT_REQUESTS;

/// How long a load may take until its first request: it waits for servers that are just starting.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// Runs that a list has.
const LISTED: usize = 200;

/// All runs of a folder.
#[derive(Debug)]
pub struct Runs {
    folder: PathBuf,
    allowed: Vec<Allowed>,
    limits: Limits,
    agent: AgentOptions,
    known: Mutex<Known>,
    /// Whether a load is under way.
    busy: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Known {
    runs: BTreeMap<String, Entry>,
    /// Tells the load that is under way to stop, and why.
    stop: Option<(String, mpsc::Sender<String>)>,
}

#[derive(Debug)]
struct Entry {
    run: Run,
    /// Intervals of a run that is under way; those of others are in its folder.
    intervals: Vec<Progress>,
}

/// The right to run a load, until the value goes away.
#[derive(Debug)]
struct Turn(Arc<Runs>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.busy.send_replace(false);
    }
}

impl Runs {
    /// The runs of a folder, among them those that are there already.
    pub fn new(
        folder: PathBuf,
        allowed: Vec<Allowed>,
        limits: Limits,
        agent: AgentOptions,
    ) -> anyhow::Result<Self> {
        let mut known = Known::default();
        for run in history::read(&folder)? {
            let intervals = Vec::new();
            known.runs.insert(run.id.clone(), Entry { run, intervals });
        }
        Ok(Self {
            folder,
            allowed,
            limits,
            agent,
            known: Mutex::new(known),
            busy: watch::Sender::new(false),
        })
    }

    /// What a run may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Where requests may go.
    pub fn allowed(&self) -> &[Allowed] {
        &self.allowed
    }

    /// The runs, the newest first.
    pub fn list(&self) -> Vec<Run> {
        let known = self.known();
        let mut runs: Vec<Run> = known.runs.values().map(|entry| entry.run.clone()).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.started_unix_ns));
        runs.truncate(LISTED);
        runs
    }

    /// A run.
    pub fn get(&self, id: &str) -> Result<Run, Refused> {
        let known = self.known();
        let entry = known.runs.get(id).ok_or_else(|| no_run(id))?;
        Ok(entry.run.clone())
    }

    /// The folder of a run.
    pub fn directory(&self, run: &Run) -> RunDirectory {
        RunDirectory::existing(self.folder.join(&run.id))
    }

    /// The intervals of a run from a number on.
    pub fn progress(&self, id: &str, from: usize) -> Result<RunProgress, Refused> {
        let known = self.known();
        let entry = known.runs.get(id).ok_or_else(|| no_run(id))?;
        let state = entry.run.state;
        let mut intervals = if is_over(state) {
            let folder = self.folder.join(id);
            drop(known);
            history::read_progress(&folder)
        } else {
            entry.intervals.clone()
        };
        let intervals = intervals.split_off(from.min(intervals.len()));
        Ok(RunProgress {
            state,
            from,
            intervals,
        })
    }

    /// Starts a run. Returns when it is about to send its first requests.
    pub async fn start(self: &Arc<Self>, wanted: StartRequest) -> Result<Run, Refused> {
        self.check(&wanted)?;
        let was_busy = self.busy.send_replace(true);
        if was_busy {
            return Err(Refused::new(
                StatusCode::CONFLICT,
                "another run is under way; wait for its end, or stop it",
            ));
        }
        let turn = Turn(Arc::clone(self));
        // In a task of its own: whoever asked may go away while the load starts.
        let started = tokio::spawn(Self::start_in(turn, wanted));
        started.await.unwrap_or_else(|_| {
            Err(Refused::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the load could not be started",
            ))
        })
    }

    fn check(&self, wanted: &StartRequest) -> Result<(), Refused> {
        let refuse = |error| Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, error));
        let arms = wanted.arms.len() as u64;
        if arms == 0 {
            return refuse("a run needs an arm".to_owned());
        }
        if wanted.arms.len() > self.limits.arms {
            return refuse(format!("{arms} arms: at most {}", self.limits.arms));
        }
        for arm in &wanted.arms {
            // What the load makes of NAME=URL must be what is looked at here.
            if !runlog::directory::is_arm_name(&arm.name) {
                return refuse(format!(
                    "the arm name \"{}\" may have letters, digits, '-', '_', '.' and '+' only",
                    arm.name
                ));
            }
            let covered = self.allowed.iter().map(|allowed| allowed.covers(&arm.url));
            match covered.collect::<anyhow::Result<Vec<bool>>>() {
                Ok(covered) if covered.contains(&true) => {}
                Ok(_) => {
                    return Err(Refused::new(
                        StatusCode::FORBIDDEN,
                        format!(
                            "arm {}: requests to {} are not allowed by this server's command line \
                             (--arm, --allow)",
                            arm.name, arm.url
                        ),
                    ));
                }
                Err(error) => return refuse(format!("arm {}: {error:#}", arm.name)),
            }
        }
        if wanted.order == Some(Order::Trial) {
            let error = "order trial: needs servers with a bracket around their hook, and is run on the command line \
                         only (loadgen run --trial)";
            return refuse(error.to_owned());
        }
        // In a duet the first arm runs beside each of the others.
        let blocks_at_once = if wanted.order == Some(Order::Duet) {
            2 * arms.saturating_sub(1)
        } else {
            arms
        };
        // Without a number, time ends the run, and its requests are counted as they are sent.
        let default = wanted
            .duration_seconds
            .is_none()
            .then_some(DEFAULT_REQUESTS);
        let requests = wanted.requests.or(default).unwrap_or(0);
        let all = requests.saturating_mul(blocks_at_once);
        if all > self.limits.requests {
            return refuse(format!(
                "{all} requests over all arms: at most {} (--max-requests)",
                self.limits.requests
            ));
        }
        Ok(())
    }

    async fn start_in(turn: Turn, wanted: StartRequest) -> Result<Run, Refused> {
        let runs = Arc::clone(&turn.0);
        let internal = |error: anyhow::Error| {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
        };
        let id = runs.free_id();
        let folder = runs.folder.join(&id);
        let mut process = LoadProcess::start(&wanted, &runs.agent, &folder).map_err(internal)?;
        let first = tokio::time::timeout(START_PATIENCE, process.next_event()).await;
        let Ok(Some(LiveEvent::Started(started))) = first else {
            process.interrupt();
            let (status, said) = process.end().await;
            let error = if said.is_empty() {
                format!("the load {status} before its first request")
            } else {
                said
            };
            return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, error));
        };
        let run = begun(id, wanted, started);
        let log = ProgressLog::create(&folder);
        let (stop, stopped) = mpsc::channel(1);
        {
            let mut known = runs.known();
            let entry = Entry {
                run: run.clone(),
                intervals: Vec::new(),
            };
            known.runs.insert(run.id.clone(), entry);
            known.stop = Some((run.id.clone(), stop));
        }
        tokio::spawn(attend(turn, run.id.clone(), process, stopped, log));
        Ok(run)
    }

    /// Tells a run to stop.
    pub fn stop(&self, id: &str, reason: &str) -> Result<Run, Refused> {
        let mut known = self.known();
        let run = &known.runs.get(id).ok_or_else(|| no_run(id))?.run;
        if is_over(run.state) {
            return Err(Refused::new(
                StatusCode::CONFLICT,
                format!("run {id} is over"),
            ));
        }
        if let Some((current, stop)) = &known.stop
            && current == id
        {
            let _ = stop.try_send(reason.to_owned()); // full: it was told already
        }
        known.change(id, |run| run.state = RunState::Stopping);
        Ok(known.runs[id].run.clone())
    }

    /// Tells the run that is under way, if there is one, to stop. `false` when there is none.
    pub fn stop_current(&self, reason: &str) -> bool {
        let current = self.known().stop.as_ref().map(|(id, _)| id.clone());
        current.is_some_and(|id| self.stop(&id, reason).is_ok())
    }

    /// Waits until no load is under way.
    pub async fn idle(&self) {
        let _ = self.busy.subscribe().wait_for(|busy| !busy).await;
    }

    /// A name for a run that no folder has.
    fn free_id(&self) -> String {
        let root = RunDirectory::default_root("load");
        let name = root
            .file_name()
            .map_or("load".into(), |name| name.to_string_lossy());
        let names = std::iter::once(name.to_string()).chain((2..).map(|n| format!("{name}-{n}")));
        names
            .into_iter()
            .find(|name| !self.folder.join(name).exists())
            .unwrap_or_default()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn change(&mut self, id: &str, change: impl FnOnce(&mut Run)) {
        if let Some(entry) = self.runs.get_mut(id) {
            change(&mut entry.run);
        }
    }
}

/// Whether a run has ended.
pub fn is_over(state: RunState) -> bool {
    !matches!(state, RunState::Running | RunState::Stopping)
}

fn no_run(id: &str) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, format!("there is no run \"{id}\""))
}

fn begun(id: String, wanted: StartRequest, started: Started) -> Run {
    Run {
        id,
        state: RunState::Running,
        reason: None,
        arms: wanted.arms,
        planned_requests: started.requests,
        schedule: started.schedule,
        started_unix_ns: started.started_unix_ns,
        summary: None,
        files: Vec::new(),
    }
}

/// Follows a load to its end.
async fn attend(
    turn: Turn,
    id: String,
    mut process: LoadProcess,
    mut stopped: mpsc::Receiver<String>,
    mut log: ProgressLog,
) {
    let runs = Arc::clone(&turn.0);
    let limits = runs.limits;
    let deadline = Instant::now() + Duration::from_secs(limits.seconds);
    let mut reason: Option<String> = None;
    let mut summary = None;
    let mut requests = 0;
    loop {
        let stop = tokio::select! {
            event = process.next_event() => match event {
                Some(LiveEvent::Progress(progress)) => {
                    log.push(&progress);
                    requests += progress.arms.iter().map(|arm| arm.requests).sum::<u64>();
                    if let Some(entry) = runs.known().runs.get_mut(&id) {
                        entry.intervals.push(progress);
                    }
                    (requests > limits.requests)
                        .then(|| format!("{} requests were sent (--max-requests)", limits.requests))
                }
                Some(LiveEvent::Done { summary: done }) => {
                    summary = Some(*done);
                    None
                }
                Some(LiveEvent::Started(_)) => None,
                None => break,
            },
            Some(reason) = stopped.recv() => Some(reason),
            () = tokio::time::sleep_until(deadline), if reason.is_none() => {
                Some(format!("it took {} s (--max-seconds)", limits.seconds))
            }
        };
        if let Some(why) = stop
            && reason.is_none()
        {
            reason = Some(why);
            process.interrupt();
            runs.known()
                .change(&id, |run| run.state = RunState::Stopping);
        }
    }
    let (status, said) = process.end().await;
    let files = summary.as_ref().map_or_else(Vec::new, |summary| {
        history::files(&runs.folder.join(&id), summary)
    });
    let mut known = runs.known();
    known.stop = None;
    known.change(&id, |run| {
        (run.state, run.reason) = match &summary {
            None if said.is_empty() => (RunState::Failed, Some(format!("the load {status}"))),
            None => (RunState::Failed, Some(said)),
            Some(summary) => match &summary.cut_short {
                None => (RunState::Complete, None),
                Some(cut) => (
                    RunState::CutShort,
                    Some(reason.unwrap_or_else(|| cut.clone())),
                ),
            },
        };
        run.summary = summary;
        run.files = files;
    });
    if let Some(entry) = known.runs.get_mut(&id) {
        entry.intervals = Vec::new(); // they are in the log
    }
    drop(known);
    drop(turn);
}
