//! How runs end: as their load generator says, or by a limit.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use runlog::agent_run::{Announcement, RunResult, RunState};
use runlog::{RunDirectory, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use verdict::doubt::Doubt;

use crate::agent::recording::Recorded;
use crate::agent::runs::{IDLE, Open, Runs, history, result};

/// How often a run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What the servers still do for the last response is recorded for so long.
const LINGER: Duration = Duration::from_millis(100);

/// Ends a run that has come to a limit.
pub async fn attend(runs: Arc<Runs>, id: String) {
    loop {
        sleep(LOOK_EVERY).await;
        let folder = runs.directory(&id);
        let bytes = spawn_blocking(move || history::bytes_in(folder.root())).await;
        match look(&runs, &id, bytes.ok()) {
            Look::Over => return,
            Look::GoesOn => {}
            Look::AtLimit(reason) => {
                close(&runs, &id, Some(reason)).await;
                return;
            }
        }
    }
}

/// What a look at a run finds.
enum Look {
    GoesOn,
    AtLimit(String),
    Over,
}

fn look(runs: &Runs, id: &str, bytes: Option<u64>) -> Look {
    let mut known = runs.known();
    let Some(open) = known.open.as_mut().filter(|open| open.id == id) else {
        return Look::Over;
    };
    open.bytes = bytes.unwrap_or(open.bytes);
    why_to_end(runs, open).map_or(Look::GoesOn, Look::AtLimit)
}

fn why_to_end(runs: &Runs, open: &Open) -> Option<String> {
    let limits = runs.limits;
    if let Some(trouble) = open.trouble.get() {
        return Some(format!("records cannot be written: {trouble}"));
    }
    if open.bytes > limits.bytes {
        let bytes = limits.bytes;
        return Some(format!("it has more than {bytes} bytes (--max-run-bytes)"));
    }
    if open.begun.elapsed() > limits.time {
        let seconds = limits.time.as_secs();
        return Some(format!("it took {seconds} s (--max-run-seconds)"));
    }
    if open.heard.elapsed() > IDLE {
        let seconds = IDLE.as_secs();
        return Some(format!(
            "the load generator has said nothing for {seconds} s"
        ));
    }
    None
}

/// Ends a run, and goes on when it has a result.
pub fn close_in_background(runs: &Arc<Runs>, id: &str, reason: Option<String>) {
    if let Some(open) = take(runs, id) {
        let (runs, id) = (Arc::clone(runs), id.to_owned());
        tokio::spawn(async move { end(&runs, &id, open, reason).await });
    }
}

/// Ends a run, with a reason if it is cut short.
async fn close(runs: &Arc<Runs>, id: &str, reason: Option<String>) {
    if let Some(open) = take(runs, id) {
        end(runs, id, open, reason).await;
    }
}

impl Runs {
    /// Ends the run that goes on, if there is one, as the agent does. What is being joined is waited for.
    pub async fn shut_down(self: &Arc<Self>) {
        let open = self.known().open.as_ref().map(|open| open.id.clone());
        if let Some(id) = open {
            close(self, &id, Some("the agent was ended".to_owned())).await;
        }
        let is_joining = || {
            let known = self.known();
            known.runs.values().any(|run| !run.state.is_over())
        };
        while is_joining() {
            sleep(LINGER).await;
        }
    }
}

/// Takes the run that goes on. Only one can have it.
fn take(runs: &Runs, id: &str) -> Option<Open> {
    let mut known = runs.known();
    let open = known.open.take_if(|open| open.id == id)?;
    if let Some(run) = known.runs.get_mut(id) {
        run.state = RunState::Joining;
    }
    Some(open)
}

async fn end(runs: &Arc<Runs>, id: &str, open: Open, reason: Option<String>) {
    if reason.is_none() {
        sleep(LINGER).await;
    }
    let recorded = runs.core.end_recording().await;
    let directory = runs.directory(id);
    let announced = {
        let known = runs.known();
        known.runs.get(id).map(|run| run.announced.clone())
    };
    let Some(announced) = announced else { return };
    let trouble = open.trouble.get().cloned();
    let reason = reason.or(trouble.map(|why| format!("records cannot be written: {why}")));
    let outcome = match recorded {
        Ok(recorded) => {
            let joining = spawn_blocking(move || join(&open, &directory, &announced, recorded));
            joining
                .await
                .unwrap_or_else(|_| anyhow::bail!("the join has failed"))
        }
        Err(error) => Err(anyhow::Error::from(error)),
    };
    conclude(runs, id, reason, outcome);
}

fn join(
    open: &Open,
    directory: &RunDirectory,
    announced: &Announcement,
    recorded: Recorded,
) -> anyhow::Result<RunResult> {
    // A piece that is just being written is waited for.
    let upload = open.upload.lock().unwrap_or_else(PoisonError::into_inner);
    upload.complete()?;
    result::of(directory, announced, recorded)
}

/// Writes down how a run has ended.
fn conclude(runs: &Runs, id: &str, reason: Option<String>, outcome: anyhow::Result<RunResult>) {
    let mut known = runs.known();
    let Some(run) = known.runs.get_mut(id) else {
        return;
    };
    match outcome {
        Ok(mut result) => {
            run.state = RunState::Complete;
            if let Some(reason) = &reason {
                run.state = RunState::CutShort;
                result.usable = false;
                let doubt = Doubt::CutShort(reason.clone());
                result.doubts.insert(0, doubt.to_string());
            }
            run.result = Some(result);
            run.reason = reason;
        }
        Err(error) => {
            run.state = RunState::Failed;
            let why = format!("{error:#}");
            run.reason = Some(reason.map_or(why.clone(), |reason| format!("{reason}; {why}")));
        }
    }
    if let Err(error) = json::write(&runs.directory(id).agent_run(), run) {
        let error = anyhow::Error::from(error);
        log::warn!("run {id}: what came of it is not written down: {error:#}");
    }
}
