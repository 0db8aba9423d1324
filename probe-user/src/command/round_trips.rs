//! `probe-user round-trips`: a client's requests, timed at its own sockets, for `cargo xtask bench-load`.

use abi::layout::lowest_of;
use clap::Args;
use cli::outln;
use serde_json::json;

use crate::command::End;
use crate::run::stop::Stop;
use probes::discover::processes::Pid;
use probes::round_trips::{Found, RoundTrips};

/// Options of `round-trips`.
#[derive(Args, Debug)]
pub struct RoundTripsArguments {
    /// The client, which has no connection yet
    #[arg(long, value_name = "PID")]
    pid: Pid,

    /// The TCP port that it is going to connect to
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// Keeps the probes attached until a signal comes; then prints what they saw, as JSON.
pub async fn round_trips(arguments: RoundTripsArguments) -> anyhow::Result<End> {
    let RoundTripsArguments { pid, port } = arguments;
    let mut stop = Stop::listen()?;
    let probes = RoundTrips::attach(pid, port)?;
    eprintln!("probe-user: attached to {pid}");
    stop.requested().await;
    outln!("{}", as_json(&probes.detach()?));
    Ok(End::Complete)
}

/// Buckets are `[smallest value, smallest value of the next bucket, count]`, in nanoseconds.
fn as_json(found: &Found) -> serde_json::Value {
    let Found {
        buckets,
        sum_ns,
        counts,
    } = found;
    let filled = buckets.iter().enumerate().filter(|(_, count)| **count > 0);
    let filled: Vec<[u64; 3]> = filled
        .map(|(bucket, count)| [lowest_of(bucket), lowest_of(bucket + 1), *count])
        .collect();
    json!({
        "round_trips": buckets.iter().sum::<u64>(),
        "sum_ns": sum_ns,
        "connections": counts.connections,
        "connections_not_followed": counts.connections_not_followed,
        "unreadable_addresses": counts.unreadable_addresses,
        "further_writes": counts.further_writes,
        "unanswered": counts.unanswered,
        "buckets": filled,
    })
}
