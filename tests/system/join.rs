//! The join of a trace's records to requests, held against what the server itself logged of the same
//! requests. The join sees neither that log nor the numbers in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::correlation::Correlation;
use runlog::record::{
    ClientConnection, JoinedRequest, ReadSpan, Request, ServerConnection, WriteSpan,
};
use runlog::table::{Row, TableWriter, WritableRow, read_all};
use rustix::process::Signal;

use crate::Test;
use crate::events::trace_with_events;
use crate::kit::{
    Kit, Running, Server, check_schema, compile_c, exact_kernel_probe, fail, json, succeed,
};
use crate::scripted::Script;
use crate::sequence_log::{Delivery, read_truth};
use crate::skips::Need;
use crate::sockets::wait_until_closed;

pub const TESTS: &[Test] = &[
    Test {
        name: "join::every_way_of_sending_and_an_attach_in_mid_connection",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: every_way,
    },
    Test {
        name: "join::records_thrown_away_cost_their_requests_and_no_other",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: thrown_away,
    },
    Test {
        name: "join::a_load_generator_with_another_clock",
        needs: &[Need::Root, Need::Program("unshare")],
        run: other_clock,
    },
    Test {
        name: "join::behind_a_gateway_that_changes_ports",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: gateway,
    },
    Test {
        name: "join::a_server_that_waits_inside_read",
        needs: &[Need::Root, Need::Program("cc")],
        run: waiting_server,
    },
    Test {
        name: "join::refuses_what_cannot_be_joined",
        needs: &[],
        run: refuses,
    },
];

/// A hooked sut that logs which read delivered which request, and a trace of it.
struct Scene {
    folder: tempfile::TempDir,
    server: Server,
    trace: Option<Running>,
}

