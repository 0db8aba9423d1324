//! The load generator's side of a trial: salts and sizes on the wire, arms in the log and in the files by arm.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use abi::trial::{Arm, Trial};
use anyhow::Context as _;
use runlog::record::{ClientConnection, Request};
use runlog::table::read_all;
use runlog::{RunDirectory, interval_log, paper_csv};
use serde_json::{Value, json};

use crate::Test;
use crate::kit::{self, Kit, check_schema, fail, succeed};

pub const TESTS: &[Test] = &[
    Test {
        name: "trial_load::logs_the_arms_that_are_drawn",
        needs: &[],
        run: logs_arms,
    },
    Test {
        name: "trial_load::says_its_salts_again_on_each_new_connection",
        needs: &[],
        run: says_salts,
    },
    Test {
        name: "trial_load::refuses_what_is_no_trial",
        needs: &[],
        run: refuses,
    },
];

const SIZE: usize = 320;
/// `off` is not the first arm, so that its number is no default.
const ARMS: [Arm; 4] = [
    Arm::Null,
    Arm::Off,
    Arm::On,
    Arm::Spiked { delay_ns: 1_000 },
];
const NAMES: [&str; 4] = ["null", "off", "on", "on+1000"];
const OFF: usize = 1;
const TEXT: &str = "arms=null,off,on,on+1000  run=2 seed=99 size=320";
const CANONICAL: &str = "seed=99 size=320 run=2 arms=null,off,on,on+1000";

/// A trial against this server.
fn load(kit: &Kit, url: &str, out: &Path) -> Command {
    let mut command = kit.command("loadgen");
    command
        .args(["run", "--json", "--seed=7", "--trial", TEXT])
        .arg(format!("--arm=server={url}"))
        .arg("--out")
        .arg(out);
    command
}

/// What a trial left.
struct Ran {
    run: RunDirectory,
    summary: Value,
    requests: Vec<Request>,
    connections: Vec<ClientConnection>,
    trial: Trial,
}

/// Runs it, and holds the log against the draw: each request's arm and place.
fn run(command: &mut Command, out: &Path) -> anyhow::Result<Ran> {
    let summary = kit::json(&succeed(command)?)?;
    check_schema(&summary, "load")?;
    ensure!(summary["schedule"]["order"] == "trial", "{summary}");
    ensure!(summary["schedule"]["trial"] == CANONICAL, "{summary}");
    let run = RunDirectory::existing(out);
    let requests: Vec<Request> = read_all(run.requests())?;
    let connections: Vec<ClientConnection> = read_all(run.client_connections())?;
    let trial = Trial::new(99, u32::try_from(SIZE)?, 2, &ARMS)?;
    for request in &requests {
        ensure!(request.end_byte - request.first_byte == SIZE as u64);
        ensure!(request.first_byte.is_multiple_of(SIZE as u64));
        let ordinal = request.first_byte / SIZE as u64;
        let drawn = trial.arm_of(trial.salt(request.connection), ordinal);
        ensure!(drawn.is_none() == (ordinal == 0), "{request:?}");
        ensure!(
            usize::from(request.arm) == drawn.unwrap_or(OFF),
            "{request:?}: {drawn:?}"
        );
        ensure!(drawn.is_some() || request.is_warmup(), "{request:?}");
    }
    Ok(Ran {
        run,
        summary,
        requests,
        connections,
        trial,
    })
}

/// Holds the summary and the files of each arm against the log.
fn check_arms(ran: &Ran, url: &str) -> anyhow::Result<()> {
    let arms = ran.summary["arms"].as_array().context("no arms")?;
    ensure!(arms.len() == NAMES.len());
    let mut counted = 0;
    for (number, (arm, name)) in arms.iter().zip(NAMES).enumerate() {
        ensure!(arm["name"] == name && arm["url"] == url, "{arm}");
        let logged = ran
            .requests
            .iter()
            .filter(|request| usize::from(request.arm) == number);
        let warmup = logged.clone().filter(|request| request.is_warmup()).count();
        let measured = logged.count() - warmup;
        let found = [&arm["requests"], &arm["warmup_requests"], &arm["errors"]];
        ensure!(json!(found) == json!([measured, warmup, 0]), "{arm}");
        // The CSV has the warm-up, the HDR log has not.
        let rows = paper_csv::read(ran.run.paper_csv(name))?.len();
        ensure!(rows == measured + warmup, "{name}: {rows} rows");
        let intervals = interval_log::read(ran.run.interval_log(name))?;
        let times: u64 = intervals
            .iter()
            .map(|interval| interval.histogram.len())
            .sum();
        ensure!(times == measured as u64, "{name}: {times} times");
        counted += measured + warmup;
    }
    ensure!(counted == ran.requests.len());
    Ok(())
}

