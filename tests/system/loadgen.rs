//! The load generator.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use runlog::record::{ClientConnection, Outcome, Request};
use runlog::summary::LoadSummary;
use runlog::table::read_all;
use runlog::{RunDirectory, interval_log, paper_csv};
use rustix::process::Signal;

use crate::Test;
use crate::kit::{Kit, Running, check_schema, fail, json, output, succeed, wait_for_rows};
use crate::ports::free_port;

pub const TESTS: &[Test] = &[
    Test {
        name: "loadgen::logs_every_request_with_its_bytes",
        needs: &[],
        run: logs_every_request,
    },
    Test {
        name: "loadgen::counts_failures_by_kind",
        needs: &[],
        run: counts_failures,
    },
    Test {
        name: "loadgen::keeps_what_it_has_when_an_arm_dies",
        needs: &[],
        run: arm_dies,
    },
    Test {
        name: "loadgen::keeps_what_it_has_on_ctrl_c",
        needs: &[],
        run: ctrl_c,
    },
    Test {
        name: "loadgen::leaves_observed_blocks_out_of_its_figures",
        needs: &[],
        run: observed_blocks,
    },
    Test {
        name: "loadgen::says_each_cause_once",
        needs: &[],
        run: causes_once,
    },
    Test {
        name: "loadgen::announces_no_slices_to_an_agent_without_a_clock",
        needs: &[],
        run: without_a_clock,
    },
    Test {
        name: "loadgen::refuses_bad_options",
        needs: &[],
        run: refuses_bad_options,
    },
];

fn logs_every_request(kit: &Kit) -> anyhow::Result<()> {
    let (a, b) = (kit.sut(None, &["--quiet"])?, kit.sut(None, &["--quiet"])?);
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let output = succeed(
        kit.command("loadgen")
            .args([
                "run",
                "--json",
                "--requests",
                "1000",
                "--blocks",
                "7",
                "--connections",
                "3",
            ])
            .args(["--warmup", "100", "--seed", "5"])
            .arg("--arm")
            .arg(format!("a={}", a.url()))
            .arg("--arm")
            // May stand for ::1 first, where nobody listens.
            .arg(format!("b=http://localhost:{}/", b.port))
            .arg("--out")
            .arg(&out),
    )?;
    let summary = json(&output)?;
    check_schema(&summary, "load")?;
    for (index, name) in ["a", "b"].iter().enumerate() {
        let arm = &summary["arms"][index];
        ensure!(
            arm["name"] == *name && arm["requests"] == 900 && arm["errors"] == 0,
            "{arm}"
        );
        ensure!(arm["latency_ns"]["p50"].as_u64() <= arm["latency_ns"]["max"].as_u64());
    }

    let run = RunDirectory::existing(&out);
    let requests: Vec<Request> = read_all(run.requests())?;
    let connections: Vec<ClientConnection> = read_all(run.client_connections())?;
    ensure!(requests.len() == 2_000 && connections.len() == 2 * 7 * 3);
    for connection in &connections {
        // The requests of a connection lie end to end, in order of sending.
        let mut own: Vec<&Request> = requests
            .iter()
            .filter(|request| request.connection == connection.connection)
            .collect();
        own.sort_by_key(|request| request.sent_ns);
        let mut end = 0;
        for request in own {
            ensure!(
                request.first_byte == end && request.end_byte > end,
                "{request:?}"
            );
            ensure!(request.local_port == connection.local_port && request.is_ok());
            ensure!(connection.opening_ns < request.sent_ns && request.sent_ns < request.done_ns);
            ensure!(request.done_ns <= connection.closed_ns);
            end = request.end_byte;
        }
        ensure!(end == connection.sent_bytes);
    }
    ensure!(paper_csv::read(run.paper_csv("a"))?.len() == 1_000);
    let logged: u64 = interval_log::read(run.interval_log("b"))?
        .iter()
        .map(|interval| interval.histogram.len())
        .sum();
    ensure!(logged == 900, "{logged}");
    Ok(())
}

/// A server that answers each connection with the same bytes and closes it.
fn canned_server(answer: &'static [u8], pause: Duration) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = stream;
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer);
                thread::sleep(pause);
                let _ = stream.write_all(answer);
            });
        }
    });
    Ok(port)
}