impl Scene {
    fn open(kit: &Kit) -> anyhow::Result<Self> {
        let folder = kit.scratch()?;
        let log = folder.path().join("truth.csv");
        let log = log.to_str().context("path")?;
        let options = ["--quiet", "--threads=2", "--sequence-log", log];
        let server = kit.sut(Some(&[]), &options)?;
        Ok(Self {
            folder,
            server,
            trace: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn attach(&mut self, kit: &Kit) -> anyhow::Result<()> {
        let spans = self.path("spans");
        let mut trace = trace_with_events(kit, self.server.pid(), &spans, exact_kernel_probe());
        let mut trace = Running::start_piped(&mut trace)?;
        trace.wait_for_stderr("attached to")?;
        self.trace = Some(trace);
        Ok(())
    }

    /// Ends trace and server; returns what the server logged.
    fn close(&mut self) -> anyhow::Result<BTreeMap<u64, Delivery>> {
        wait_until_closed(self.server.port)?;
        let trace = self.trace.take().context("no trace")?;
        trace.signal(Signal::INT)?;
        let output = trace.output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.server.process.signal(Signal::TERM)?;
        self.server.process.wait()?;
        read_truth(&self.path("truth.csv"))
    }

    /// Joins these spans to these requests.
    fn correlate(&self, kit: &Kit, spans: &str, load: &str) -> anyhow::Result<Joined> {
        let joined = self.path(&format!("joined-{spans}-{load}.npy"));
        let mut command = kit.command("probe-user");
        command
            .args(["correlate", "--json", "--out"])
            .arg(&joined)
            .arg("--requests")
            .args([self.path(load), self.path(spans)]);
        let printed = json(&succeed(&mut command)?)?;
        check_schema(&printed, "correlation")?;
        Ok(Joined {
            correlation: serde_json::from_value(printed)?,
            requests: read_all(joined)?,
        })
    }
}

struct Joined {
    correlation: Correlation,
    requests: Vec<JoinedRequest>,
}

impl Joined {
    /// Checks each pair against the server's log.
    fn check(&self, truth: &BTreeMap<u64, Delivery>) -> anyhow::Result<()> {
        let join = &self.correlation.join;
        ensure!(join.matched == self.requests.len() as u64, "{join:?}");
        ensure!(
            join.outside_sent_done == 0 && join.reads_without_request == 0,
            "{join:?}"
        );
        let distinct: BTreeSet<u64> = self.requests.iter().map(|pair| pair.sequence).collect();
        ensure!(distinct.len() == self.requests.len(), "joined twice");
        for pair in &self.requests {
            let Delivery {
                before_ns,
                after_ns,
                ..
            } = truth.get(&pair.sequence).context("not in the truth")?;
            ensure!(
                (*before_ns..=*after_ns).contains(&pair.last_read_exit_ns),
                "request {} was joined to a read that ended at {}, but was delivered within \
                 {before_ns}..{after_ns}",
                pair.sequence,
                pair.last_read_exit_ns
            );
        }
        Ok(())
    }

    fn unmatched(&self) -> BTreeMap<&str, u64> {
        let unmatched = self.correlation.join.unmatched.iter();
        unmatched
            .map(|(cause, count)| (cause.as_str(), *count))
            .collect()
    }
}

/// Plain requests, reconnects, pipelining and requests in parts.
fn send_in_every_way(script: &mut Script, port: u16) -> anyhow::Result<()> {
    let mut plain = script.open(port)?;
    for _ in 0..200 {
        script.ask(&mut plain)?;
    }
    script.close(plain);
    for _ in 0..30 {
        let mut client = script.open(port)?;
        for _ in 0..10 {
            script.ask(&mut client)?;
        }
        script.close(client);
    }
    let mut pipelined = script.open(port)?;
    for depth in (2..=16).cycle().take(60) {
        script.pipeline(&mut pipelined, depth)?;
        script.receive(&mut pipelined)?;
    }
    script.close(pipelined);
    let mut in_parts = script.open(port)?;
    for parts in (2..=5).cycle().take(80) {
        script.send(&mut in_parts, parts)?;
        script.receive(&mut in_parts)?;
    }
    script.close(in_parts);
    // Two at a time, the one sent first answered first.
    let (mut left, mut right) = (script.open(port)?, script.open(port)?);
    for _ in 0..100 {
        script.send(&mut left, 1)?;
        script.send(&mut right, 1)?;
        script.receive(&mut right)?;
        script.receive(&mut left)?;
    }
    script.close(left);
    script.close(right);
    Ok(())
}

fn every_way(kit: &Kit) -> anyhow::Result<()> {
    const BEFORE: u64 = 7;
    const AFTER: u64 = 11;
    let mut scene = Scene::open(kit)?;
    let port = scene.server.port;
    let mut script = Script::default();
    let mut older = script.open(port)?;
    for _ in 0..BEFORE {
        script.ask(&mut older)?;
    }
    scene.attach(kit)?;
    for _ in 0..AFTER {
        script.ask(&mut older)?;
    }
    send_in_every_way(&mut script, port)?;
    script.close(older);
    script.write(&scene.path("load"))?;
    let truth = scene.close()?;
    let joined = scene.correlate(kit, "spans", "load")?;

    let join = &joined.correlation.join;
    // Reads on the older connection are of requests, but nobody knows of which.
    ensure!(join.reads_without_request == AFTER, "{join:?}");
    let joined = Joined {
        correlation: {
            let mut correlation = joined.correlation.clone();
            correlation.join.reads_without_request = 0;
            correlation
        },
        ..joined
    };
    joined.check(&truth)?;
    let join = &joined.correlation.join;
    ensure!(joined.unmatched() == [("connection_older_than_attach", AFTER)].into());
    ensure!(join.outside_attach == BEFORE, "{join:?}");
    let can_be = script.requests.len() as u64 - BEFORE - AFTER;
    ensure!(join.matched == can_be, "{} of {can_be}", join.matched);
    ensure!(join.requests == can_be + AFTER);
    // A batch reaches the server as one read but for its end: all but the plain ones share reads.
    ensure!(join.shared > 200, "{join:?}");
    let in_parts = joined
        .requests
        .iter()
        .filter(|pair| pair.calls > 1 && pair.flags & JoinedRequest::SHARED == 0);
    ensure!(in_parts.count() >= 60, "few requests took several reads");
    Ok(())
}

/// Whether a row is among the 5 % that are thrown away: no row in a regular place.
fn is_thrown_away(row: usize) -> bool {
    (row as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(20)
        .is_multiple_of(20)
}

/// Copies a table without its thrown-away rows; returns these.
fn copy_with_loss<T: Row + WritableRow + Clone>(
    from: &Path,
    to: &Path,
    offset: usize,
) -> anyhow::Result<Vec<T>> {
    let mut lost = Vec::new();
    let mut table = TableWriter::create(to)?;
    for (number, row) in read_all::<T>(from)?.into_iter().enumerate() {
        if is_thrown_away(number + offset) {
            lost.push(row);
        } else {
            table.push(&row)?;
        }
    }
    table.finish()?;
    Ok(lost)
}

fn thrown_away(kit: &Kit) -> anyhow::Result<()> {
    let mut scene = Scene::open(kit)?;
    scene.attach(kit)?;
    let mut script = Script::default();
    send_in_every_way(&mut script, scene.server.port)?;
    script.write(&scene.path("load"))?;
    let truth = scene.close()?;
    let whole = scene.correlate(kit, "spans", "load")?;
    whole.check(&truth)?;
    let all = script.requests.len();
    ensure!(whole.requests.len() == all, "{:?}", whole.unmatched());

    let spans = RunDirectory::existing(scene.path("spans"));
    let lossy = RunDirectory::create(scene.path("lossy"))?;
    fs::copy(spans.trace(), lossy.trace())?;
    fs::copy(spans.server_connections(), lossy.server_connections())?;
    fs::copy(spans.server_closes(), lossy.server_closes())?;
    let lost: Vec<ReadSpan> = copy_with_loss(&spans.reads(), &lossy.reads(), 0)?;
    let _: Vec<WriteSpan> = copy_with_loss(&spans.writes(), &lossy.writes(), 1)?;
    let lost_requests = requests_of(&lost, &spans, &script)?;
    ensure!(lost_requests.len() > 30, "{} lost", lost_requests.len());
    let joined = scene.correlate(kit, "lossy", "load")?;
    joined.check(&truth)?;
    let expected = lost_requests.len() as u64;
    ensure!(
        joined.unmatched() == [("records_lost", expected)].into(),
        "{expected} lost: {:?}",
        joined.unmatched()
    );
    let matched: BTreeSet<u64> = joined.requests.iter().map(|pair| pair.sequence).collect();
    ensure!(matched.is_disjoint(&lost_requests) && matched.len() + lost_requests.len() == all);

    // Without some of the accepts, too: content makes up for them, or the cause is counted.
    fs::remove_file(lossy.server_connections())?;
    let lost: Vec<ServerConnection> =
        copy_with_loss(&spans.server_connections(), &lossy.server_connections(), 5)?;
    ensure!(!lost.is_empty(), "no accept was thrown away");
    fs::remove_file(scene.path("joined-lossy-load.npy"))?;
    let joined = scene.correlate(kit, "lossy", "load")?;
    let found = &joined.correlation.join.connections;
    ensure!(
        found.by_content + found.unmatched == lost.len() as u64 && found.by_content > 0,
        "{} accepts lost: {found:?}",
        lost.len()
    );
    if found.unmatched == 0 {
        joined.check(&truth)?;
        ensure!(joined.unmatched() == [("records_lost", expected)].into());
    }
    Ok(())
}

/// The requests that had bytes in these reads, by ports, byte ranges and time: the kernel may give a later connection the
/// port of one before.
fn requests_of(
    reads: &[ReadSpan],
    spans: &RunDirectory,
    script: &Script,
) -> anyhow::Result<BTreeSet<u64>> {
    let ports: BTreeMap<u64, u16> = read_all::<ServerConnection>(spans.server_connections())?
        .into_iter()
        .map(|accepted| (accepted.connection, accepted.peer_port))
        .collect();
    let mut sequences = BTreeSet::new();
    for read in reads.iter().filter(|read| read.returned > 0) {
        let port = ports.get(&read.connection).context("unknown connection")?;
        let end = read.first_byte + u64::try_from(read.returned)?;
        let hit = script.requests.iter().filter(|request| {
            request.local_port == *port
                && request.first_byte < end
                && read.first_byte < request.end_byte
                && (request.sent_ns..request.done_ns).contains(&read.exit_ns)
        });
        sequences.extend(hit.map(|request| request.sequence));
    }
    Ok(sequences)
}

fn other_clock(kit: &Kit) -> anyhow::Result<()> {
    const AHEAD_NS: f64 = 1_000e9;
    for connections in ["1", "64"] {
        let mut scene = Scene::open(kit)?;
        scene.attach(kit)?;
        let mut load = Command::new("unshare");
        load.args(["--time", "--fork", "--monotonic", "1000"])
            .arg(kit.path("loadgen"))
            .args(["run", "--json", "--seed=1", "--requests=6400", "--blocks=4"])
            .args(["--connections", connections, "--sequence-header", "--arm"])
            .arg(format!("hooked={}", scene.server.url()))
            .arg("--out")
            .arg(scene.path("load"));
        succeed(&mut load)?;
        let truth = scene.close()?;
        let joined = scene.correlate(kit, "spans", "load")?;
        joined.check(&truth)?;
        let join = &joined.correlation.join;
        ensure!(
            join.matched == 6_400 && join.unmatched.is_empty(),
            "{join:?}"
        );
        let run = RunDirectory::existing(scene.path("load"));
        let ports: BTreeMap<u64, u16> = read_all::<Request>(run.requests())?
            .into_iter()
            .map(|request| (request.sequence, request.local_port))
            .collect();
        let connections_read: Vec<ClientConnection> = read_all(run.client_connections())?;
        ensure!(connections_read.len() as u64 == join.connections.by_port);
        ensure!(
            truth
                .iter()
                .all(|(sequence, delivery)| ports[sequence] == delivery.port)
        );
        // The load generator's clock is 1,000 s ahead, to the nanosecond.
        let clocks = join.clocks.as_ref().context("no clocks")?;
        let relation = serde_json::to_value(clocks.relation)?;
        ensure!(relation == "two", "{clocks:?}");
        ensure!(
            (clocks.offset_ns + AHEAD_NS).abs() <= clocks.bound_ns && clocks.bound_ns < 1e6,
            "{clocks:?}"
        );
    }
    Ok(())
}

/// Passes bytes on in both directions. To the server the connection comes from another port.
fn relay(listener: TcpListener, port: u16) {
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                return;
            };
            for stream in [&client, &server] {
                let _ = stream.set_nodelay(true);
            }
            for (from, to) in [(&client, &server), (&server, &client)] {
                if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                    thread::spawn(move || pass_on(from, to));
                }
            }
        }
    });
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn gateway(kit: &Kit) -> anyhow::Result<()> {
    let mut scene = Scene::open(kit)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    relay(listener, scene.server.port);
    scene.attach(kit)?;
    let mut script = Script::default();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(script.open(port)?);
    }
    // Now and then two at once, so that times alone leave it open which is whose.
    for turn in 0..100_usize {
        let (first, second) = (turn % 4, (turn / 4) % 4);
        script.send(&mut clients[first], 1)?;
        if first != second && turn % 3 == 0 {
            script.send(&mut clients[second], 1)?;
            script.receive(&mut clients[second])?;
        }
        script.receive(&mut clients[first])?;
    }
    for client in clients {
        script.close(client);
    }
    script.write(&scene.path("load"))?;
    let truth = scene.close()?;
    let joined = scene.correlate(kit, "spans", "load")?;
    joined.check(&truth)?;
    let join = &joined.correlation.join;
    ensure!(join.matched == script.requests.len() as u64, "{join:?}");
    ensure!(join.connections.by_content == 4, "{join:?}");
    Ok(())
}

