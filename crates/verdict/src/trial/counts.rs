//! Whether client and servers counted the same.

use runlog::RunDirectory;
use runlog::json;
use runlog::record::{Outcome, Request};
use runlog::trial::{
    ArmCounts, CountsCheck, DifferingCount, RecordLedger, ServerCounts, TrialCounts,
};

use crate::trial::design::Design;

/// What became of requests, at the client.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    answered: u64,
    uncertain: u64,
}

/// What the client counted, by server and arm.
#[derive(Debug)]
pub struct Tally {
    servers: Vec<Vec<Sent>>,
    /// Requests that are logged with another arm than they were drawn.
    misplaced: u64,
}

impl Tally {
    /// An empty one.
    pub fn new(design: &Design) -> Self {
        let arms = vec![Sent::default(); design.trial.arms().len()];
        Self {
            servers: vec![arms; design.servers],
            misplaced: 0,
        }
    }

    /// Counts a request to a server.
    pub fn add(&mut self, design: &Design, server: usize, request: &Request) {
        let Some(arm) = design.arm_of(request) else {
            return;
        };
        self.misplaced += u64::from(arm != usize::from(request.arm));
        let sent = &mut self.servers[server][arm];
        let has = |outcomes: &[Outcome]| outcomes.iter().any(|one| *one as u8 == request.outcome);
        if has(&ANSWERED) {
            sent.answered += 1;
        } else if !has(&NOT_READ) {
            sent.uncertain += 1;
        }
    }

    /// Compares with what the servers counted; `None` if nobody wrote that down.
    pub fn check(
        self,
        run: &RunDirectory,
        design: &Design,
        connections_opened: u64,
        misplaced_calls: u64,
    ) -> runlog::Result<Option<CountsCheck>> {
        if !run.trial_counts().exists() {
            return Ok(None);
        }
        let counts: TrialCounts = json::read(&run.trial_counts())?;
        let sum = |part: fn(&ServerCounts) -> u64| counts.servers.iter().map(part).sum();
        let mut check = CountsCheck {
            connections_opened,
            connections_accepted: sum(|server| server.connections),
            without_salt: sum(|server| server.without_salt),
            off_boundary: sum(|server| server.off_boundary),
            beyond_request: sum(|server| server.beyond_request),
            misplaced: misplaced_calls + self.misplaced,
            records: RecordLedger {
                begun: sum(|server| server.records.begun),
                read: sum(|server| server.records.read),
                overwritten: sum(|server| server.records.overwritten),
                torn: sum(|server| server.records.torn),
                unrecordable: sum(|server| server.records.unrecordable),
            },
            ..CountsCheck::default()
        };
        let mut hooked_calls = 0;
        for (server, sent) in self.servers.iter().enumerate() {
            let counted = counts.servers.get(server);
            for ((_, arm), sent) in design.arms().zip(sent) {
                let name = arm.to_string();
                let counted = counted.and_then(|counted| counted.arms.get(&name).copied());
                let ArmCounts {
                    requests,
                    calls,
                    unreached,
                    ..
                } = counted.unwrap_or_default();
                check.requests += requests;
                if arm.is_hooked() {
                    hooked_calls += calls;
                    check.unreached += unreached;
                }
                let Sent {
                    answered,
                    uncertain,
                } = *sent;
                if !(answered..=answered + uncertain).contains(&requests) {
                    check.differing.push(DifferingCount {
                        server,
                        arm: name,
                        answered,
                        uncertain,
                        drawn: requests,
                    });
                }
            }
        }
        check.never_reached = hooked_calls > 0 && check.unreached == hooked_calls;
        Ok(Some(check))
    }
}

/// There is a whole response: the server has read the request.
const ANSWERED: [Outcome; 5] = [
    Outcome::Ok,
    Outcome::OtherStatus,
    Outcome::Status3xx,
    Outcome::Status4xx,
    Outcome::Status5xx,
];
/// There was no connection: no server has read it. Of other failures that is not known.
const NOT_READ: [Outcome; 4] = [
    Outcome::ConnectRefused,
    Outcome::ConnectTimedOut,
    Outcome::ConnectFailed,
    Outcome::Unsent,
];
