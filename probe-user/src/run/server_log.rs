//! Requests as the server saw them, where somebody else's load generator sends: from the records of the bracket.
//!
//! A request begins where the call that began it had read, and is answered where the server last wrote before it read on.

use std::collections::HashMap;

use abi::trial::Trial;
use runlog::RunDirectory;
use runlog::record::{BracketedCall, ClientConnection, Outcome, Request};
use runlog::table::{Rows, TableWriter};

/// How much of the beginning counts as warm-up, ns.
const WARM_UP_NS: u64 = 500_000_000;

/// Writes the tables of requests and of so many connections, as a load generator of ours would have. Places in a stream
/// are ordinals there.
pub fn write(run: &RunDirectory, trial: &Trial, connections: u32) -> runlog::Result<()> {
    let mut table = TableWriter::create(run.client_connections())?;
    for connection in 0..connections {
        table.push(&ClientConnection {
            connection,
            ..ClientConnection::default()
        })?;
    }
    table.finish()?;
    let mut table = TableWriter::create(run.requests())?;
    for request in requests(read(run)?, trial, connections) {
        table.push(&request)?;
    }
    table.finish().map(|_| ())
}

fn read(run: &RunDirectory) -> runlog::Result<Vec<BracketedCall>> {
    Rows::open(run.bracketed_calls())?.collect()
}

/// In the order of time.
fn requests(mut calls: Vec<BracketedCall>, trial: &Trial, connections: u32) -> Vec<Request> {
    let numbers: HashMap<u64, u32> = (0..connections)
        .map(|connection| (trial.salt(connection), connection))
        .collect();
    // Threads have rings of their own, so records do not come in the order of time.
    calls.sort_by_key(|call| (call.salt, call.ordinal, call.enter_ns));
    let begin_ns = calls.iter().map(|call| call.enter_ns).min().unwrap_or(0);
    let of_request = |calls: &[BracketedCall]| {
        let mut request = request(calls)?;
        request.connection = *numbers.get(&calls[0].salt)?;
        if request.sent_ns < begin_ns + WARM_UP_NS {
            request.flags |= Request::WARMUP;
        }
        Some(request)
    };
    let of_connection = |calls: &[BracketedCall]| {
        let mut requests: Vec<Request> = calls
            .chunk_by(|one, next| one.ordinal == next.ordinal)
            .filter_map(of_request)
            .collect();
        // What nobody answered before the connection ended, or the run, need be no request, as the end of a TLS session is none.
        requests.pop_if(|last| !last.is_ok());
        requests
    };
    let of_connections = calls.chunk_by(|one, next| one.salt == next.salt);
    let mut requests: Vec<Request> = of_connections.flat_map(of_connection).collect();
    requests.sort_by_key(|request| request.sent_ns);
    for (sequence, request) in (0..).zip(&mut requests) {
        request.sequence = sequence;
    }
    requests
}

/// One request, of its calls in the order of time; `None` if the record of the call that began it was lost.
fn request(calls: &[BracketedCall]) -> Option<Request> {
    let first = calls.first()?;
    let has_begun = first.flags & BracketedCall::FRESH != 0;
    let answers = calls
        .iter()
        .filter(|call| call.function == BracketedCall::ANSWER);
    let answered_ns = answers.map(|answer| answer.enter_ns).next_back();
    let outcome = match answered_ns {
        Some(_) => Outcome::Ok,
        None => Outcome::Unfinished,
    };
    has_begun.then(|| Request {
        arm: first.arm,
        outcome: outcome as u8,
        first_byte: first.ordinal.into(),
        end_byte: u64::from(first.ordinal) + 1,
        planned_ns: first.back_exit_ns,
        sent_ns: first.back_exit_ns,
        done_ns: answered_ns.unwrap_or(first.back_exit_ns),
        ..Request::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(salt: u64, ordinal: u32, enter_ns: u64) -> BracketedCall {
        BracketedCall {
            salt,
            ordinal,
            enter_ns,
            back_exit_ns: enter_ns + 5,
            flags: BracketedCall::FRESH,
            arm: 1,
            ..BracketedCall::default()
        }
    }

    fn answer(salt: u64, ordinal: u32, enter_ns: u64) -> BracketedCall {
        BracketedCall {
            function: BracketedCall::ANSWER,
            flags: 0,
            ..call(salt, ordinal, enter_ns)
        }
    }

    #[test]
    fn requests_last_from_their_first_read_to_their_last_write() {
        let trial = Trial::parse(b"seed=1 slice=1000000 arms=off,on").unwrap();
        let [one, other] = [0, 1].map(|connection| trial.salt(connection));
        let late_ns = WARM_UP_NS + 1_000;
        let calls = vec![
            // As rings are read: a later request first.
            answer(one, 1, late_ns + 90),
            call(one, 1, late_ns),
            call(one, 0, 100),
            answer(one, 0, 150),
            answer(one, 0, 180),
            BracketedCall {
                flags: 0,
                ..call(one, 0, 120)
            },
            call(other, 0, 110),
            // What began it is lost.
            answer(other, 1, 500),
            call(other, 2, 510),
            answer(other, 2, 520),
            // Nobody answers it.
            call(other, 3, 530),
            // Of no connection that is known.
            call(77, 0, 130),
        ];
        let found: Vec<_> = requests(calls, &trial, 2)
            .iter()
            .map(|of| {
                let span = [of.sent_ns, of.done_ns];
                (
                    of.sequence,
                    of.connection,
                    of.first_byte,
                    span,
                    of.is_ok(),
                    of.is_warmup(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (0, 0, 0, [105, 180], true, true),
                (1, 1, 0, [115, 115], false, true),
                (2, 1, 2, [515, 520], true, true),
                (3, 0, 1, [late_ns + 5, late_ns + 90], true, false),
            ]
        );
    }
}