/// A server with a thread that waits for each request inside `read`.
const WAITING_SERVER: &str = r#"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    struct sockaddr_in address = { .sin_family = AF_INET };
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(atoi(getenv("SERVER_PORT")));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16))
        return 1;
    for (;;) {
        char buffer[4096];
        ssize_t count;
        int fd = accept(listener, 0, 0);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while ((count = read(fd, buffer, sizeof buffer)) > 0)
            if (write(fd, answer, sizeof answer - 1) < 0)
                break;
        close(fd);
    }
}
"#;

fn waiting_server(kit: &Kit) -> anyhow::Result<()> {
    let mut scene = Scene::open(kit)?;
    let program = compile_c(scene.folder.path(), WAITING_SERVER, &[])?;
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", kit.path("readhook.so"));
    scene.server = Server::start(command)?;
    scene.attach(kit)?;
    let mut load = kit.command("loadgen");
    load.args(["run", "--json", "--requests=2000", "--blocks=2", "--arm"])
        .arg(format!("hooked={}", scene.server.url()))
        .arg("--out")
        .arg(scene.path("load"));
    succeed(&mut load)?;
    let trace = scene.trace.take().context("no trace")?;
    trace.signal(Signal::INT)?;
    ensure!(trace.output()?.status.success());
    let joined = scene.correlate(kit, "spans", "load")?;
    let join = &joined.correlation.join;
    ensure!(
        join.matched == 2_000 && join.unmatched.is_empty(),
        "{join:?}"
    );
    // How often it waits already when the next request is sent is up to the scheduler.
    ensure!(join.waited_for > 20, "{join:?}");
    let spans = RunDirectory::existing(scene.path("spans"));
    let whole: BTreeMap<u64, u64> = read_all::<ReadSpan>(spans.reads())?
        .iter()
        .map(|read| (read.exit_ns, read.syscall_ns().unwrap_or(0)))
        .collect();
    for pair in &joined.requests {
        ensure!(pair.calls == 1, "{pair:?}");
        let whole_ns = whole[&pair.last_read_exit_ns];
        ensure!(
            pair.read_syscall_ns + pair.waited_ns == whole_ns,
            "{pair:?}"
        );
        ensure!(pair.read_syscall_ns < pair.response_time_ns, "{pair:?}");
    }
    let budget = joined.correlation.budgets.first().context("no budget")?;
    ensure!(budget.waited_for > 0);
    Ok(())
}

fn refuses(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let correlate = |arguments: &[&Path]| {
        let mut command = kit.command("probe-user");
        command.arg("correlate").args(arguments);
        command
    };
    let empty = folder.path();
    let texts = ["is not the folder of a run", "manifest.json"];
    fail(&mut correlate(&[empty]), 1, &texts)?;
    let texts = ["is not the folder of a trace with --events"];
    fail(
        &mut correlate(&[empty, Path::new("--requests"), empty]),
        1,
        &texts,
    )?;
    fail(
        correlate(&[empty]).arg("--trim=0.7"),
        2,
        &["'0.7' for '--trim"],
    )
}
