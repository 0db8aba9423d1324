//! When the load generator sends, and when it ends: open loop, think time, duration.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use runlog::record::{Outcome, Request};
use runlog::summary::{ArmLoad, LoadSummary};
use runlog::table::read_all;
use runlog::{RunDirectory, interval_log};

use crate::Test;
use crate::kit::{Kit, check_schema, fail, json, monotonic_ns, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "pacing::open_loop_latency_is_that_of_the_plan",
        needs: &[Need::Alone],
        run: stalls,
    },
    Test {
        name: "pacing::a_late_pacer_is_marked_in_every_output",
        needs: &[],
        run: marks,
    },
    Test {
        name: "pacing::ends_whatever_the_server_does",
        needs: &[],
        run: ends,
    },
    Test {
        name: "pacing::time_ends_blocks",
        needs: &[Need::Alone],
        run: time_ends_blocks,
    },
    Test {
        name: "pacing::users_think_before_they_send",
        needs: &[],
        run: thinking,
    },
    Test {
        name: "pacing::refuses_bad_options",
        needs: &[],
        run: refuses_bad_options,
    },
];

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// What every output says of an open loop that was not kept.
const MARK: &str = "NOT OPEN LOOP: ";
/// How long the server stalls, and from one stall to the next.
const STALL: Duration = Duration::from_millis(500);
const STALL_PERIOD: Duration = Duration::from_millis(1_500);
/// How often an open loop may be late for other work of the machine.
const TRIES: u32 = 3;

/// Serves each connection in a thread of its own.
fn serve(handle: impl Fn(TcpStream) + Send + Clone + 'static) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream));
        }
    });
    Ok(url)
}

/// Whether a request has come. They are small, and come one at a time.
fn next_request(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 4096]), Ok(1..))
}

/// Runs a load on arm a in one block; returns its summary.
fn load(kit: &Kit, url: &str, out: &Path, options: &[&str]) -> anyhow::Result<ArmLoad> {
    let output = succeed(
        kit.command("loadgen")
            .args(["run", "--json", "--blocks=1", "--arm"])
            .arg(format!("a={url}"))
            .args(options)
            .arg("--out")
            .arg(out),
    )?;
    let summary = json(&output)?;
    check_schema(&summary, "load")?;
    let mut summary: LoadSummary = serde_json::from_value(summary)?;
    summary.arms.pop().context("no arm")
}

fn logged(out: &Path) -> anyhow::Result<Vec<Request>> {
    Ok(read_all(RunDirectory::existing(out).requests())?)
}

/// The value below or at which a share of all values lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of a rank
fn quantile(values: &mut [u64], share: f64) -> u64 {
    values.sort_unstable();
    let rank = (share * values.len() as f64).ceil();
    values[(rank as usize).clamp(1, values.len()) - 1]
}

/// A server that stalls makes requests wait that were due meanwhile. An open loop must find for each the
/// time from its planned instant to the end of the stall, to within 5 % where it matters. A closed loop
/// beside it sends hardly anything during stalls, and so hardly sees them.
///
/// Other work of the machine can only make the load generator late, so what is too long once is tried again.
fn stalls(kit: &Kit) -> anyhow::Result<()> {
    for tries in 1.. {
        match stalls_once(kit) {
            Err(error) if tries < TRIES => println!("{error:#}"),
            last => return last,
        }
    }
    Ok(())
}

