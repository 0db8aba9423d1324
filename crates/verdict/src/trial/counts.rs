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

impl Sent {
    fn plus(self, other: Self) -> Self {
        Self {
            answered: self.answered + other.answered,
            uncertain: self.uncertain + other.uncertain,
        }
    }

    /// What a server counted, unless it is what was sent.
    fn against(self, server: usize, arm: &str, drawn: u64) -> Option<DifferingCount> {
        let Self {
            answered,
            uncertain,
        } = self;
        let is_same = (answered..=answered + uncertain).contains(&drawn);
        (!is_same).then(|| DifferingCount {
            server,
            arm: arm.to_owned(),
            answered,
            uncertain,
            drawn,
        })
    }
}

/// What the first requests of connections are called among arms,
const FIRST: &str = "first";
/// and all others together: by slices of time, who sends a request does not know in which it is read.
const ALL: &str = "all arms";

/// Requests to one server.
#[derive(Clone, Debug)]
struct ToServer {
    /// The first of connections, which have no arm.
    first: Sent,
    by_arm: Vec<Sent>,
}

/// What the client counted, by server and arm.
#[derive(Debug)]
pub struct Tally {
    servers: Vec<ToServer>,
    /// Requests that are logged with another arm than they were drawn.
    misplaced: u64,
}

impl Tally {
    /// An empty one.
    pub fn new(design: &Design) -> Self {
        let none = ToServer {
            first: Sent::default(),
            by_arm: vec![Sent::default(); design.trial.arms().len()],
        };
        Self {
            servers: vec![none; design.servers],
            misplaced: 0,
        }
    }

    /// Counts a request to a server.
    pub fn add(&mut self, design: &Design, server: usize, request: &Request) {
        let to_server = &mut self.servers[server];
        let sent = match design.arm_of(request) {
            None => &mut to_server.first,
            Some(arm) => {
                self.misplaced += u64::from(arm != usize::from(request.arm));
                &mut to_server.by_arm[arm]
            }
        };
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
        // Servers can write what they like where these come from: no sum may overflow.
        let sum = |part: fn(&ServerCounts) -> u64| {
            let parts = counts.servers.iter().map(part);
            parts.fold(0, u64::saturating_add)
        };
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
        let mut hooked_calls = 0_u64;
        let none = ServerCounts::default();
        for (server, sent) in self.servers.iter().enumerate() {
            let counted = counts.servers.get(server).unwrap_or(&none);
            let first = sent.first.against(server, FIRST, counted.first_requests);
            check.differing.extend(first);
            let mut drawn = 0_u64;
            for ((_, arm), sent) in design.arms().zip(&sent.by_arm) {
                let name = arm.to_string();
                let ArmCounts {
                    requests,
                    calls,
                    unreached,
                    ..
                } = counted.arms.get(&name).copied().unwrap_or_default();
                drawn = drawn.saturating_add(requests);
                if arm.is_hooked() {
                    hooked_calls = hooked_calls.saturating_add(calls);
                    check.unreached = check.unreached.saturating_add(unreached);
                }
                let is_known = design.slices.is_none();
                let differing = is_known.then(|| sent.against(server, &name, requests));
                check.differing.extend(differing.flatten());
            }
            check.requests = check.requests.saturating_add(drawn);
            // The servers' own log is all that tells of requests that somebody else has sent.
            if design.slices.is_some() && !design.is_server_log() {
                let all = sent
                    .by_arm
                    .iter()
                    .copied()
                    .fold(Sent::default(), Sent::plus);
                check.differing.extend(all.against(server, ALL, drawn));
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
