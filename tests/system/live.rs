//! What a load says of itself while it goes on.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use runlog::live::{LiveEvent, Progress, Started};
use runlog::record::Request;
use runlog::summary::LoadSummary;
use runlog::table::read_all;
use runlog::{RunDirectory, json};
use rustix::process::Signal;

use crate::Test;
use crate::kit::{Kit, Running, check_schema, fail, succeed, wait_for};

pub const TESTS: &[Test] = &[
    Test {
        name: "live::progress_adds_up_to_the_log",
        needs: &[],
        run: adds_up,
    },
    Test {
        name: "live::the_times_of_short_loads_add_up",
        needs: &[],
        run: short_loads,
    },
    Test {
        name: "live::both_sides_of_a_duet_are_told",
        needs: &[],
        run: duet,
    },
    Test {
        name: "live::a_silent_server_does_not_silence_it",
        needs: &[],
        run: silent_server,
    },
    Test {
        name: "live::ends_when_nobody_listens",
        needs: &[],
        run: nobody_listens,
    },
];

/// The events of a finished run, each checked against the schema.
fn events(stdout: &[u8]) -> anyhow::Result<Vec<LiveEvent>> {
    let text = str::from_utf8(stdout)?;
    let event = |line: &str| {
        let value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        check_schema(&value, "load-live")?;
        Ok(serde_json::from_value(value)?)
    };
    text.lines().map(event).collect()
}

/// The parts of a run's events.
fn parts(events: &[LiveEvent]) -> anyhow::Result<(&[String], Vec<&Progress>, &LoadSummary)> {
    let [
        LiveEvent::Started(started),
        between @ ..,
        LiveEvent::Done { summary },
    ] = events
    else {
        bail!("not from start to end: {events:?}");
    };
    let progress = between.iter().map(|event| match event {
        LiveEvent::Progress(progress) => Ok(progress),
        other => bail!("not progress: {other:?}"),
    });
    Ok((&started.arms, progress.collect::<Result<_, _>>()?, summary))
}

fn adds_up(kit: &Kit) -> anyhow::Result<()> {
    let (a, b) = (kit.sut(None, &["--quiet"])?, kit.sut(None, &["--quiet"])?);
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let output = succeed(
        kit.command("loadgen")
            .args([
                "run",
                "--live",
                "--seed=1",
                "--requests=30000",
                "--blocks=5",
            ])
            .args(["--warmup=1000", "--connections=2"])
            .args(["--arm", &format!("a={}", a.url())])
            // The server has nothing there: each request is an error.
            .args(["--arm", &format!("b={}missing", b.url())])
            .arg("--out")
            .arg(&out),
    )?;
    let events = events(&output.stdout)?;
    let (names, progress, summary) = parts(&events)?;
    ensure!(names == ["a", "b"], "{names:?}");
    ensure!(matches!(
        events[0],
        LiveEvent::Started(Started {
            requests: Some(60_000),
            ..
        })
    ));
    let written: LoadSummary = json::read(&RunDirectory::existing(&out).load_summary())?;
    ensure!(*summary == written);
    for (index, arm) in summary.arms.iter().enumerate() {
        let of_arm = progress.iter().map(|progress| &progress.arms[index]);
        let requests: u64 = of_arm.clone().map(|arm| arm.requests).sum();
        ensure!(requests == 30_000, "{requests}");
        let errors: u64 = of_arm.clone().map(|arm| arm.errors).sum();
        ensure!(
            errors == arm.errors + arm.warmup_requests * u64::from(arm.errors > 0),
            "{errors} errors in progress, {arm:?}"
        );
        for now in of_arm {
            let successes = now.requests - now.errors;
            ensure!(now.p50_ns.is_some() == (successes > 0), "{now:?}");
            ensure!(now.p50_ns <= now.p90_ns && now.p90_ns <= now.p99_ns);
        }
    }
    times_add_up(&progress)?;
    fail(
        kit.command("loadgen")
            .args(["run", "--live", "--json", "--arm=a=http://127.0.0.1:9/"]),
        2,
        &["--live", "--json"],
    )
}