fn stalls_once(kit: &Kit) -> anyhow::Result<()> {
    let stalls: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let log = Arc::clone(&stalls);
    let url = serve(move |mut stream| {
        let period_ns = u64::try_from(STALL_PERIOD.as_nanos()).unwrap_or(u64::MAX);
        let mut next_stall_ns = u64::MAX;
        while next_request(&mut stream) {
            let now_ns = monotonic_ns();
            if next_stall_ns == u64::MAX {
                next_stall_ns = now_ns + period_ns / 2;
            } else if now_ns >= next_stall_ns {
                thread::sleep(STALL);
                if let Ok(mut log) = log.lock() {
                    log.push((now_ns, monotonic_ns()));
                }
                next_stall_ns += period_ns;
            }
            if stream.write_all(ANSWER).is_err() {
                break;
            }
        }
    })?;
    let folder = kit.scratch()?;
    let out = folder.path().join("open");
    // A pacer on a busy machine may be late. That is no matter here: latency counts it.
    let open = ["--duration=4", "--rate=1000", "--pacer-limit=60"];
    let arm = load(kit, &url, &out, &open)?;
    let pacer = arm.pacer.context("no pacer")?;
    ensure!((arm.requests, pacer.planned_requests, arm.errors) == (4_000, 4_000, 0));
    let requests = logged(&out)?;
    let mut planned: Vec<u64> = requests.iter().map(|request| request.planned_ns).collect();
    planned.sort_unstable();
    ensure!(
        planned
            .windows(2)
            .all(|pair| pair[1] - pair[0] == 1_000_000),
        "the plan depends on nothing but the rate"
    );

    let stalls = stalls
        .lock()
        .map_or_else(|_| Vec::new(), |stalls| stalls.clone());
    ensure!(stalls.len() >= 2, "{stalls:?}");
    // The server takes requests one after the other, in no time but in a stall. A stall begins with the
    // arrival of a request: the last that was due before.
    let mut theory = vec![0; planned.len()];
    for (from_ns, until_ns) in &stalls {
        let first = planned
            .partition_point(|due| due <= from_ns)
            .saturating_sub(1);
        for (due, latency) in planned.iter().zip(&mut theory).skip(first) {
            *latency = (*latency).max(until_ns.saturating_sub(*due));
        }
    }
    let mut measured: Vec<u64> = requests.iter().map(Request::latency_ns).collect();
    for share in [0.999, 1.0] {
        let (measured, theory) = (quantile(&mut measured, share), quantile(&mut theory, share));
        let ratio = measured as f64 / theory as f64;
        ensure!(
            (ratio - 1.0).abs() < 0.05,
            "quantile {share}: {measured} ns, by theory {theory} ns"
        );
    }
    let summary = arm.latency_ns.context("no latency")?;
    ensure!(summary.max.abs_diff(quantile(&mut measured, 1.0)) <= summary.max / 128);
    let queued = requests.iter().filter(|r| r.flags & Request::QUEUED != 0);
    ensure!(queued.count() as u64 == pacer.queued_requests && pacer.queued_requests > 500);

    let closed = load(kit, &url, &folder.path().join("closed"), &["--duration=4"])?;
    let closed = closed.latency_ns.context("no latency")?;
    let stall_ns = u64::try_from(STALL.as_nanos())?;
    ensure!(
        closed.p99 < stall_ns / 10 && summary.p99 > stall_ns / 2,
        "closed {closed:?}, open {summary:?}"
    );
    Ok(())
}

fn marks(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    // A limit that nobody can keep, and one that everybody keeps.
    for (limit, is_marked) in [("0", true), ("60", false)] {
        let out = folder.path().join(limit);
        let output = succeed(
            kit.command("loadgen")
                .args([
                    "run",
                    "--seed=1",
                    "--requests=200",
                    "--blocks=2",
                    "--rate=2000",
                ])
                .args([
                    "--connections=4",
                    "--arrivals=poisson",
                    "--pacer-limit",
                    limit,
                ])
                .arg(format!("--arm=a={}", server.url()))
                .arg("--out")
                .arg(&out),
        )?;
        let run = RunDirectory::existing(&out);
        let summary: LoadSummary = runlog::json::read(&run.load_summary())?;
        let pacer = summary.arms[0].pacer.as_ref().context("no pacer")?;
        ensure!(pacer.open_loop != is_marked && pacer.planned_requests == 200);
        let hlog = fs::read_to_string(run.interval_log("a"))?;
        for (output, text) in [
            ("stdout", String::from_utf8_lossy(&output.stdout).as_ref()),
            ("stderr", String::from_utf8_lossy(&output.stderr).as_ref()),
            ("HDR log", hlog.lines().next().unwrap_or_default()),
        ] {
            ensure!(text.contains(MARK) == is_marked, "{output}: {text}");
        }
        // The paper's CSV has no room for it.
        ensure!(run.not_open_loop("a").exists() == is_marked);
        let requests = logged(&out)?;
        let late = requests.iter().filter(|r| r.flags & Request::LATE != 0);
        ensure!(late.count() as u64 == pacer.late_requests);

        let intervals = interval_log::read(run.interval_log("a"))?;
        let count = |tag: Option<&str>| -> u64 {
            let of_tag = intervals.iter().filter(|i| i.tag.as_deref() == tag);
            of_tag.map(|interval| interval.histogram.len()).sum()
        };
        ensure!((count(None), count(Some(interval_log::PACER_TAG))) == (200, 200));
    }
    Ok(())
}

