//! By how much the clocks of client and server differ, by the requests of a trial and the records of their calls. Which call belongs
//! to which request is known without any clock.

use runlog::RunDirectory;
use runlog::analysis::{ClockRelation, Clocks};
use runlog::groups::Groups;
use runlog::manifest::Schedule;
use runlog::record::{BracketedCall, Request};
use runlog::table;

use crate::join::clock::{Bounds, Summary, agreed, difference};
use crate::trial::calls::CallLog;
use crate::trial::design::Design;

/// The clocks of a run; `None` if no call belongs to a request.
pub fn clocks(
    run: &RunDirectory,
    schedule: &Schedule,
    relation: ClockRelation,
) -> anyhow::Result<Option<Clocks>> {
    let design = Design::of(schedule)?;
    let connections = table::read_all(run.client_connections())?;
    let Some(calls) = CallLog::read(run, &design.trial, &connections, 0)? else {
        return Ok(None);
    };
    let mut summary = Summary::new(relation);
    let mut groups = Groups::open(run.requests(), |request: &Request| request.block)?;
    while let Some((_, mut requests)) = groups.next_group()? {
        requests.retain(|request| request.is_ok() && request.connection != Request::NO_CONNECTION);
        let of_calls = requests.iter().filter_map(|request| {
            let ordinal = design.ordinal(request);
            let calls = calls.all_of(request.connection);
            let from = calls.partition_point(|(_, call)| u64::from(call.ordinal) < ordinal);
            let calls = calls[from..].iter().map(|(_, call)| call);
            let calls = calls.take_while(|call| u64::from(call.ordinal) == ordinal);
            // One that found nothing left may be made when the answer is there already.
            let mut reading = calls.filter(|call| call.returned > 0);
            let first = reading.next()?;
            Some(bounds(request, first, reading.last().unwrap_or(first)))
        });
        // A record that is made up is outvoted.
        if let Some(bounds) = agreed(&of_calls.collect::<Vec<_>>()) {
            summary.add(bounds);
        }
    }
    Ok(summary.finish())
}

/// No read returns before its request was sent, and no response is complete before the hook has let go of its request.
fn bounds(request: &Request, first: &BracketedCall, last: &BracketedCall) -> Bounds {
    let left_ns = last.back_exit_ns.saturating_add(last.from_back_ns.into());
    let left_ns = left_ns.saturating_add(last.waited_ns.into());
    Bounds {
        low_ns: difference(left_ns, request.done_ns),
        high_ns: difference(first.back_exit_ns, request.sent_ns),
    }
}