fn logs_arms(kit: &Kit) -> anyhow::Result<()> {
    let servers = [kit.sut(None, &["--quiet"])?, kit.sut(None, &["--quiet"])?];
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let url = servers[0].url();
    let mut command = load(kit, &url, &out);
    command
        .arg(format!("--server=server={}", servers[1].url()))
        .args(["--requests=300", "--blocks=6", "--connections=3"])
        .arg("--warmup=20");
    let ran = run(&mut command, &out)?;
    // 300 of each arm on average, and six blocks of three connections.
    ensure!(ran.requests.len() == 1_200 && ran.connections.len() == 18);
    ensure!(ran.summary["load"]["batch_scheduling"] == true);
    check_arms(&ran, &url)?;
    for number in 0..NAMES.len() {
        let of_arm = |request: &&Request| usize::from(request.arm) == number;
        let count = ran.requests.iter().filter(of_arm).count();
        // About 591 pairs out of four arms: the standard deviation is 21 requests.
        ensure!((180..420).contains(&count), "arm {number}: {count}");
    }
    // The first 40 to each server are warm-up, and later the first of each connection.
    let warmup = |block| {
        let of_block = |request: &&Request| request.block == block && request.is_warmup();
        ran.requests.iter().filter(of_block).count()
    };
    let by_block: Vec<usize> = (0..6).map(warmup).collect();
    ensure!(by_block == [40, 40, 3, 3, 3, 3], "{by_block:?}");
    Ok(())
}

/// A server that closes each connection with its fifth answer, and tells what it was sent on it.
fn closing_server() -> anyhow::Result<(SocketAddr, Receiver<Vec<u8>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (sender, streams) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut heard = Vec::new();
                for number in 0..5 {
                    let mut request = [0; SIZE];
                    if stream.read_exact(&mut request).is_err() {
                        break;
                    }
                    heard.extend(request);
                    let connection = if number < 4 { "keep-alive" } else { "close" };
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n"
                    );
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
                let _ = sender.send(heard);
            });
        }
    });
    Ok((address, streams))
}

fn says_salts(kit: &Kit) -> anyhow::Result<()> {
    let (address, streams) = closing_server()?;
    let url = format!("http://{address}/work?us=1");
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = load(kit, &url, &out);
    command.args(["--requests=100", "--blocks=3", "--connections=4"]);
    let ran = run(&mut command, &out)?;
    ensure!(ran.requests.len() == 400);
    check_arms(&ran, &url)?;
    let mut by_salt: BTreeMap<String, &ClientConnection> = ran
        .connections
        .iter()
        .filter(|row| row.sent_bytes > 0)
        .map(|row| (format!("{:016x}", ran.trial.salt(row.connection)), row))
        .collect();
    // The first of each five is warm-up.
    let first = ran.requests.iter().filter(|request| request.is_warmup());
    ensure!(first.count() == by_salt.len() && by_salt.len() >= 80);
    let mut arm = kit.command("loadgen");
    arm.args(["request", "--trial", TEXT]);
    let template = succeed(arm.arg(format!("server={url}")))?.stdout;
    ensure!(template.len() == SIZE);
    let zeros = "X-Hookprobe-Salt: 0000000000000000\r\n";
    let template = String::from_utf8(template)?;
    ensure!(template.matches(zeros).count() == 1, "{template}");
    let at = template.find(zeros).context("no salt")? + "X-Hookprobe-Salt: ".len();
    while !by_salt.is_empty() {
        let heard = String::from_utf8(streams.recv_timeout(kit::SOON)?)?;
        let Some(salt) = heard.get(at..at + 16) else {
            continue; // it was opened and not used
        };
        let row = by_salt
            .remove(salt)
            .with_context(|| format!("whose is {salt}?"))?;
        let count = usize::try_from(row.sent_bytes)? / SIZE;
        let first = template.replace(zeros, &format!("X-Hookprobe-Salt: {salt}\r\n"));
        ensure!(heard == first + &template.repeat(count - 1), "{heard}");
    }
    Ok(())
}

fn refuses(kit: &Kit) -> anyhow::Result<()> {
    let (address, _streams) = closing_server()?;
    let url = format!("http://{address}/");
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let refuse = |options: &[&str], code, texts: &[&str]| {
        fail(load(kit, &url, &out).args(options), code, texts)
    };
    refuse(&["--order=duet"], 1, &["--order duet", "leave --order out"])?;
    refuse(&["--rate=10"], 1, &["--rate"])?;
    refuse(&["--close"], 1, &["--close", "more than one request"])?;
    refuse(&["--sequence-header"], 1, &["--sequence-header"])?;
    let two_servers = [
        "--agent=http://127.0.0.1:1",
        "--server=server=http://127.0.0.1:1/",
    ];
    refuse(&two_servers, 1, &["--agent", "leave --server out"])?;
    refuse(
        &["--header=A: 1", "--body=@/no/such/file"],
        1,
        &["No such file"],
    )?;
    // The last --trial counts.
    let short = "--trial=seed=1 size=64 arms=off,on";
    refuse(&[short], 1, &["size=64 does not fit", "give size="])?;
    refuse(&["--trial=seed=1 size=512 arms=on"], 2, &["off and on"])?;
    let mut alone = kit.command("loadgen");
    alone
        .args(["run", "--order=trial"])
        .arg(format!("--arm=a={url}"));
    fail(&mut alone, 1, &["--order trial: takes --trial"])?;
    ensure!(!out.exists(), "a refused run left its folder");
    Ok(())
}