/// Servers that never answer, trickle, answer garbage, or close now and then. A response may take an hour:
/// only the end of the blocks can end the run.
fn ends(kit: &Kit) -> anyhow::Result<()> {
    let silent = serve(|mut stream| while next_request(&mut stream) {})?;
    let trickle = serve(|mut stream| {
        while next_request(&mut stream) {
            for byte in ANSWER {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_secs(1));
            }
        }
    })?;
    let garbage = serve(|mut stream| {
        while next_request(&mut stream) && stream.write_all(b"\0garbage\r\n\r\n").is_ok() {}
    })?;
    let connections = Arc::new(AtomicU64::new(0));
    let fickle = serve(move |mut stream| {
        let mut left = connections.fetch_add(1, Ordering::Relaxed) % 7;
        while next_request(&mut stream) && left > 0 && stream.write_all(ANSWER).is_ok() {
            left -= 1;
        }
    })?;
    let folder = kit.scratch()?;
    for (url, kinds) in [
        (silent, &[Outcome::Unfinished, Outcome::Unsent][..]),
        (trickle, &[Outcome::Unfinished, Outcome::Unsent][..]),
        (garbage, &[Outcome::MalformedHead][..]),
        (
            fickle,
            &[
                Outcome::ClosedUnanswered,
                Outcome::Reset,
                Outcome::SendFailed,
            ][..],
        ),
    ] {
        for (number, options) in [&[][..], &["--rate=500"][..]].into_iter().enumerate() {
            let out = folder.path().join(format!("{}-{number}", kinds[0].name()));
            let out = if out.exists() {
                out.with_extension("2")
            } else {
                out
            };
            let common = [
                "--duration=0.5",
                "--drain=0.1",
                "--timeout=3600",
                "--connections=20",
            ];
            let arm = load(kit, &url, &out, &[&common[..], options].concat())?;
            let requests = logged(&out)?;
            let failed = requests.iter().filter(|request| !request.is_ok()).count() as u64;
            ensure!(failed > 0 && arm.errors == failed, "{arm:?}");
            ensure!(arm.errors_by_kind.values().sum::<u64>() == failed);
            ensure!(requests.len() as u64 == arm.requests);
            let others: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let main = others[0];
            ensure!(arm.errors_by_kind.contains_key(main), "{main}: {arm:?}");
            // Whatever it does, a cut may leave requests under way or unsent.
            let cut = [Outcome::Unfinished.name(), Outcome::Unsent.name()];
            for kind in arm.errors_by_kind.keys() {
                let is_known = others.contains(&kind.as_str()) || cut.contains(&kind.as_str());
                ensure!(is_known, "{kind}: {arm:?}");
            }
            if let Some(pacer) = &arm.pacer {
                ensure!(
                    pacer.planned_requests == 250 && arm.requests == 250,
                    "{arm:?}"
                );
                let unsent = arm.errors_by_kind.get(cut[1]).copied().unwrap_or(0);
                ensure!(pacer.unsent_requests == unsent);
            }
        }
    }
    Ok(())
}

