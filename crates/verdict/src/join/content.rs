//! Recognising connections whose ports do not tell, by bytes and times: behind a gateway that changes
//! ports (NAT), or where the record of the accept was lost.
//!
//! A connection of the server may be a client's if each of its reads ended within [sent, done] of the
//! requests whose bytes it returned. It is taken for it if no other fits, on either side.

use std::collections::{BTreeMap, HashMap, HashSet};

use runlog::record::{ClientConnection, ReadSpan, Request, ServerClose};

use crate::join::cause;
use crate::join::connections::Matched;
use crate::join::request::read_end;
use crate::join::source::{Rows, Source};
use crate::join::stream::Known;

/// Requests of a connection that are looked at.
const REQUESTS: usize = 64;
/// Reads of a connection that are looked at.
const READS: usize = 256;

/// A connection of the client that has no counterpart.
#[derive(Debug)]
struct Asked {
    connection: ClientConnection,
    requests: Vec<Request>,
}

/// A connection of the server that has none.
#[derive(Debug, Default)]
struct Offered {
    accepted_ns: Option<u64>,
    received_bytes: Option<u64>,
    reads: Vec<ReadSpan>,
    /// The place of its reads among the bytes is not known.
    is_older: bool,
}

/// What has no counterpart in a group.
#[derive(Debug)]
pub struct Leftover {
    asked: BTreeMap<u32, Asked>,
    offered: HashMap<u64, Offered>,
    /// Identities that have one.
    taken: HashSet<u64>,
    ambiguous: HashSet<u32>,
    ports_differ: bool,
}

impl Leftover {
    /// Of what ports could not match.
    pub fn new(matched: &Matched, closes: &[ServerClose]) -> Self {
        let asked = matched.client_alone.iter().map(|connection| {
            let asked = Asked {
                connection: *connection,
                requests: Vec::new(),
            };
            (connection.connection, asked)
        });
        let mut leftover = Self {
            asked: asked.collect(),
            offered: HashMap::new(),
            taken: matched.identities.values().copied().collect(),
            ambiguous: matched.ambiguous.clone(),
            ports_differ: matched.has_foreign_ports(),
        };
        for accepted in &matched.server_alone {
            let offered = leftover.offered.entry(accepted.connection).or_default();
            offered.accepted_ns = Some(accepted.accepted_ns);
        }
        for close in closes {
            if !leftover.taken.contains(&close.connection)
                && close.received_bytes != ReadSpan::UNKNOWN_OFFSET
            {
                let offered = leftover.offered.entry(close.connection).or_default();
                offered.received_bytes = Some(close.received_bytes);
            }
        }
        leftover
    }

    /// Reads what there is of them in the group.
    pub fn read(
        &mut self,
        source: &Source<'_>,
        rows: &mut Rows,
        number: u32,
    ) -> runlog::Result<()> {
        while let Some(request) = rows.next_request(source, number)? {
            self.push_request(request);
        }
        while let Some(read) = rows.reads.next_of(number)? {
            self.push_read(read);
        }
        Ok(())
    }

    /// Adds a request.
    pub fn push_request(&mut self, request: Request) {
        if let Some(asked) = self.asked.get_mut(&request.connection)
            && asked.requests.len() < REQUESTS
        {
            asked.requests.push(request);
        }
    }

    /// Adds a read.
    pub fn push_read(&mut self, read: ReadSpan) {
        if read.returned <= 0 || self.taken.contains(&read.connection) {
            return;
        }
        let offered = self.offered.entry(read.connection).or_default();
        if read.first_byte == ReadSpan::UNKNOWN_OFFSET {
            offered.is_older = true;
        } else if offered.reads.len() < READS {
            offered.reads.push(read);
        }
    }

    /// Matches what fits one another and nothing else; returns how many connections. The others have a
    /// cause then.
    pub fn settle(self, known: &mut Known) -> u64 {
        let fitting = self.fitting();
        let mut fitted_by: HashMap<u64, usize> = HashMap::new();
        for identity in fitting.values().flatten() {
            *fitted_by.entry(*identity).or_default() += 1;
        }
        let has_older = self.offered.values().any(|offered| offered.is_older);
        let mut settled = 0;
        for (number, identities) in &fitting {
            if let [identity] = identities[..]
                && fitted_by.get(&identity) == Some(&1)
            {
                known.identities.insert(*number, identity);
                settled += 1;
                continue;
            }
            let cause = if !identities.is_empty() || self.ambiguous.contains(number) {
                cause::AMBIGUOUS
            } else if self.ports_differ {
                cause::PORTS_DIFFER
            } else if has_older {
                cause::OLDER
            } else {
                cause::NOT_SEEN
            };
            known.causes.insert(*number, cause);
        }
        settled
    }

    /// The server's connections that fit each of the client's.
    fn fitting(&self) -> BTreeMap<u32, Vec<u64>> {
        // Only those count that began while the client's went on.
        let mut by_time: Vec<(u64, u64)> = self
            .offered
            .iter()
            .filter_map(|(identity, offered)| Some((offered.reads.first()?.exit_ns, *identity)))
            .collect();
        by_time.sort_unstable();
        let of = |asked: &Asked| -> Vec<u64> {
            let (Some(first), Some(last)) = (asked.requests.first(), asked.requests.last()) else {
                return Vec::new();
            };
            let from = by_time.partition_point(|(exit_ns, _)| *exit_ns < first.sent_ns);
            let until = by_time.partition_point(|(exit_ns, _)| *exit_ns <= last.done_ns);
            let candidates = by_time.get(from..until).unwrap_or_default();
            candidates
                .iter()
                .map(|(_, identity)| *identity)
                .filter(|identity| fits(asked, &self.offered[identity]))
                .collect()
        };
        let asked = self.asked.iter();
        asked.map(|(number, asked)| (*number, of(asked))).collect()
    }
}

/// Whether one connection of the server may be one of the client.
fn fits(asked: &Asked, offered: &Offered) -> bool {
    let ClientConnection {
        opening_ns,
        sent_bytes,
        ..
    } = asked.connection;
    if offered.is_older
        || offered.accepted_ns.is_some_and(|ns| ns < opening_ns)
        || offered
            .received_bytes
            .is_some_and(|bytes| bytes > sent_bytes)
    {
        return false;
    }
    let mut verified = 0;
    let mut requests = asked.requests.iter().peekable();
    for read in &offered.reads {
        // Requests that ended before this read's first byte are behind us.
        while requests
            .next_if(|request| request.end_byte <= read.first_byte)
            .is_some()
        {}
        let Some(first) = requests.peek() else { break };
        if first.first_byte >= read_end(read) {
            continue; // of a request that is not in the log
        }
        // All requests that it returned bytes of had been sent; the first may have its response soonest.
        if !(first.sent_ns..=first.done_ns).contains(&read.exit_ns) {
            return false;
        }
        verified += 1;
    }
    verified > 0
}
