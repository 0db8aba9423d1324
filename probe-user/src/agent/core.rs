//! The thread that owns the probes. Others ask it, over a channel; so nothing waits for a lock while it attaches.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use runlog::analysis::Ledger;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::agent::bracketed;
use crate::agent::observer::Observer;
use crate::agent::recording::{Recorded, RecordingPlan};
use crate::agent::rules::Rules;
use crate::agent::snapshot::Snapshot;
use crate::agent::watch::{Found, Watch};
use probes::Options;

/// Questions that wait for their turn.
const WAITING: usize = 8;
/// How soon to look again at what has just begun.
const SOON: Duration = Duration::from_millis(200);
/// How often records are taken out of the ring buffer while there are some.
const TAKE_EVERY: Duration = Duration::from_millis(10);
/// What an agent says that has no probes.
pub const WITHOUT_PROBES: &str = "there are no probes, so nothing is seen but what bracketed processes of trials record in shared memory";
/// The tables of the programs' slots, of up to a megabyte, pass over the stack.
const STACK: usize = 16 << 20;

/// What a core is started with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How to probe; `None`: not at all.
    pub options: Option<Options>,
    /// Arms in containers to keep figures of.
    pub places: u32,
    /// What to watch.
    pub rules: Rules,
    /// How often to look.
    pub every: Duration,
    /// The name of this node.
    pub node: String,
    /// Where to leave for the next agent what this one observes.
    pub state_file: Option<PathBuf>,
}

/// Whether the agent watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet.
    Loading,
    /// It does.
    Ready,
    /// It does without probes, and why: it sees what processes record in shared memory alone.
    ReadyWithoutProbes(String),
    /// It cannot, and ends.
    Failed(String),
}

/// A question to the core.
enum Question {
    /// What has been seen?
    Snapshot(oneshot::Sender<anyhow::Result<Snapshot>>),
    /// Record these arms; answers with how many processes of each are observed.
    Record(
        RecordingPlan,
        oneshot::Sender<anyhow::Result<BTreeMap<String, u64>>>,
    ),
    /// Record no more.
    EndRecording(oneshot::Sender<anyhow::Result<Recorded>>),
    /// The last one: detach and say what has become of all hits.
    End(oneshot::Sender<anyhow::Result<Ledger>>),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Too many ask.
    #[error("too many requests are waiting already")]
    Busy,
    /// It has ended.
    #[error("the agent is ending")]
    Ended,
    /// It has failed.
    #[error("{0}")]
    Failed(String),
}

/// How to ask a core.
#[derive(Clone)]
pub struct Core {
    questions: SyncSender<Question>,
    readiness: watch::Receiver<Readiness>,
}

impl fmt::Debug for Core {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readiness = self.readiness.borrow();
        formatter
            .debug_struct("Core")
            .field("readiness", &*readiness)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Starts one.
    pub fn start(plan: Plan) -> std::io::Result<Self> {
        let (questions, receiver) = sync_channel(WAITING);
        let (told, readiness) = watch::channel(Readiness::Loading);
        let runtime = Handle::current();
        thread::Builder::new()
            .name("core".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                // The ring buffer is watched there, if there is one.
                let _entered = runtime.enter();
                if let Err(error) = run(&plan, &receiver, &told) {
                    let _ = told.send(Readiness::Failed(format!("{error:#}")));
                }
            })?;
        Ok(Self {
            questions,
            readiness,
        })
    }

    /// Whether it watches now.
    pub fn readiness(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    /// Waits until it has failed, and says why.
    pub async fn failed(&mut self) -> String {
        loop {
            if let Readiness::Failed(reason) = &*self.readiness.borrow_and_update() {
                return reason.clone();
            }
            if self.readiness.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What has been seen up to now.
    pub async fn snapshot(&self) -> Result<Snapshot, NoAnswer> {
        if self.readiness() == Readiness::Loading {
            return Err(NoAnswer::Failed("the probes are not loaded yet".to_owned()));
        }
        self.ask(Question::Snapshot).await
    }

    /// Begins to record. Says how many processes of each arm are observed; where there is none, nothing is begun.
    pub async fn record(&self, plan: RecordingPlan) -> Result<BTreeMap<String, u64>, NoAnswer> {
        self.ask(|answer| Question::Record(plan, answer)).await
    }

    /// Ends the recording.
    pub async fn end_recording(&self) -> Result<Recorded, NoAnswer> {
        self.ask_patiently(Question::EndRecording).await
    }

    /// Ends it.
    pub async fn end(&self) -> Result<Ledger, NoAnswer> {
        self.ask_patiently(Question::End).await
    }

    /// Asks until there is room for the question.
    async fn ask_patiently<T>(
        &self,
        question: fn(oneshot::Sender<anyhow::Result<T>>) -> Question,
    ) -> Result<T, NoAnswer> {
        loop {
            match self.ask(question).await {
                Err(NoAnswer::Busy) => tokio::time::sleep(Duration::from_millis(10)).await,
                answer => return answer,
            }
        }
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<anyhow::Result<T>>) -> Question,
    ) -> Result<T, NoAnswer> {
        let (sender, answer) = oneshot::channel();
        self.questions
            .try_send(question(sender))
            .map_err(|error| match error {
                TrySendError::Full(_) => NoAnswer::Busy,
                TrySendError::Disconnected(_) => NoAnswer::Ended,
            })?;
        let answer = answer.await.map_err(|_| NoAnswer::Ended)?;
        answer.map_err(|error| NoAnswer::Failed(format!("{error:#}")))
    }
}

fn run(
    plan: &Plan,
    questions: &Receiver<Question>,
    told: &watch::Sender<Readiness>,
) -> anyhow::Result<()> {
    let observer = Observer::load(plan.options)?;
    let ready = match observer.missing() {
        None => Readiness::Ready,
        Some(reason) => {
            log::warn!("{WITHOUT_PROBES}: {reason}");
            Readiness::ReadyWithoutProbes(reason.to_owned())
        }
    };
    let mut watch = Watch::begin(observer, plan)?;
    let mut next = Instant::now();
    loop {
        // First of all, however many ask.
        if Instant::now() >= next {
            next = Instant::now() + pause(&mut watch, plan.every);
            told.send_if_modified(|readiness| std::mem::replace(readiness, ready.clone()) != ready);
        }
        let mut patience = next.saturating_duration_since(Instant::now());
        if watch.recording.is_some() {
            patience = patience.min(TAKE_EVERY);
        } else if watch.memories.are_read() {
            patience = patience.min(bracketed::TAKE_EVERY);
        }
        match questions.recv_timeout(patience) {
            Ok(Question::Snapshot(answer)) => _ = answer.send(Snapshot::take(&mut watch)),
            Ok(Question::Record(plan, answer)) => _ = answer.send(watch.begin_recording(&plan)),
            Ok(Question::EndRecording(answer)) => _ = answer.send(watch.end_recording()),
            Ok(Question::End(answer)) => {
                let _ = answer.send(watch.end());
                return Ok(());
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        watch.take_records()?;
    }
}

/// Scans, and says how long to wait before the next time.
fn pause(watch: &mut Watch, every: Duration) -> Duration {
    match watch.scan() {
        Ok(Found::Usual) => every,
        Ok(Found::Beginning) => every.min(SOON),
        Err(error) => {
            *watch.failures.entry("scan").or_default() += 1;
            log::warn!("cannot look at all processes: {error:#}");
            every
        }
    }
}
