//! The records of calls, brought to their requests by salt and ordinal.

use std::collections::BTreeMap;

use abi::trial::Trial;
use runlog::RunDirectory;
use runlog::record::{BracketedCall, ClientConnection, READS, Request};
use runlog::table;

use crate::trial::design::Design;

/// All calls of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    /// Number of the arm that the first of them had.
    pub arm: u16,
    /// How many.
    pub count: u32,
    /// Of these, so many were entered before the request was sent: the server was waiting in them.
    pub waiting: u32,
    /// Bytes that they returned.
    pub bytes: u64,
    /// Hook overhead, with that of the bracket.
    pub whole_ns: u64,
    /// The part of it after the read.
    pub after_read_ns: u64,
    /// The delay of the arm.
    pub waited_ns: u64,
    /// From sending until the hook can have had an effect: until the first call was entered, or, if the server was waiting in
    /// it, until it had read.
    pub untouched_ns: u64,
    /// Whether the hook was still at work before the read when the request was sent: then it has an effect from there on.
    pub is_late: bool,
    /// The part of the hook overhead that lengthens the response time.
    pub in_response_ns: u64,
    /// So many never got behind the hook: what they took is not known.
    pub unreached: u32,
    /// From sending to the last return behind the hook,
    returned_ns: u64,
    /// and to the last return in front of it.
    left_ns: u64,
}

impl Calls {
    fn add(&mut self, call: &BracketedCall, sent_ns: u64) {
        let after_read_ns = u64::from(call.from_back_ns);
        let waited_ns = u64::from(call.waited_ns);
        let left_ns = call.back_exit_ns.saturating_add(after_read_ns + waited_ns);
        let was_waiting = call.enter_ns < sent_ns;
        if self.count == 0 {
            self.arm = call.arm;
            let touched_ns = if was_waiting {
                call.back_exit_ns
            } else {
                call.enter_ns
            };
            self.untouched_ns = touched_ns.saturating_sub(sent_ns);
        }
        // What comes before a read that waits is over by then, or is what the request waits for.
        let ready_ns = call.enter_ns.saturating_add(call.to_back_ns.into());
        let late_ns = ready_ns.saturating_sub(sent_ns).min(call.to_back_ns.into());
        self.is_late |= was_waiting && late_ns > 0;
        self.in_response_ns += after_read_ns + late_ns;
        self.count += 1;
        // A hook may know by itself that nothing is left.
        let is_unreached = call.returned > 0 && call.flags & BracketedCall::REACHED_BACK == 0;
        self.unreached += u32::from(is_unreached);
        self.waiting += u32::from(was_waiting);
        self.bytes += u64::from(call.returned);
        self.whole_ns += call.overhead_ns();
        self.after_read_ns += after_read_ns;
        self.waited_ns += waited_ns;
        self.returned_ns = call.back_exit_ns.saturating_sub(sent_ns);
        self.left_ns = left_ns.saturating_sub(sent_ns);
    }

    /// What the response time is made of: until the read had returned, then until the hook had, then the rest. Instants are
    /// clipped at the threshold, so that the segments are clipped and add up to min(time, threshold).
    pub fn segments(&self, took_ns: f64, threshold_ns: f64) -> [f64; 3] {
        let end_ns = took_ns.min(threshold_ns);
        let returned_ns = (self.returned_ns as f64).min(end_ns);
        let left_ns = (self.left_ns as f64).clamp(returned_ns, end_ns);
        [returned_ns, left_ns - returned_ns, end_ns - left_ns]
    }
}

/// A call on the client's clock.
fn on_client(call: BracketedCall, server_ahead_ns: i64) -> BracketedCall {
    let on_client = |ns: u64| ns.saturating_add_signed(server_ahead_ns.saturating_neg());
    BracketedCall {
        enter_ns: on_client(call.enter_ns),
        back_exit_ns: on_client(call.back_exit_ns),
        ..call
    }
}

/// The records of all calls.
#[derive(Debug)]
pub struct CallLog {
    /// With the number of the connection; in the order of connection, ordinal and time.
    calls: Vec<(u32, BracketedCall)>,
    /// Records of no connection, or that do not belong where they say.
    misplaced: u64,
    /// Records whose connections were looked at.
    seen: usize,
    /// Calls of requests with the hook, by function.
    hooked_calls: [u64; READS.len()],
    /// By how much the servers' clock is ahead of that of the calls here, which is the client's.
    server_ahead_ns: i64,
    /// The requests are those that servers answered: calls that nobody answered are of none.
    answered_alone: bool,
}

