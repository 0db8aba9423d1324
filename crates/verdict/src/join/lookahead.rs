//! The offset of two clocks, estimated ahead of the join for as many requests at a time as see no drift
//! to speak of.

use runlog::record::Request;

use crate::join::clock::{Bounds, agreed, on_server};
use crate::join::source::{Rows, Source};
use crate::join::stream::{Known, Stream};

/// Requests that one estimate is for, at most.
const REQUESTS: usize = 4_096;
/// And how long they may take. Clocks drift by tens of microseconds a second.
const TIME_NS: u64 = 1_000_000_000;
/// The fewest requests that an estimate rests on, if there are as many.
const LEAST: usize = 16;

/// Reads a group ahead of the join.
#[derive(Debug)]
pub struct Lookahead<'k> {
    stream: Stream<'k>,
    /// The best that is known so far.
    offset_ns: i64,
    /// A request that was read and belongs to the next estimate.
    next: Option<Request>,
}

/// An estimate, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// The server's clock minus the client's.
    pub offset_ns: i64,
    /// For that many requests of the group.
    pub requests: usize,
}

impl<'k> Lookahead<'k> {
    /// Begins a group, with what the connections tell of the offset.
    pub fn new(known: &'k Known, rough_offset_ns: i64) -> Self {
        Self {
            stream: Stream::new(known),
            offset_ns: rough_offset_ns,
            next: None,
        }
    }

    /// The estimate for the next requests of the group; `None` behind the last.
    pub fn estimate(
        &mut self,
        source: &Source<'_>,
        rows: &mut Rows,
        number: u32,
    ) -> runlog::Result<Option<Estimate>> {
        let mut bounds: Vec<Bounds> = Vec::new();
        let mut requests = 0;
        let mut until_ns = None;
        loop {
            let next = match self.next.take() {
                Some(request) => Some(request),
                None => rows.next_request(source, number)?,
            };
            let Some(request) = next else { break };
            let until_ns = *until_ns.get_or_insert(request.done_ns.saturating_add(TIME_NS));
            let is_enough =
                requests == REQUESTS || (request.done_ns > until_ns && bounds.len() >= LEAST);
            if is_enough {
                self.next = Some(request);
                break;
            }
            requests += 1;
            let request = shifted(request, self.offset_ns);
            self.stream.read_up_to(request.done_ns, rows, number)?;
            if let Ok(found) = self.stream.request(&request) {
                bounds.push(found.bounds.shifted(self.offset_ns));
            }
        }
        if requests == 0 {
            return Ok(None);
        }
        if let Some(agreed) = agreed(&bounds) {
            self.offset_ns = agreed.middle_ns();
        }
        Ok(Some(Estimate {
            offset_ns: self.offset_ns,
            requests,
        }))
    }
}

/// A request on the server's clock.
pub fn shifted(request: Request, offset_ns: i64) -> Request {
    Request {
        planned_ns: on_server(request.planned_ns, offset_ns),
        sent_ns: on_server(request.sent_ns, offset_ns),
        done_ns: on_server(request.done_ns, offset_ns),
        ..request
    }
}