fn time_ends_blocks(kit: &Kit) -> anyhow::Result<()> {
    let (a, b) = (kit.sut(None, &["--quiet"])?, kit.sut(None, &["--quiet"])?);
    let folder = kit.scratch()?;
    for order in ["rmit", "duet"] {
        let out = folder.path().join(order);
        let output = succeed(
            kit.command("loadgen")
                .args([
                    "run",
                    "--json",
                    "--seed=1",
                    "--duration=1",
                    "--blocks=4",
                    "--warmup=50",
                ])
                .args(["--connections=3", "--pipeline=2", "--order", order])
                .arg(format!("--arm=a={}", a.url()))
                .arg(format!("--arm=b={}", b.url()))
                .arg("--out")
                .arg(&out),
        )?;
        let summary: LoadSummary = serde_json::from_value(json(&output)?)?;
        let load = summary.load.context("no load")?;
        ensure!(load.duration_ns == Some(1_000_000_000) && load.pipeline == 2);
        let requests = logged(&out)?;
        for (index, arm) in (0..).zip(&summary.arms) {
            ensure!(arm.warmup_requests == 50 && arm.errors == 0, "{arm:?}");
            let own: Vec<&Request> = requests.iter().filter(|r| r.arm == index).collect();
            ensure!(own.len() as u64 == arm.requests + 50);
            let mut blocks: Vec<u32> = own.iter().map(|request| request.block).collect();
            blocks.dedup();
            ensure!(blocks.len() == 4, "{blocks:?}");
            for block in blocks {
                let sent = own.iter().filter(|r| r.block == block).map(|r| r.sent_ns);
                let (first, last) = (sent.clone().min(), sent.max());
                let (first, last) = first.zip(last).context("an empty block")?;
                // A quarter of the second each; without the division it would be the whole.
                ensure!(last - first < 750_000_000, "{}", last - first);
            }
        }
        let mut numbers: Vec<u64> = requests.iter().map(|request| request.sequence).collect();
        numbers.sort_unstable();
        numbers.dedup();
        ensure!(numbers.len() == requests.len(), "each number once");
    }
    Ok(())
}

fn thinking(kit: &Kit) -> anyhow::Result<()> {
    const THINK_NS: u64 = 5_000_000;
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let options = ["--requests=60", "--connections=3", "--think-time=0.005"];
    let out = folder.path().join("run");
    load(kit, &server.url(), &out, &options)?;
    let mut requests = logged(&out)?;
    requests.sort_by_key(|request| (request.connection, request.sent_ns));
    for pair in requests.windows(2) {
        let (before, request) = (pair[0], pair[1]);
        if before.connection == request.connection {
            ensure!(request.sent_ns >= before.done_ns + THINK_NS, "{request:?}");
        }
        ensure!(request.planned_ns == request.sent_ns);
    }
    Ok(())
}

fn refuses_bad_options(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    for (options, code, text) in [
        (&["--rate=0"][..], 1, "--rate 0"),
        (&["--rate=nan"][..], 1, "--rate NaN"),
        (&["--rate=1e9"][..], 1, "at most 10000000"),
        (&["--rate=10", "--think-time=1"][..], 2, "--think-time"),
        (&["--arrivals=poisson"][..], 2, "--rate"),
        (
            &["--rate=10", "--pacer-limit=-1"][..],
            1,
            "--pacer-limit -1",
        ),
        (&["--duration=0"][..], 1, "--duration 0"),
        (&["--duration=inf"][..], 1, "--duration inf"),
        (&["--duration=0.001", "--blocks=2"][..], 1, "from 0.002"),
        (&["--duration=1", "--blocks=0"][..], 1, "--blocks 0"),
        (&["--drain=-1"][..], 1, "--drain -1"),
        (&["--pipeline=0"][..], 1, "--pipeline 0"),
        (&["--cpu=0", "--side-cpus=0,1"][..], 2, "--side-cpus"),
    ] {
        fail(
            kit.command("loadgen")
                .args(["run", "--arm=a=http://127.0.0.1:9/"])
                .args(options)
                .arg("--out")
                .arg(&out),
            code,
            &[text],
        )
        .with_context(|| format!("{options:?}"))?;
    }
    ensure!(!out.exists(), "a refused run left its folder");
    Ok(())
}