impl CallLog {
    /// Reads them; `None` if there are none.
    pub fn read(
        run: &RunDirectory,
        trial: &Trial,
        connections: &[ClientConnection],
        server_ahead_ns: i64,
    ) -> runlog::Result<Option<Self>> {
        if !run.bracketed_calls().exists() {
            return Ok(None);
        }
        let mut salts: Vec<(u64, u32)> = connections
            .iter()
            .map(|opened| (trial.salt(opened.connection), opened.connection))
            .collect();
        salts.sort_unstable();
        let mut log = Self {
            calls: Vec::new(),
            misplaced: 0,
            seen: 0,
            hooked_calls: [0; READS.len()],
            server_ahead_ns,
            answered_alone: trial.is_of_any_size(),
        };
        for call in table::Rows::<BracketedCall>::open(run.bracketed_calls())? {
            let call = on_client(call?, server_ahead_ns);
            if call.function == BracketedCall::ANSWER {
                continue;
            }
            match salts.binary_search_by_key(&call.salt, |(salt, _)| *salt) {
                Ok(index) => log.calls.push((salts[index].1, call)),
                Err(_) => log.misplaced += 1,
            }
        }
        // Stable: records that are nearly in this order are sorted fast.
        log.calls
            .sort_by_key(|(connection, call)| (*connection, call.ordinal, call.enter_ns));
        Ok(Some(log))
    }

    /// The calls of a connection's requests, which are in the order of their bytes.
    pub fn of_connection(
        &mut self,
        design: &Design,
        server: usize,
        requests: &[Request],
    ) -> Vec<Option<Calls>> {
        let mut found = vec![None::<Calls>; requests.len()];
        let connection = requests.first().map_or(0, |request| request.connection);
        self.seen += self.all_of(connection).len();
        let mut last_fresh = None;
        let mut misplaced = 0;
        let mut hooked_calls = self.hooked_calls;
        for (_, call) in self.all_of(connection) {
            let ordinal = u64::from(call.ordinal);
            let index = requests.binary_search_by_key(&ordinal, |request| design.ordinal(request));
            let arm = design.arm_of_call(call, self.server_ahead_ns);
            let is_of_server = usize::from(call.server) == server;
            // What another server says of this one's requests must not put its own aside.
            let is_again = is_of_server
                && call.flags & BracketedCall::FRESH != 0
                && last_fresh.replace(ordinal) == Some(ordinal);
            if let (Ok(index), Some(arm)) = (index, arm)
                && is_of_server
                && arm == usize::from(call.arm)
                && !is_again
            {
                let sent_ns = requests[index].sent_ns;
                found[index].get_or_insert_default().add(call, sent_ns);
                let is_hooked = design
                    .trial
                    .arms()
                    .get(arm)
                    .is_some_and(|arm| arm.is_hooked());
                if is_hooked && let Some(count) = hooked_calls.get_mut(usize::from(call.function)) {
                    *count += 1;
                }
            } else if index.is_ok() || !self.answered_alone {
                misplaced += 1;
            }
        }
        self.misplaced += misplaced;
        self.hooked_calls = hooked_calls;
        found
    }

    /// How many calls of requests with the hook there are, by function, once all requests were looked at.
    pub fn functions(&self) -> BTreeMap<String, u64> {
        let called = READS.iter().zip(self.hooked_calls);
        let called = called.filter(|(_, count)| *count > 0);
        called
            .map(|(name, count)| ((*name).to_owned(), count))
            .collect()
    }

    /// The calls of a connection, in the order of requests and time.
    pub fn all_of(&self, connection: u32) -> &[(u32, BracketedCall)] {
        let from = self.calls.partition_point(|(of, _)| *of < connection);
        let count = self.calls[from..].partition_point(|(of, _)| *of == connection);
        &self.calls[from..from + count]
    }

    /// Records that do not belong where they say, once all requests were looked at.
    pub fn misplaced(&self) -> u64 {
        let unseen = (self.calls.len() - self.seen) as u64;
        self.misplaced + if self.answered_alone { 0 } else { unseen }
    }
}

#[cfg(test)]
mod tests;
