//! Who sends requests: our load generator, or somebody else's.

use runlog::gate::Event;

use crate::run::foreign_load::ForeignLoad;
use crate::run::loadgen::LoadGenerator;

/// What sends requests.
#[derive(Debug)]
pub enum Generator {
    /// Ours, block by block.
    Ours(LoadGenerator),
    /// A command, as one block.
    Foreign(ForeignLoad),
}

impl Generator {
    /// Its process number; `None` when it does not run.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Ours(ours) => ours.pid(),
            Self::Foreign(foreign) => foreign.pid(),
        }
    }

    /// What happens next; `None` when it has ended without a word. Cancel-safe.
    pub async fn next_event(&mut self) -> anyhow::Result<Option<Event>> {
        match self {
            Self::Ours(ours) => ours.next_event().await,
            Self::Foreign(foreign) => foreign.next_event().await.map(Some),
        }
    }

    /// Lets the planned block begin.
    pub async fn go(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Ours(ours) => ours.go().await,
            Self::Foreign(foreign) => foreign.go(),
        }
    }

    /// Tells it to stop soon, and to write down what it has.
    pub fn wind_up(&mut self, in_block: bool) {
        match self {
            Self::Ours(ours) => ours.wind_up(in_block),
            Self::Foreign(foreign) => foreign.wind_up(),
        }
    }

    /// Says how it ended, once it has said its last word.
    pub async fn end(&mut self) -> Option<String> {
        match self {
            Self::Ours(ours) => ours.end().await,
            Self::Foreign(_) => None,
        }
    }

    /// Waits for its end: it may still be writing its files.
    pub async fn stop(self) {
        match self {
            Self::Ours(ours) => ours.stop().await,
            Self::Foreign(foreign) => foreign.stop().await,
        }
    }
}