fn counts_failures(kit: &Kit) -> anyhow::Result<()> {
    let not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (answer, pause, kind) in [
        (&not_found[..], Duration::ZERO, "status_4xx"),
        (&b"garbage\r\n\r\n"[..], Duration::ZERO, "malformed_head"),
        (
            &b"HTTP/1.1 200 OK\r\nContent-Le"[..],
            Duration::ZERO,
            "closed_in_response",
        ),
        (&b""[..], Duration::from_secs(5), "timed_out_unanswered"),
    ] {
        let port = canned_server(answer, pause)?;
        let folder = kit.scratch()?;
        let output = succeed(
            kit.command("loadgen")
                .args([
                    "run",
                    "--json",
                    "--requests",
                    "4",
                    "--blocks",
                    "2",
                    "--timeout",
                    "0.3",
                ])
                .args(["--arm", &format!("a=http://127.0.0.1:{port}/")])
                .arg("--out")
                .arg(folder.path().join("run")),
        )
        .context(kind)?;
        let arm = &json(&output)?["arms"][0];
        ensure!(
            arm["errors"] == 4 && arm["errors_by_kind"][kind] == 4,
            "{kind}: {arm}"
        );
        ensure!(arm["latency_ns"].is_null());
    }
    Ok(())
}

fn arm_dies(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = kit.command("loadgen");
    command
        .args(["run", "--requests", "100000000", "--blocks", "10"])
        .args(["--arm", &format!("doomed={}", server.url())])
        .arg("--out")
        .arg(&out);
    let running = Running::start_piped(&mut command)?;
    wait_for_rows::<Request>(&RunDirectory::existing(&out).requests(), 100)?;
    server.process.signal(Signal::KILL)?;
    let output = running.output()?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        text.contains("cut short: arm doomed: cannot connect"),
        "{text}"
    );
    let requests: Vec<Request> = read_all(RunDirectory::existing(&out).requests())?;
    ensure!(requests.len() > 100, "{}", requests.len());
    let failed = requests.iter().filter(|request| !request.is_ok()).count();
    // It may have died between two requests. A dying server may be connected to once more: its listener can outlive its
    // connections.
    ensure!(
        failed <= 2,
        "the request under way failed, if there was one, and {failed} did"
    );
    Ok(())
}

fn ctrl_c(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = kit.command("loadgen");
    command
        .args(["run", "--json", "--requests", "100000000", "--blocks", "10"])
        .args(["--arm", &format!("a={}", server.url())])
        .arg("--out")
        .arg(&out);
    let running = Running::start_piped(&mut command)?;
    wait_for_rows::<Request>(&RunDirectory::existing(&out).requests(), 100)?;
    running.signal(Signal::INT)?;
    let output = running.output()?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    let summary = json(&output)?;
    check_schema(&summary, "load")?;
    ensure!(summary["cut_short"] == "stopped by a signal", "{summary}");
    let requests = read_all::<Request>(RunDirectory::existing(&out).requests())?;
    let logged = requests.len() as u64;
    ensure!(logged > 100 && summary["arms"][0]["requests"] == logged);
    let Some((last, before)) = requests.split_last() else {
        bail!("no request");
    };
    ensure!(before.iter().all(Request::is_ok));
    ensure!(
        last.outcome == Outcome::Unfinished as u8 && last.done_ns > last.sent_ns,
        "the request under way at the cut: {last:?}"
    );
    let errors = &summary["arms"][0]["errors_by_kind"];
    ensure!(*errors == serde_json::json!({"unfinished": 1}), "{errors}");
    Ok(())
}

fn observed_blocks(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let mut command = kit.command("loadgen");
    command
        .args(["run", "--gate", "--observe", "--requests=40", "--blocks=2"])
        .args(["--arm", &format!("a={}", server.url())])
        .arg("--out")
        .arg(folder.path());
    // Two blocks of each state: four times go.
    let go = folder.path().join("go");
    fs::write(&go, "go\n".repeat(4))?;
    let mut running = Running::start_with_input(&mut command, File::open(&go)?)?;
    ensure!(running.wait()?.success());
    let run = RunDirectory::existing(folder.path());
    let summary: LoadSummary = runlog::json::read(&run.load_summary())?;
    let arm = &summary.arms[0];
    ensure!(
        (arm.requests, arm.observed_requests, arm.errors) == (40, 40, 0),
        "{arm:?}"
    );
    ensure!(paper_csv::read(run.paper_csv("a"))?.len() == 40);
    ensure!(interval_log::read(run.interval_log("a"))?.len() == 2);
    ensure!(read_all::<Request>(run.requests())?.len() == 80);
    Ok(())
}

