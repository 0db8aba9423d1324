//! What the load generator says on a connection, and what it makes of what it hears.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::record::{ClientConnection, Outcome, Request};
use runlog::table::read_all;

use crate::Test;
use crate::kit::{Kit, Running, Server, check_schema, fail, json, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "wire::counts_each_way_to_fail_by_its_kind",
        needs: &[],
        run: counts_each_kind,
    },
    Test {
        name: "wire::counts_what_a_server_does_at_random",
        needs: &[],
        run: random_server,
    },
    Test {
        name: "wire::ends_a_trickle_at_its_time_out",
        needs: &[],
        run: trickle,
    },
    Test {
        name: "wire::takes_bounded_memory_from_endless_responses",
        needs: &[],
        run: endless_responses,
    },
    Test {
        name: "wire::sends_what_it_was_asked_to",
        needs: &[],
        run: sends_as_asked,
    },
    Test {
        name: "wire::logs_which_request_of_a_file_it_was",
        needs: &[],
        run: request_file,
    },
    Test {
        name: "wire::closes_when_asked_to",
        needs: &[],
        run: closes,
    },
    Test {
        name: "wire::speaks_ipv6",
        needs: &[Need::Ipv6],
        run: ipv6,
    },
    Test {
        name: "wire::reads_what_node_sends",
        needs: &[Need::Program("node")],
        run: node,
    },
    Test {
        name: "wire::refuses_what_cannot_be_sent",
        needs: &[],
        run: refuses,
    },
];

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server that does the same with each connection, each in a thread of its own. It lasts as long as the
/// tests do.
fn serve(
    address: IpAddr,
    with: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((address, 0))?;
    let address = listener.local_addr()?;
    let with = Arc::new(with);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let with = Arc::clone(&with);
            thread::spawn(move || with(stream));
        }
    });
    Ok(address)
}

fn serve_v4(
    with: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> anyhow::Result<SocketAddr> {
    serve(Ipv4Addr::LOCALHOST.into(), with)
}

/// Reads a request without a body. False at the end of the stream.
fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    bytes.clear();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(false);
        }
        bytes.push(byte[0]);
    }
    Ok(true)
}

/// A run of this many requests against one arm.
fn load(kit: &Kit, url: &str, requests: u64, out: &Path) -> Command {
    let mut command = kit.command("loadgen");
    command
        .args(["run", "--json", "--blocks=1", "--seed=7"])
        .arg(format!("--requests={requests}"))
        .arg(format!("--arm=a={url}"))
        .arg("--out")
        .arg(out);
    command
}

/// Runs it, and returns the arm's summary and the requests.
fn run(command: &mut Command, out: &Path) -> anyhow::Result<(serde_json::Value, Vec<Request>)> {
    let mut summary = json(&succeed(command)?)?;
    check_schema(&summary, "load")?;
    let requests = read_all(RunDirectory::existing(out).requests())?;
    Ok((summary["arms"][0].take(), requests))
}

