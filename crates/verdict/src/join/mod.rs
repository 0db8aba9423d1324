//! Joining probe records to requests: which reads of which server thread delivered which request?
//!
//! The join goes by connection and byte range: a request occupies bytes `first..end` of what its client
//! sent on a connection, and a read returned bytes `first..first + returned` of what the server received
//! on it. No clock is involved, so that each read ended between `sent` and `done` is an independent
//! check; where the two sides have different clocks, it bounds their offset.
//!
//! It knows neither kernel nor processes: a [`Source`] says where the rows are, and [`join`] hands the
//! joined requests out in the order of the request log. Rows are read in a stream; what is kept in
//! memory are the connections of one block, and the reads of some tenths of a second.

pub(crate) mod clock;
mod connections;
mod content;
mod group;
mod lookahead;
mod request;
mod source;
mod stream;
#[cfg(test)]
mod tests;

use runlog::analysis::Join;
use runlog::record::{JoinedRequest, Request};

use crate::join::clock::Summary;
use crate::join::group::{Connections, Turn};
use crate::join::lookahead::{Lookahead, shifted};
use crate::join::source::Rows;
use crate::join::stream::Stream;

pub use source::{Grouping, Source, Window};

/// Causes of unmatched requests.
mod cause {
    /// It failed: what the server got of it is not known.
    pub const FAILED: &str = "request_failed";
    /// No accept of its connection was recorded.
    pub const NOT_SEEN: &str = "connection_not_seen";
    /// The server has connections from ports that the client did not use, and none of them alone fits.
    pub const PORTS_DIFFER: &str = "ports_differ";
    /// Several connections of the server may be its own.
    pub const AMBIGUOUS: &str = "connection_ambiguous";
    /// Its connection is older than the attach: nobody knows which byte the first record is of.
    pub const OLDER: &str = "connection_older_than_attach";
    /// A record with bytes of it is missing.
    pub const LOST: &str = "records_lost";
    /// It is logged behind a later request of its connection.
    pub const OUT_OF_ORDER: &str = "request_out_of_order";
}

/// What came of a join.
#[derive(Debug)]
pub struct JoinOutput {
    /// The counts.
    pub join: Join,
    /// Whether a log was cut short.
    pub cut_short: bool,
}

/// Joins. `take` gets the joined requests one by one, in the order of the request log.
pub fn join(
    source: &Source<'_>,
    mut take: impl FnMut(&JoinedRequest) -> anyhow::Result<()>,
) -> anyhow::Result<JoinOutput> {
    let mut rows = source.rows()?;
    let mut connections = Connections::open(source)?;
    let mut join = Join::default();
    let mut clocks: Option<Summary> = None;
    while let Some(number) = rows.requests.next_number() {
        if source.grouping == Grouping::Block && !is_wanted(source, &mut rows, number)? {
            rows.requests.skip(number)?;
            continue;
        }
        let Turn {
            known,
            relation,
            rough_offset_ns,
        } = connections.turn(source, number, &mut join)?;
        let clocks = clocks.get_or_insert_with(|| Summary::new(relation));
        let mut stream = Stream::new(&known);
        let mut lookahead = rough_offset_ns.map(|rough| Lookahead::new(&known, rough));
        let (mut offset_ns, mut estimated) = (0, 0);
        while let Some(request) = rows.next_request(source, number)? {
            if let Some(lookahead) = &mut lookahead
                && estimated == 0
            {
                clocks.add(stream.take_bounds().shifted(offset_ns));
                if let Some(estimate) =
                    lookahead.estimate(source, connections.ahead(source)?, number)?
                {
                    (offset_ns, estimated) = (estimate.offset_ns, estimate.requests);
                }
            }
            estimated = estimated.saturating_sub(1);
            let request = shifted(request, offset_ns);
            stream.read_up_to(request.done_ns, &mut rows, number)?;
            join_one(source, &request, &mut stream, &mut join, &mut take)?;
        }
        clocks.add(stream.take_bounds().shifted(offset_ns));
        stream.finish(&mut rows, number, &mut join)?;
    }
    join.clocks = clocks.and_then(Summary::finish);
    Ok(JoinOutput {
        join,
        cut_short: rows.were_cut_short(),
    })
}

fn join_one(
    source: &Source<'_>,
    request: &Request,
    stream: &mut Stream<'_>,
    join: &mut Join,
    take: &mut impl FnMut(&JoinedRequest) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let result = stream.request(request);
    if !source.window.holds(request) {
        join.outside_attach += 1;
        return Ok(());
    }
    join.requests += 1;
    match result {
        Ok(found) => {
            let joined = found.joined;
            join.matched += 1;
            join.outside_sent_done += u64::from(!found.is_within);
            join.shared += u64::from(joined.flags & JoinedRequest::SHARED != 0);
            join.waited_for += u64::from(joined.waited_ns > 0);
            take(&joined)?;
        }
        Err(cause) => *join.unmatched.entry(cause.to_owned()).or_default() += 1,
    }
    Ok(())
}

/// Whether the requests of a block are to be joined: they are all alike.
fn is_wanted(source: &Source<'_>, rows: &mut Rows, number: u32) -> runlog::Result<bool> {
    let first = rows.requests.peek_of(number)?;
    Ok(first.is_some_and(|request| source.wants_request(request)))
}