/// Messages name what failed and why, and neither of them twice.
fn causes_once(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let file = folder.path().join("file");
    fs::write(&file, "")?;
    let missing = folder.path().join("missing");
    let run = |url: &str, options: &[&str], out: &Path, cause: &str| {
        let mut command = kit.command("loadgen");
        command.args(["run", "--arm", &format!("a={url}")]);
        let output = output(command.args(options).arg("--out").arg(out))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1), "{}", output.status);
        ensure!(stderr.matches(cause).count() == 1, "{cause}: {stderr}");
        anyhow::Ok(())
    };
    let url = server.url();
    run(&url, &[], &file.join("run"), "Not a directory")?;
    run(&url, &["--gate"], &missing, "No such file")?;
    let nobody = format!("http://127.0.0.1:{}/", free_port()?);
    run(&nobody, &[], &missing, "Connection refused")?;
    run(&nobody, &[], &missing, "arm a: cannot connect to 127.0.0.1")?;
    ensure!(!missing.exists(), "a refused run left its folder");
    Ok(())
}

/// An agent that is older than slices over two machines would keep a run that nobody goes on with.
fn without_a_clock(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let agent = listener.local_addr()?;
    let asked = thread::spawn(move || -> anyhow::Result<String> {
        let (mut connection, _) = listener.accept()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte)?;
            head.extend(byte);
        }
        connection.write_all(
            b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 17\r\n\r\n{\"error\":\"older\"}",
        )?;
        Ok(String::from_utf8(head)?)
    });
    let folder = kit.scratch()?;
    let out = folder.path().join("load");
    let mut load = kit.command("loadgen");
    load.args([
        "run",
        "--trial",
        "seed=1 size=256 slice=20000000 arms=off,on",
    ])
    .arg(format!("--arm=server=http://127.0.0.1:{}/", server.port))
    .arg(format!("--agent=http://{agent}"))
    .arg("--out")
    .arg(&out);
    fail(
        &mut load,
        1,
        &["cannot read the clock of the agent", "older", "--agent"],
    )?;
    let asked = asked.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    ensure!(asked.starts_with("GET /v1/clock "), "{asked}");
    ensure!(!out.exists(), "nothing was to be written");
    Ok(())
}

fn refuses_bad_options(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let arm = "--arm=a=http://127.0.0.1:9/";
    let refuse = |options: &[&str], code, texts: &[&str]| {
        fail(
            kit.command("loadgen")
                .arg("run")
                .args(options)
                .arg("--out")
                .arg(&out),
            code,
            texts,
        )
    };
    refuse(&[], 2, &["--arm"])?;
    refuse(&["--arm=http://x/"], 2, &["expected NAME=URL"])?;
    refuse(&["--arm=a=https://x/"], 2, &["does not start with http://"])?;
    refuse(&["--arm=a/b=http://x/"], 2, &["letters, digits"])?;
    refuse(
        &["--arm=a=http://no.such.host.invalid/"],
        1,
        &["cannot find the host"],
    )?;
    refuse(&[arm, arm], 1, &["--arm a", "two arms"])?;
    refuse(&[arm, "--blocks=0"], 1, &["--blocks 0"])?;
    refuse(&[arm, "--requests=5", "--blocks=6"], 1, &["--blocks 6"])?;
    refuse(&[arm, "--connections=0"], 1, &["--connections 0"])?;
    refuse(&[arm, "--requests=50", "--warmup=50"], 1, &["--warmup 50"])?;
    refuse(&[arm, "--timeout=-1"], 1, &["--timeout -1"])?;
    refuse(&[arm, "--timeout=0"], 1, &["--timeout 0"])?;
    refuse(
        &[arm, "--requests=50", "--blocks=10", "--connections=6"],
        1,
        &["--connections 6", "requests of a block (5)"],
    )?;
    // Without somebody at the gate, nobody would attach probes.
    refuse(&[arm, "--observe"], 2, &["--gate"])?;
    ensure!(!out.exists(), "a refused run left its folder");
    fs::create_dir(&out)?;
    fs::write(out.join("precious"), "data")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let arm = format!("--arm=a=http://{}/", listener.local_addr()?);
    refuse(&[&arm], 1, &["is not empty"])?;
    fail(
        kit.command("loadgen").args(["run", "--gate", &arm]),
        2,
        &["--out"],
    )?;
    ensure!(fs::read_to_string(out.join("precious"))? == "data");
    Ok(())
}