/// One arm at a time. A block that ends while an interval is closed may count to this one with its last moment.
fn times_add_up(progress: &[&Progress]) -> anyhow::Result<()> {
    let (mut end, mut active) = (0, 0);
    for progress in progress {
        end += progress.interval_ns;
        active += progress.arms.iter().map(|arm| arm.active_ns).sum::<u64>();
        ensure!(progress.elapsed_ns == end, "no time between intervals");
    }
    ensure!(0 < active && active <= end);
    Ok(())
}

/// The first interval begins before the first block, however late the thread that shows them.
fn short_loads(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    for load in 0..50 {
        let output = succeed(
            kit.command("loadgen")
                .args(["run", "--live", "--requests=100", "--blocks=1"])
                .args(["--arm", &format!("a={}", server.url()), "--out"])
                .arg(folder.path().join(load.to_string())),
        )?;
        let events = events(&output.stdout)?;
        times_add_up(&parts(&events)?.1)?;
    }
    Ok(())
}

fn duet(kit: &Kit) -> anyhow::Result<()> {
    let (a, b) = (kit.sut(None, &["--quiet"])?, kit.sut(None, &["--quiet"])?);
    let folder = kit.scratch()?;
    let output = succeed(
        kit.command("loadgen")
            .args([
                "run",
                "--live",
                "--seed=1",
                "--order=duet",
                "--requests=2000",
            ])
            .args(["--blocks=4", "--arm", &format!("a={}", a.url())])
            .args(["--arm", &format!("b={}", b.url()), "--out"])
            .arg(folder.path().join("run")),
    )?;
    let events = events(&output.stdout)?;
    let (_, progress, _) = parts(&events)?;
    for index in 0..2 {
        let requests = progress
            .iter()
            .map(|progress| progress.arms[index].requests);
        ensure!(requests.sum::<u64>() == 2_000, "{progress:?}");
    }
    Ok(())
}

/// A command that loads a server with more than it will do.
fn endless(kit: &Kit, url: &str, folder: &std::path::Path) -> Command {
    let mut command = kit.command("loadgen");
    command
        .args(["run", "--live", "--requests=100000000", "--arm"])
        .arg(format!("a={url}"))
        .arg("--out")
        .arg(folder.join("run"));
    command
}

fn silent_server(kit: &Kit) -> anyhow::Result<()> {
    // Connections wait in its backlog, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let folder = kit.scratch()?;
    let url = format!("http://{}/", silent.local_addr()?);
    let mut running = Running::start_piped(&mut endless(kit, &url, folder.path()))?;
    let mut intervals = 0;
    let mut stdout = running.read_until(|line| {
        intervals += usize::from(line.contains("progress"));
        intervals == 2
    })?;
    running.signal(Signal::INT)?;
    let output = running.output()?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    stdout.extend(output.stdout);
    let events = events(&stdout)?;
    let (_, progress, summary) = parts(&events)?;
    ensure!(progress.len() >= 3, "{progress:?}");
    let arms: Vec<_> = progress.iter().map(|progress| &progress.arms[0]).collect();
    ensure!(arms.iter().all(|arm| arm.p50_ns.is_none()), "{arms:?}");
    // Only the one that the stop left unfinished.
    let requests: Vec<u64> = arms.iter().map(|arm| arm.requests).collect();
    let Some((last, before)) = requests.split_last() else {
        bail!("no interval");
    };
    ensure!(
        *last == 1 && before.iter().all(|requests| *requests == 0),
        "{requests:?}"
    );
    ensure!(arms.iter().map(|arm| arm.errors).sum::<u64>() == 1);
    ensure!(summary.cut_short.as_deref() == Some("stopped by a signal"));
    Ok(())
}

fn nobody_listens(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let mut child = endless(kit, &server.url(), folder.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut first = String::new();
    // The pipe is closed behind the first line.
    BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut first)?;
    ensure!(first.contains("started"), "{first}");
    let mut status = None;
    let ended = wait_for("the load to notice", || {
        status = child.try_wait()?;
        Ok(status.is_some())
    });
    let _ = child.kill();
    ended?;
    ensure!(status.and_then(|status| status.code()) == Some(3));
    let run = RunDirectory::existing(folder.path().join("run"));
    let summary: LoadSummary = json::read(&run.load_summary())?;
    let logged = read_all::<Request>(run.requests())?.len() as u64;
    ensure!(logged > 100 && summary.arms[0].requests == logged);
    Ok(())
}
