//! A client's requests, timed at its own sockets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::record::Request;
use runlog::table::read_all;
use rustix::process::Signal;
use serde_json::Value;

use crate::Test;
use crate::kit::{Kit, Running, json};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "round_trips::each_request_is_timed_and_takes_no_longer_than_its_client_says",
        needs: &[Need::Root, Need::Program("sh")],
        run: each_request,
    },
    Test {
        name: "round_trips::a_response_in_two_parts_is_one_round_trip",
        needs: &[Need::Root, Need::Program("sh")],
        run: two_parts,
    },
];

/// Runs loadgen with the probes attached from before its first connection on, and looking at connections to
/// the port `traced_port`; returns what they saw, and the log of the client.
fn observed(
    kit: &Kit,
    port: u16,
    traced_port: u16,
    options: &[&str],
) -> anyhow::Result<(Value, Vec<Request>)> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut client = Command::new("sh")
        .args(["-c", "read -r go && exec \"$@\"", "sh"])
        .arg(kit.path("loadgen"))
        .args(["run", "--blocks", "1", "--out"])
        .arg(&out)
        .args(["--arm", &format!("a=http://127.0.0.1:{port}/")])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut bench = kit.command("bench");
    let pid = client.id().to_string();
    bench.args([
        "round-trips",
        "--pid",
        &pid,
        "--port",
        &traced_port.to_string(),
    ]);
    let mut probes = Running::start_piped(&mut bench)?;
    probes.wait_for_stderr("attached to")?;
    writeln!(client.stdin.take().context("its stdin")?, "go")?;
    ensure!(client.wait()?.success(), "loadgen failed");
    probes.signal(Signal::INT)?;
    let found = json(&probes.output()?)?;
    Ok((found, read_all(RunDirectory::existing(out).requests())?))
}

fn count(found: &Value, name: &str) -> anyhow::Result<u64> {
    let value = found[name].as_u64();
    value.with_context(|| format!("no {name}: {found}"))
}

fn each_request(kit: &Kit) -> anyhow::Result<()> {
    let sut = kit.sut(None, &[])?;
    let options = ["--requests", "1000", "--connections", "3"];
    let (found, log) = observed(kit, sut.port, sut.port, &options)?;
    ensure!(count(&found, "round_trips")? == 1_000, "{found}");
    ensure!(count(&found, "connections")? >= 3, "{found}");
    for name in [
        "connections_not_followed",
        "unreadable_addresses",
        "further_writes",
        "unanswered",
    ] {
        ensure!(count(&found, name)? == 0, "{name}: {found}");
    }
    ensure!(log.len() == 1_000 && log.iter().all(Request::is_ok));
    // The client reads its clock before the call that sends and after the call that receives.
    let said_ns: u64 = log.iter().map(Request::response_time_ns).sum();
    let seen_ns = count(&found, "sum_ns")?;
    ensure!(seen_ns > 0 && seen_ns < said_ns, "{seen_ns} {said_ns}");
    // Nothing is said of a port that the client does not connect to.
    let other = if sut.port == 1 { 2 } else { 1 };
    let (found, log) = observed(kit, sut.port, other, &["--requests", "100"])?;
    ensure!(
        log.len() == 100 && count(&found, "round_trips")? == 0,
        "{found}"
    );
    Ok(())
}

/// How long the server keeps the second part back.
const PAUSE: Duration = Duration::from_millis(20);

fn two_parts(kit: &Kit) -> anyhow::Result<()> {
    const REQUESTS: u64 = 5;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    // The server ends with the test's process at the latest.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer_in_parts(stream);
        }
    });
    let requests = REQUESTS.to_string();
    let (found, log) = observed(kit, port, port, &["--requests", &requests])?;
    ensure!(log.len() == 5 && log.iter().all(Request::is_ok), "{log:?}");
    ensure!(count(&found, "round_trips")? == REQUESTS, "{found}");
    let at_least_ns = u128::from(REQUESTS) * PAUSE.as_nanos();
    ensure!(
        u128::from(count(&found, "sum_ns")?) >= at_least_ns,
        "the first part ended it: {found}"
    );
    Ok(())
}

fn answer_in_parts(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut buffer = [0; 4096];
    // One read brings one request: they are small, and none is sent ahead.
    while stream.read(&mut buffer)? > 0 {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
        thread::sleep(PAUSE);
        stream.write_all(b"other")?;
    }
    Ok(())
}
