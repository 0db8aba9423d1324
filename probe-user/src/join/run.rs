//! The join of a whole run, block by block: memory is bounded by the largest block.

use std::collections::BTreeMap;

use runlog::RunDirectory;
use runlog::analysis::Join;
use runlog::groups::Groups;
use runlog::record::{
    ClientConnection, JoinedRequest, ReadSpan, Request, ServerConnection, WriteSpan,
};
use runlog::table::Rows;

use crate::join::block::{BlockLogs, join_block};

/// What a run's join is about.
#[derive(Debug)]
pub struct JoinOutput {
    /// The counts.
    pub join: Join,
    /// Whether a log was cut short.
    pub cut_short: bool,
}

/// Joins all observed blocks of the arms for which `is_hooked` holds, in their order. `take` gets
/// the joined requests of one block at a time.
pub fn join_run(
    run: &RunDirectory,
    is_hooked: impl Fn(u16) -> bool,
    mut take: impl FnMut(u32, Vec<JoinedRequest>) -> anyhow::Result<()>,
) -> anyhow::Result<JoinOutput> {
    let mut client: BTreeMap<u32, Vec<ClientConnection>> = BTreeMap::new();
    for connection in Rows::<ClientConnection>::open(run.client_connections())? {
        let connection = connection?;
        client.entry(connection.block).or_default().push(connection);
    }
    let mut server: BTreeMap<u32, Vec<ServerConnection>> = BTreeMap::new();
    for connection in Rows::<ServerConnection>::open(run.server_connections())? {
        let connection = connection?;
        server
            .entry(connection.attach)
            .or_default()
            .push(connection);
    }
    let mut requests = Groups::open(run.requests(), |request: &Request| request.block)?;
    let mut reads = Groups::open(run.reads(), |read: &ReadSpan| read.attach)?;
    let mut writes = Groups::open(run.writes(), |write: &WriteSpan| write.attach)?;
    let mut join = Join::default();
    while let Some((block, block_requests)) = requests.next_group()? {
        let observed = block_requests
            .first()
            .is_some_and(|request| request.is_observed() && is_hooked(request.arm));
        if !observed {
            continue;
        }
        join.requests += block_requests.len() as u64;
        let result = join_block(BlockLogs {
            requests: block_requests,
            client_connections: client.remove(&block).unwrap_or_default(),
            server_connections: server.remove(&block).unwrap_or_default(),
            reads: reads.take_group(block)?,
            writes: writes.take_group(block)?,
        });
        join.matched += result.joined.len() as u64;
        join.outside_sent_done += result.outside_sent_done;
        join.reads_without_request += result.reads_without_request;
        join.reads_after_done += result.reads_after_done;
        for (cause, count) in result.unmatched {
            *join.unmatched.entry(cause.to_owned()).or_default() += count;
        }
        take(block, result.joined)?;
    }
    Ok(JoinOutput {
        join,
        cut_short: requests.was_cut_short() || reads.was_cut_short() || writes.was_cut_short(),
    })
}