/// What a server does with a request, and what is made of it.
enum Does {
    /// Sends this and closes the connection.
    Answers(&'static [u8]),
    /// Sends this and holds the connection open.
    Holds(&'static [u8]),
    /// Closes the connection with the request unread, which resets it.
    Resets,
}

static KINDS: [(Does, Outcome); 20] = [
    (Does::Holds(OK), Outcome::Ok),
    (
        Does::Answers(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        Outcome::Ok,
    ),
    (
        Does::Holds(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n",
        ),
        Outcome::Ok,
    ),
    (
        Does::Holds(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        Outcome::Ok,
    ),
    (
        Does::Holds(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        Outcome::OtherStatus,
    ),
    (
        Does::Holds(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        Outcome::Status3xx,
    ),
    (
        Does::Holds(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        Outcome::Status4xx,
    ),
    (
        Does::Answers(b"HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        Outcome::Status5xx,
    ),
    (Does::Holds(b"garbage\r\n\r\n"), Outcome::MalformedHead),
    (Does::Holds(b"\0\x01\x02"), Outcome::MalformedHead),
    (
        Does::Holds(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        Outcome::MalformedHead,
    ),
    (Does::Holds(&[b'\n'; 40_000]), Outcome::HeadTooLarge),
    (
        Does::Holds(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n"),
        Outcome::BadChunk,
    ),
    (Does::Answers(b""), Outcome::ClosedUnanswered),
    (
        Does::Answers(b"HTTP/1.1 200 OK\r\nContent-Le"),
        Outcome::ClosedInResponse,
    ),
    (
        Does::Answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"),
        Outcome::ClosedInResponse,
    ),
    (
        Does::Answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
        Outcome::ClosedInResponse,
    ),
    (Does::Resets, Outcome::Reset),
    (Does::Holds(b""), Outcome::TimedOutUnanswered),
    (
        Does::Holds(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"),
        Outcome::TimedOutInResponse,
    ),
];

/// Does it with a request, and stays until the client has closed the connection.
fn do_with(does: &Does, stream: &mut TcpStream) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    match does {
        Does::Answers(answer) => {
            read_request(stream, &mut bytes)?;
            stream.write_all(answer)
        }
        Does::Holds(answer) => {
            while read_request(stream, &mut bytes)? {
                stream.write_all(answer)?;
            }
            Ok(())
        }
        Does::Resets => stream.peek(&mut [0]).map(drop),
    }
}

fn counts_each_kind(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    for (number, (does, outcome)) in KINDS.iter().enumerate() {
        let address = serve_v4(move |mut stream| do_with(does, &mut stream))?;
        let out = folder.path().join(number.to_string());
        let url = format!("http://{address}/");
        let mut command = load(kit, &url, 4, &out);
        let kind = outcome.name();
        let context = || format!("case {number}, {kind}");
        // Nothing but what is to time out may, however busy the machine is.
        let times_out = matches!(
            outcome,
            Outcome::TimedOutUnanswered | Outcome::TimedOutInResponse
        );
        let timeout = if times_out { "1" } else { "60" };
        command.args(["--connections=2", "--timeout", timeout]);
        let (arm, requests) = run(&mut command, &out).with_context(context)?;
        let all = requests
            .iter()
            .all(|request| request.outcome_name() == kind);
        ensure!(all && requests.len() == 4, "{}: {requests:?}", context());
        let expected = match outcome {
            Outcome::Ok => serde_json::json!({}),
            _ => serde_json::json!({ kind: 4 }),
        };
        ensure!(arm["errors_by_kind"] == expected, "{}: {arm}", context());
        ensure!(arm["latency_ns"].is_null() == (*outcome != Outcome::Ok));
    }
    Ok(())
}

/// A server that does any of these things with each connection keeps a log of what it did, and ours says exactly
/// the same.
fn random_server(kit: &Kit) -> anyhow::Result<()> {
    let done = Arc::new(Mutex::new(Vec::new()));
    let (log, count) = (Arc::clone(&done), AtomicUsize::new(0));
    let address = serve_v4(move |mut stream| {
        if stream.peek(&mut [0])? == 0 {
            return Ok(()); // the look whether somebody listens
        }
        // Some order in which each comes equally often.
        let number = count.fetch_add(7, Ordering::Relaxed) % KINDS.len();
        let (does, outcome) = &KINDS[number];
        lock(&log).push(outcome.name());
        do_with(does, &mut stream)
    })?;
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let url = format!("http://{address}/");
    let mut command = load(kit, &url, 600, &out);
    let options = ["--connections=50", "--timeout=4", "--close"];
    let (arm, requests) = run(command.args(options), &out)?;
    ensure!(requests.len() == 600, "{}", requests.len());
    let mut logged: Vec<&str> = requests.iter().map(Request::outcome_name).collect();
    let mut done = lock(&done);
    logged.sort_unstable();
    done.sort_unstable();
    ensure!(logged == *done, "{arm}");
    let kinds: BTreeSet<&str> = KINDS.iter().map(|(_, outcome)| outcome.name()).collect();
    let counted = arm["errors_by_kind"].as_object().context("no kinds")?;
    ensure!(counted.len() == kinds.len() - 1, "all but ok: {arm}");
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A byte each tenth of a second would take minutes, and each byte comes in time: the request ends all the same.
fn trickle(kit: &Kit) -> anyhow::Result<()> {
    for start in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
    ] {
        let address = serve_v4(move |mut stream| {
            let mut bytes = Vec::new();
            read_request(&mut stream, &mut bytes)?;
            stream.write_all(start)?;
            for _ in 0..5_000 {
                stream.write_all(b"x")?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        })?;
        let folder = kit.scratch()?;
        let out = folder.path().join("run");
        let mut command = load(kit, &format!("http://{address}/"), 6, &out);
        let (_, requests) = run(command.args(["--connections=3", "--timeout=1.5"]), &out)?;
        ensure!(requests.len() == 6);
        for request in requests {
            let name = request.outcome_name();
            ensure!(name == Outcome::TimedOutInResponse.name(), "{name}");
            let time_ns = request.response_time_ns();
            ensure!(
                time_ns >= 1_500_000_000,
                "not before its time: {time_ns} ns"
            );
        }
    }
    Ok(())
}

fn endless_responses(kit: &Kit) -> anyhow::Result<()> {
    for (start, piece, outcome) in [
        (
            &b"HTTP/1.1 200 OK\r\n"[..],
            &b"X: y\r\n"[..],
            Outcome::HeadTooLarge,
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\n",
            &[b'x'; 10_000],
            Outcome::TimedOutInResponse,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"5\r\nHello\r\n",
            Outcome::TimedOutInResponse,
        ),
        (
            b"",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            Outcome::TimedOutInResponse,
        ),
    ] {
        let pieces = piece.repeat(100);
        let address = serve_v4(move |mut stream| {
            let mut bytes = Vec::new();
            read_request(&mut stream, &mut bytes)?;
            stream.write_all(start)?;
            loop {
                stream.write_all(&pieces)?;
            }
        })?;
        let folder = kit.scratch()?;
        let out = folder.path().join("run");
        let mut command = load(kit, &format!("http://{address}/"), 100, &out);
        // A head ends by its length and must not time out, however busy the machine is.
        let is_head = outcome == Outcome::HeadTooLarge;
        let timeout = if is_head { "60" } else { "1" };
        command.args(["--connections=50", "--timeout", timeout]);
        let running = Running::start_piped(&mut command)?;
        let status = format!("/proc/{}/status", running.pid());
        let watch = thread::spawn(move || {
            let mut peak_kib = 0;
            while let Some(kib) = fs::read_to_string(&status)
                .ok()
                .and_then(|text| peak(&text))
            {
                peak_kib = kib;
                thread::sleep(Duration::from_millis(5));
            }
            peak_kib
        });
        let output = running.output()?;
        ensure!(output.status.success(), "{}", output.status);
        let peak_kib = watch.join().ok().context("the watch panicked")?;
        // A connection holds at most 32 KiB of a head and nothing of a body; the rest is the program itself.
        ensure!((1..50_000).contains(&peak_kib), "{peak_kib} KiB");
        let requests: Vec<Request> = read_all(RunDirectory::existing(&out).requests())?;
        let as_expected = requests
            .iter()
            .filter(|request| request.outcome == outcome as u8)
            .count();
        // A server that is not let run has not answered yet.
        let late = requests
            .iter()
            .filter(|request| !is_head && request.outcome == Outcome::TimedOutUnanswered as u8)
            .count();
        ensure!(
            as_expected > 0 && as_expected + late == 100,
            "{outcome:?}: {as_expected}, late {late} of {}",
            requests.len()
        );
    }
    Ok(())
}

/// The most memory that a process has had, by its `/proc/PID/status`. None of one that has ended.
fn peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// A server that keeps all it is sent, and answers each request that ends in an empty line or in "!".
fn recorder() -> anyhow::Result<(SocketAddr, Arc<Mutex<Vec<u8>>>)> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let address = serve_v4(move |mut stream| {
        let mut bytes = [0; 4096];
        loop {
            let count = stream.read(&mut bytes)?;
            if count == 0 {
                return Ok(());
            }
            let mut log = lock(&log);
            log.extend_from_slice(&bytes[..count]);
            if log.ends_with(b"\r\n\r\n") || log.ends_with(b"!") {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
            }
        }
    })?;
    Ok((address, heard))
}

fn sends_as_asked(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let body = folder.path().join("body");
    fs::write(&body, "\0body!")?;
    let body = format!("@{}", body.display());
    let (address, heard) = recorder()?;
    let url = format!("http://{address}/path?q");
    let options = [
        "--method=PUT",
        "--body",
        &body,
        "--header=host: shop.example",
        "--header=Accept-Encoding:",
        "--header=X-One: 1, 2",
    ];
    let out = folder.path().join("run");
    let (arm, _) = run(load(kit, &url, 3, &out).args(options), &out)?;
    ensure!(arm["errors"] == 0, "{arm}");
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "PUT /path?q HTTP/1.1\r\nUser-Agent: hookprobe-loadgen/{version}\r\nAccept: */*\r\n\
         Connection: keep-alive\r\nhost: shop.example\r\nX-One: 1, 2\r\nContent-Length: 6\r\n\r\n\0body!"
    );
    let heard = lock(&heard);
    let heard = String::from_utf8_lossy(&heard);
    ensure!(heard == expected.repeat(3), "{heard}");
    let arm = format!("a={url}");
    let mut command = kit.command("loadgen");
    let shown = succeed(command.args(["request", &arm]).args(options))?;
    ensure!(String::from_utf8_lossy(&shown.stdout) == expected);
    Ok(())
}

fn request_file(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let raw = [
        "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!",
        "HEAD /2 HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    let file = folder.path().join("requests");
    for (lines, pick) in [(false, "cycle"), (true, "cycle"), (false, "sample")] {
        let text = if lines {
            "# three\n/0\nPOST http://shop.example/1\n\nHEAD /2\n".to_owned()
        } else {
            raw.concat()
        };
        fs::write(&file, text)?;
        let (address, heard) = recorder()?;
        let out = folder.path().join(format!("{pick}-{lines}"));
        let mut command = load(kit, &format!("http://{address}/"), 300, &out);
        command.arg("--request-file").arg(&file);
        let (arm, mut requests) = run(command.arg(format!("--pick={pick}")), &out)?;
        ensure!(arm["errors"] == 0, "{arm}");
        requests.sort_by_key(|request| request.sequence);
        let variants: Vec<usize> = requests
            .iter()
            .map(|request| request.variant as usize)
            .collect();
        if pick == "cycle" {
            ensure!(variants.chunks(3).all(|three| three == [0, 1, 2]));
        } else {
            // By chance all but impossible: 300 draws of three.
            ensure!((0..3).all(|number| variants.contains(&number)));
            ensure!(!variants.chunks(3).all(|three| three == [0, 1, 2]));
        }
        let heard = lock(&heard);
        let heard = String::from_utf8_lossy(&heard);
        if lines {
            let count = |text: &str| heard.matches(text).count();
            ensure!(
                count("GET /0 HTTP/1.1\r\nHost: 127.0.0.1:") == 100,
                "{heard}"
            );
            ensure!(count("POST /1 HTTP/1.1\r\nHost: shop.example\r\n") == 100);
            ensure!(count("HEAD /2 HTTP/1.1\r\nHost: 127.0.0.1:") == 100);
        } else {
            let expected: String = variants.iter().map(|number| raw[*number]).collect();
            ensure!(heard == expected, "{heard}");
        }
    }
    Ok(())
}

fn closes(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    for (option, connections) in [
        ("--close", 60),
        ("--header=Connection: close", 60),
        ("--header=A: b", 2),
    ] {
        let out = folder.path().join(connections.to_string() + &option[..4]);
        let mut command = load(kit, &server.url(), 60, &out);
        let (arm, requests) = run(command.args(["--connections=2", option]), &out)?;
        ensure!(arm["errors"] == 0 && requests.len() == 60, "{arm}");
        let run = RunDirectory::existing(&out);
        let rows: Vec<ClientConnection> = read_all(run.client_connections())?;
        ensure!(
            rows.len() == connections,
            "{option}: {} connections",
            rows.len()
        );
    }
    Ok(())
}

fn ipv6(kit: &Kit) -> anyhow::Result<()> {
    let hosts = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&hosts);
    let address = serve(Ipv6Addr::LOCALHOST.into(), move |mut stream| {
        let mut bytes = Vec::new();
        while read_request(&mut stream, &mut bytes)? {
            let head = String::from_utf8_lossy(&bytes);
            let host = head.lines().find(|line| line.starts_with("Host: "));
            let mut log = lock(&log);
            let _ = writeln!(log, "{}", host.unwrap_or_default());
            stream.write_all(OK)?;
        }
        Ok(())
    })?;
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let url = format!("http://[::1]:{}/", address.port());
    let (arm, _) = run(&mut load(kit, &url, 5, &out), &out)?;
    ensure!(arm["errors"] == 0 && arm["url"] == url, "{arm}");
    let hosts = lock(&hosts);
    ensure!(*hosts == format!("Host: {address}\n").repeat(5), "{hosts}");
    Ok(())
}

/// A server of others: chunks of its own sizes, a trailer, answers to HEAD, and bodies without a length.
const NODE: &str = r"
const http = require('http');
http.createServer((request, response) => {
  const big = 'x'.repeat(200000);
  switch (request.url) {
    case '/fixed': response.setHeader('Content-Length', big.length); return response.end(big);
    case '/chunked': response.write(big); response.write('y'); return response.end(big);
    case '/trailer':
      response.setHeader('Trailer', 'X-End');
      response.write('body'); response.addTrailers({ 'X-End': 'yes' }); return response.end();
    case '/empty': response.statusCode = 204; return response.end();
    case '/early': response.writeEarlyHints({ link: '</a>; rel=preload' }); return response.end('late');
    case '/until-close':
      response.useChunkedEncodingByDefault = false; response.shouldKeepAlive = false;
      response.removeHeader('Content-Length'); response.write('a'); return response.end(big);
    case '/echo': return request.pipe(response);
    default: response.statusCode = 404; return response.end('no');
  }
}).listen(Number(process.env.SERVER_PORT), '127.0.0.1');
";

fn node(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = folder.path().join("server.js");
    fs::write(&program, NODE)?;
    let mut command = Command::new("node");
    command.arg(&program);
    let server = Server::start(command)?;
    let paths = [
        "/fixed",
        "/chunked",
        "/trailer",
        "/empty",
        "/early",
        "/until-close",
        "POST /echo",
        "HEAD /fixed",
        "HEAD /chunked",
        "/missing",
    ];
    let file = folder.path().join("urls");
    fs::write(&file, paths.join("\n"))?;
    let out = folder.path().join("run");
    let mut command = load(kit, &server.url(), 200, &out);
    command.args(["--connections=4", "--body=Hello"]);
    // A GET that has a body is allowed; that of /echo comes back.
    let (_, requests) = run(
        command.args(["--method=GET", "--request-file"]).arg(&file),
        &out,
    )?;
    ensure!(requests.len() == 200);
    for request in &requests {
        let path = paths[request.variant as usize];
        let expected = match path {
            "/empty" => 204,
            "/missing" => 404,
            _ => 200,
        };
        let status = request.status;
        ensure!(
            status == expected,
            "{path}: {status} {}",
            request.outcome_name()
        );
        ensure!(request.is_ok() == (status < 300), "{path}");
    }
    Ok(())
}

fn refuses(kit: &Kit) -> anyhow::Result<()> {
    let (address, _) = recorder()?;
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let refuse = |options: &[&str], code, texts: &[&str]| {
        let mut command = load(kit, &format!("http://{address}/"), 1, &out);
        fail(command.args(options), code, texts)
    };
    let file = folder.path().join("file");
    let file_option = format!("--request-file={}", file.display());
    let with_file = |text: &str, options: &[&str], texts: &[&str]| {
        fs::write(&file, text)?;
        let mut all = vec![file_option.as_str()];
        all.extend(options);
        refuse(&all, 1, texts)
    };
    refuse(&["--header=Accept"], 2, &["expected NAME: VALUE"])?;
    refuse(&["--header=Content-Length: 4"], 2, &["--body"])?;
    refuse(&["--method=A B"], 2, &["--method"])?;
    refuse(&["--method=CONNECT"], 1, &["tunnel"])?;
    refuse(
        &["--body=@/no/such/file"],
        1,
        &["--body @/no/such/file", "No such file"],
    )?;
    refuse(
        &["--request-file=/no/such/file"],
        1,
        &["--request-file /no/such/file", "No such file"],
    )?;
    refuse(&["--pick=sample"], 2, &["--request-file"])?;
    with_file("\n", &[], &["there is no request in it"])?;
    with_file(
        "/a\nhttps://b/\n",
        &[],
        &["line 2", "neither http:// nor /"],
    )?;
    with_file(
        "GET / HTTP/1.1\r\nHost",
        &[],
        &["request 1", "does not end"],
    )?;
    with_file(
        "GET / HTTP/1.1\r\n\r\n",
        &["--close"],
        &["leave --close out"],
    )?;
    let user = format!("http://me:secret@{address}/");
    fail(&mut load(kit, &user, 1, &out), 2, &["Authorization"])?;
    ensure!(!out.exists(), "a refused run left its folder");
    Ok(())
}
