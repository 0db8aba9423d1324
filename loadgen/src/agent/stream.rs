//! Sends the logs of a run while it goes on, in a thread of its own.
//!
//! The logs are files already: this reads what has been added to them since, a piece at a time. So the load never
//! waits for an agent, and what an agent is behind with takes no memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use runlog::RunDirectory;
use runlog::agent_run::{LogBytes, RunState};

use super::client::{AgentClient, Failure, LogFile};

/// The longest piece.
const PIECE: usize = 512 << 10;
/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often an agent hears something, if only that there is nothing new.
const SIGN_EVERY: Duration = Duration::from_secs(5);
/// How long an agent that cannot be reached is tried. It gives a run up when it hears nothing for half a minute.
const TRY_FOR: Duration = Duration::from_secs(8);
/// How long to wait before it is tried again.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Up to where.
    pub bytes: LogBytes,
    /// The most that was there and not sent.
    pub most_behind: u64,
}

/// A log that grows.
#[derive(Debug)]
struct Tail {
    log: LogFile,
    path: PathBuf,
    sent: u64,
}

/// Sends the logs of a run.
#[derive(Debug)]
pub struct Stream {
    agent: AgentClient,
    id: String,
    tails: [Tail; 2],
    heard: Instant,
    most_behind: u64,
}

impl Stream {
    /// Of a run whose logs are there.
    pub fn new(agent: AgentClient, id: String, run: &RunDirectory) -> Self {
        let tail = |log, path| Tail { log, path, sent: 0 };
        Self {
            agent,
            id,
            tails: [
                tail(LogFile::Requests, run.requests()),
                tail(LogFile::Connections, run.client_connections()),
            ],
            heard: Instant::now(),
            most_behind: 0,
        }
    }

    /// Sends what there is until `ended` says, or is closed, that no more will come, and the rest then. Says how far it
    /// came, whatever has failed.
    pub fn run(&mut self, ended: &Receiver<()>) -> (Sent, Result<(), Failure>) {
        let end = self.send_all(ended);
        let [requests, connections] = &self.tails;
        let sent = Sent {
            bytes: LogBytes {
                requests: requests.sent,
                connections: connections.sent,
            },
            most_behind: self.most_behind,
        };
        (sent, end)
    }

    fn send_all(&mut self, ended: &Receiver<()>) -> Result<(), Failure> {
        let mut has_ended = false;
        loop {
            let mut is_at_end = true;
            for index in 0..self.tails.len() {
                is_at_end &= self.send_piece(index)?;
            }
            if !is_at_end {
                continue;
            }
            if has_ended {
                return Ok(());
            }
            if self.heard.elapsed() > SIGN_EVERY {
                self.put(0, &[])?;
            }
            // What was written before that is sent in one more round.
            has_ended = ended.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout);
        }
    }

    /// Sends the next piece of a log. Says whether that was all.
    fn send_piece(&mut self, index: usize) -> Result<bool, Failure> {
        let tail = &self.tails[index];
        let read = tail.read().map_err(|error| {
            Failure::NoAnswer(format!("cannot read {}: {error}", tail.path.display()))
        });
        let (piece, behind) = read?;
        self.most_behind = self.most_behind.max(behind);
        if piece.is_empty() {
            return Ok(true);
        }
        self.put(index, &piece)?;
        Ok(piece.len() as u64 >= behind)
    }

    /// Sends a piece, again where that may help.
    fn put(&mut self, index: usize, piece: &[u8]) -> Result<(), Failure> {
        let give_up = Instant::now() + TRY_FOR;
        loop {
            let tail = &self.tails[index];
            let sent = self.agent.send(&self.id, tail.log, tail.sent, piece);
            let failure = match sent {
                Ok(received) => {
                    self.note(received);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if !failure.may_pass() || Instant::now() >= give_up {
                return Err(failure);
            }
            thread::sleep(TRY_EVERY);
            // The piece may have arrived, and the answer may have been lost.
            if let Ok(run) = self.agent.run(&self.id) {
                if run.state != RunState::Recording {
                    let reason = run.reason.unwrap_or_else(|| "it has ended".to_owned());
                    return Err(Failure::NoAnswer(format!(
                        "the run goes on no more: {reason}"
                    )));
                }
                if run.received != self.bytes() {
                    self.note(run.received);
                    return Ok(());
                }
            }
        }
    }

    fn bytes(&self) -> LogBytes {
        LogBytes {
            requests: self.tails[0].sent,
            connections: self.tails[1].sent,
        }
    }

    /// Notes how much has arrived.
    fn note(&mut self, received: LogBytes) {
        self.heard = Instant::now();
        self.tails[0].sent = received.requests;
        self.tails[1].sent = received.connections;
    }
}

impl Tail {
    /// The next piece, and how much there is that was not sent.
    fn read(&self) -> io::Result<(Vec<u8>, u64)> {
        let mut file = File::open(&self.path)?;
        let behind = file.metadata()?.len().saturating_sub(self.sent);
        let mut piece = Vec::new();
        if behind > 0 {
            file.seek(SeekFrom::Start(self.sent))?;
            file.take(PIECE as u64).read_to_end(&mut piece)?;
        }
        Ok((piece, behind))
    }
}
