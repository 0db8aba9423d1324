//! `probe-user trace`: counts held against programs that count by other means.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::Test;
use crate::bench::nothing_left;
use crate::kit::{
    Kit, Running, Server, check_schema, compile_c, exact_kernel_probe, fail, json, succeed,
    wait_for,
};
use crate::ports::free_port;
use crate::skips::Need;
use crate::sockets::wait_until_closed;

pub const TESTS: &[Test] = &[
    Test {
        name: "trace::redis_counts_equal_straces",
        needs: &[
            Need::Root,
            Need::Alone,
            Need::Program("redis-server"),
            Need::Program("redis-benchmark"),
            Need::Program("strace"),
        ],
        run: redis,
    },
    Test {
        name: "trace::hooked_java_counts_equal_straces",
        needs: &[
            Need::Root,
            Need::Alone,
            Need::Program("java"),
            Need::Program("javac"),
            Need::Program("strace"),
        ],
        run: java,
    },
    Test {
        name: "trace::a_function_is_counted_and_timed",
        needs: &[Need::Root, Need::Program("cc")],
        run: function,
    },
    Test {
        name: "trace::a_process_goes_on_when_its_first_thread_has_ended",
        needs: &[Need::Root, Need::Program("cc")],
        run: first_thread_ends,
    },
    Test {
        name: "trace::processes_that_share_a_hook_are_not_counted_twice",
        needs: &[Need::Root],
        run: shared_hook,
    },
    Test {
        name: "trace::the_site_is_optimised_where_the_kernel_can",
        needs: &[Need::Root, Need::Architecture("x86_64")],
        run: optimised_site,
    },
    Test {
        name: "trace::attach_and_detach_under_load_invent_nothing",
        needs: &[Need::Root],
        run: under_load,
    },
    Test {
        name: "trace::refuses_what_is_not_there",
        needs: &[Need::Root, Need::Program("cc")],
        run: refuses,
    },
];

/// A trace in the background.
#[derive(Debug)]
pub struct Trace {
    running: Running,
}

impl Trace {
    /// Starts it and waits until it is attached.
    pub fn start(kit: &Kit, options: &[&str]) -> anyhow::Result<Self> {
        let mut command = kit.command("probe-user");
        command.args(["trace", "--json", "--calibration-rounds=0"]);
        command.args(exact_kernel_probe()).args(options);
        let mut running = Running::start_piped(&mut command)?;
        running.wait_for_stderr("attached to")?;
        Ok(Self { running })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Ends it as Ctrl-C would, and returns what it saw.
    pub fn end(self) -> anyhow::Result<serde_json::Value> {
        self.running.signal(Signal::INT)?;
        let output = self.running.output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let trace = json(&output)?;
        check_schema(&trace, "trace")?;
        ensure!(trace["ledger"]["balanced"] == true, "{}", trace["ledger"]);
        Ok(trace)
    }
}

/// Counts the `read` calls of a process with strace while `work` runs.
fn strace_reads(pid: u32, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-e", "trace=read", "-p", &pid.to_string()]);
    let strace = Running::start_piped(&mut strace)?;
    // strace attaches thread by thread.
    wait_for("strace to attach", || {
        let mut tasks = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
        Ok(tasks.all(|task| {
            fs::read_to_string(task.path().join("status"))
                .is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
        }))
    })?;
    work()?;
    strace.signal(Signal::INT)?;
    let output = strace.output()?;
    let table = String::from_utf8(output.stderr)?;
    // % time, seconds, usecs/call, calls, [errors,] syscall
    let calls = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.last() == Some(&"read"))
        .and_then(|fields| fields.get(3)?.parse().ok());
    calls.with_context(|| format!("{}, and no reads in strace's table: {table}", output.status))
}

/// Runs bounded work under strace and under our trace at once, and compares the counts of `read`.
///
/// Servers read on their own account too (redis the memory it uses, ten times a second), so the three
/// must cover the same time. They cannot start and end at one instant; instead one trace of ours lies
/// within strace's time and another around it, and strace's count must lie between theirs.
///
/// At sites that the kernel has optimised our probe is a system call of a number that strace 6.1 does
/// not know and crashes on, so the site is attached to where its note points; and no other test may attach anything
/// meanwhile.
fn compare_with_strace(
    kit: &Kit,
    pid: u32,
    work: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<serde_json::Value> {
    let options = ["--site=note", "--pid", &pid.to_string()];
    let around = Trace::start(kit, &options)?;
    let mut within = None;
    let strace = strace_reads(pid, || {
        let trace = Trace::start(kit, &options)?;
        work()?;
        within = Some(trace.end()?);
        Ok(())
    })?;
    let (within, around) = (within.context("no trace")?, around.end()?);
    let seen = |trace: &serde_json::Value| {
        let row = &trace["ledger"]["probes"]["read_syscall"];
        let count = |name: &str| row[name].as_u64().unwrap_or(0);
        // Attaching strace makes the kernel begin a blocked read again: entered twice, left once.
        (count("recorded"), count("unpaired") + count("in_flight"))
    };
    let ((least, _), (most, unpaired)) = (seen(&within), seen(&around));
    println!("reads: {least} within strace's time, {strace} by strace, {most} around it");
    ensure!(
        (least..=most + unpaired).contains(&strace),
        "strace counts {strace} reads, we {least} within its time and {most} around it"
    );
    ensure!(
        most - least < 50,
        "the counts are no use: {least} to {most}"
    );
    Ok(within)
}

fn redis(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let port = free_port()?.to_string();
    let mut redis = Command::new("redis-server");
    redis
        .args(["--port", &port, "--save", "", "--appendonly", "no", "--dir"])
        .arg(folder.path());
    let redis = Running::start(redis)?;
    let is_up = || Ok(std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    wait_for("redis to listen", is_up)?;
    let work = || {
        let mut benchmark = Command::new("redis-benchmark");
        benchmark.args(["-p", &port, "-n", "2000", "-c", "3", "-t", "set,get", "-q"]);
        succeed(&mut benchmark).map(|_| ())
    };
    let trace = compare_with_strace(kit, redis.pid(), work)?;
    let reads = trace["spans"]["read_syscall"]["count"]
        .as_u64()
        .unwrap_or(0);
    ensure!(reads >= 4_000, "two times 2,000 requests, {reads} reads");
    ensure!(trace["targets"][0]["hook"].is_null() && trace["spans"]["hook_overhead"].is_null());
    Ok(())
}

const JAVA_SERVER: &str = r#"
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class Main {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv("SERVER_PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", exchange -> {
            byte[] body = "Hello World".getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.start();
    }
}
"#;

fn java(kit: &Kit) -> anyhow::Result<()> {
    const REQUESTS: u64 = 2_000;
    let folder = kit.scratch()?;
    fs::write(folder.path().join("Main.java"), JAVA_SERVER)?;
    let mut javac = Command::new("javac");
    javac
        .arg("-d")
        .arg(folder.path())
        .arg(folder.path().join("Main.java"));
    succeed(&mut javac)?;
    let mut java = Command::new("java");
    // Without it, Nagle's algorithm makes each answer wait 40 ms for the client's acknowledgement.
    java.arg("-Dsun.net.httpserver.nodelay=true");
    // Else the virtual machine reads the files of its cgroup now and then, whatever its work is.
    java.arg("-XX:-UseContainerSupport");
    java.arg("-cp").arg(folder.path()).arg("Main");
    java.env("LD_PRELOAD", kit.path("readhook.so"))
        .stderr(std::process::Stdio::null());
    let server = Server::start(java)?;
    // The first requests load classes; strace is not to see the last of that before we look.
    load(kit, &server, 50, folder.path())?;
    wait_until_quiet(server.pid())?;
    let work = || load(kit, &server, REQUESTS, folder.path());
    let trace = compare_with_strace(kit, server.pid(), work)?;
    ensure!(
        trace["targets"][0]["hook"].is_string(),
        "{}",
        trace["targets"]
    );
    let sites = &trace["ledger"]["probes"]["site_read_done"];
    let hooked = trace["spans"]["hook_overhead"]["count"]
        .as_u64()
        .unwrap_or(0);
    ensure!(
        hooked >= REQUESTS,
        "{REQUESTS} requests, {hooked} hooked reads; {sites}"
    );
    ensure!(sites["unpaired"] == 0, "{sites}");
    Ok(())
}

/// Waits until a process reads nothing for a while.
fn wait_until_quiet(pid: u32) -> anyhow::Result<()> {
    let mut before = String::new();
    wait_for("the process to be quiet", || {
        let counts = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let is_quiet = counts == before;
        before = counts;
        // Quiet is that nothing happens: no event tells of it.
        thread::sleep(Duration::from_millis(200));
        Ok(is_quiet)
    })
}

/// Sends requests with the load generator.
fn load(kit: &Kit, server: &Server, requests: u64, folder: &Path) -> anyhow::Result<()> {
    let mut loadgen = kit.command("loadgen");
    loadgen.args(["run", "--blocks", "1", "--requests", &requests.to_string()]);
    loadgen.args(["--arm", &format!("a={}", server.url()), "--out"]);
    loadgen.arg(tempfile::tempdir_in(folder)?.keep());
    succeed(&mut loadgen).map(|_| ())
}

/// Calls a function 1,000 times, recursing three deep each time: 4,000 calls. The innermost takes
/// at least 20 µs. Then leaves five calls by longjmp.
const CALLER: &str = r#"
#include <setjmp.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static jmp_buf out;

__attribute__((noinline)) int measured(int depth, int jump) {
    if (jump) longjmp(out, 1);
    if (depth > 0) return measured(depth - 1, 0) + 1;
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < 20000);
    return 0;
}

int main(void) {
    char go;
    int sum = 0;
    while (read(0, &go, 1) == 1) {
        for (int i = 0; i < 1000; i++) sum += measured(3, 0);
        for (int i = 0; i < 5; i++) if (!setjmp(out)) sum += measured(0, 1);
        printf("%d\n", sum);
        fflush(stdout);
    }
    return 0;
}
"#;

fn function(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = compile_c(folder.path(), CALLER, &["-fno-optimize-sibling-calls"])?;
    let mut child = Command::new(&program)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let trace = Trace::start(
        kit,
        &["--pid", &child.id().to_string(), "--symbol", "measured"],
    )?;
    child.stdin.as_mut().context("stdin")?.write_all(b"g")?;
    let mut answer = [0; 5];
    child
        .stdout
        .as_mut()
        .context("stdout")?
        .read_exact(&mut answer)?;
    let seen = trace.end();
    child.kill()?;
    child.wait()?;
    let seen = seen?;
    ensure!(answer == *b"3000\n", "the program computed as it should");
    let function = &seen["spans"]["function"];
    ensure!(function["count"] == 4_000, "{function}");
    // Every call holds the innermost one's 20 µs.
    ensure!(
        function["p50_ns"].as_u64().is_some_and(|ns| ns >= 19_800),
        "{function}"
    );
    // Calls left by longjmp are seen when their frame is entered again; the last one stays open.
    let row = &seen["ledger"]["probes"]["function"];
    ensure!(
        row["hits"] == 4_005 && row["unpaired"] == 4 && row["in_flight"] == 1,
        "{row}"
    );
    nothing_left(kit)
}

fn shared_hook(kit: &Kit) -> anyhow::Result<()> {
    let servers = [
        kit.sut(Some(&[]), &["--quiet"])?,
        kit.sut(Some(&[]), &["--quiet"])?,
    ];
    let bystander = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let sut = kit.path("sut");
    let trace = Trace::start(kit, &["--exe", sut.to_str().context("UTF-8")?])?;
    for server in servers.iter().chain([&bystander]) {
        load(kit, server, 100, folder.path())?;
    }
    for server in servers.iter().chain([&bystander]) {
        wait_until_closed(server.port)?;
    }
    let trace = trace.end()?;
    ensure!(
        trace["targets"]
            .as_array()
            .is_some_and(|targets| targets.len() == 3)
    );
    // 100 requests, the end of their stream, and the end of the connection by which the load
    // generator found out that the server is there. Two servers are hooked; the third only reads.
    let reads = 100 + 1 + 1;
    ensure!(
        trace["spans"]["hook_overhead"]["count"] == 2 * reads,
        "{}",
        trace["spans"]
    );
    ensure!(
        trace["spans"]["read_syscall"]["count"] == 3 * reads,
        "{}",
        trace["spans"]
    );
    Ok(())
}

/// Address of the first byte of `read_done` in a process, and what is there now.
fn site_bytes(kit: &Kit, pid: u32) -> anyhow::Result<[u8; 17]> {
    // The site's body, as it is in the file, tells where it is.
    let file = fs::read(kit.path("readhook.so"))?;
    let body = b"\x90\x66\x2e\x0f\x1f\x84\0\0\0\0\0\x0f\x1f\x44\0\0\xc3";
    let offset = file
        .windows(17)
        .position(|window| window == body)
        .context("no site")?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let line = maps
        .lines()
        .find(|line| line.contains("readhook") && line.contains("r-xp"))
        .context("the hook is not mapped")?;
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16);
    let start = hexadecimal(line.split('-').next().context("start")?)?;
    let mapped = hexadecimal(line.split_whitespace().nth(2).context("offset")?)?;
    let mut bytes = [0; 17];
    let memory = fs::File::open(format!("/proc/{pid}/mem"))?;
    memory.read_exact_at(&mut bytes, start - mapped + offset as u64)?;
    Ok(bytes)
}

fn optimised_site(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(Some(&[]), &["--quiet"])?;
    let folder = kit.scratch()?;
    let before = site_bytes(kit, server.pid())?;
    let trace = Trace::start(kit, &["--pid", &server.pid().to_string()])?;
    load(kit, &server, 100, folder.path())?;
    let during = site_bytes(kit, server.pid())?;
    let trace = trace.end()?;
    let offset = usize::try_from(trace["probes"]["site_offset"].as_u64().context("offset")?)?;
    ensure!(during != before, "nothing was attached at {during:02x?}");
    let expected: &[u8] = match offset {
        // A breakpoint, where the kernel does not optimise.
        0 => &[0xcc],
        // lea -128(%rsp),%rsp; call
        1 => &[0x48, 0x8d, 0x64, 0x24, 0x80, 0xe8],
        // call
        _ => &[0xe8],
    };
    ensure!(
        during[offset..].starts_with(expected),
        "at +{offset}: {during:02x?}"
    );
    // Detached, the site does nothing, and the semaphore is down: the next read fires nothing.
    for _ in 0..2 {
        let after = site_bytes(kit, server.pid())?;
        ensure!(
            is_at_rest(after, before),
            "{after:02x?} after, {before:02x?} before"
        );
        load(kit, &server, 100, folder.path())?;
    }
    Ok(())
}

/// Whether a site does what it did before. 7.3 leaves the call's address in the last five bytes of the
/// 10-byte NOP, which do not matter to it.
fn is_at_rest(now: [u8; 17], before: [u8; 17]) -> bool {
    now[..6] == before[..6] && now[11..] == before[11..]
}

/// When told to, the first thread ends, and another calls a function and says so, again and again.
const OUTLIVES: &str = r#"
#include <pthread.h>
#include <unistd.h>
__attribute__((noinline)) int probed(void) { return (int)write(1, "c", 1); }
static volatile int is_told;
static void *call(void *unused) {
    while (!is_told)
        usleep(1000);
    while (probed() == 1)
        usleep(10000);
    return unused;
}
int main(void) {
    pthread_t thread;
    char byte;
    pthread_create(&thread, 0, call, 0);
    if (read(0, &byte, 1) != 1)
        return 1;
    is_told = 1;
    pthread_exit(0);
}
"#;

fn first_thread_ends(kit: &Kit) -> anyhow::Result<()> {
    /// Calls in some of the intervals in which the tracer looks whether the process lives.
    const CALLS: usize = 50;
    let folder = kit.scratch()?;
    let program = compile_c(folder.path(), OUTLIVES, &["-pthread"])?;
    let mut child = Running::start_talking(&mut Command::new(program))?;
    let trace = Trace::start(kit, &["--pid", &child.pid().to_string(), "--symbol=probed"])?;
    child.tell(b"g")?;
    let stat = format!("/proc/{}/stat", child.pid());
    wait_for("the first thread to end", || {
        Ok(fs::read_to_string(&stat)?.contains(") Z "))
    })?;
    // A call has returned, and is counted, when the one after it says so.
    child.hear(CALLS + 1)?;
    let seen = trace.end()?;
    let counted = seen["spans"]["function"]["count"].as_u64();
    ensure!(
        counted.is_some_and(|count| count >= CALLS as u64),
        "{counted:?} of {CALLS} calls: {}",
        seen["ended"]
    );
    Ok(())
}

/// Probes are attached and detached one after the other while calls go on. What begins in between
/// must not show up as unpaired: at most the one call of the one thread that was open at either end.
fn under_load(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut_with_own_libc()?;
    let folder = kit.scratch()?;
    let mut load = kit.command("loadgen");
    load.args(["run", "--requests=100000000", "--blocks=1"])
        .arg(format!("--arm=hooked={}", server.url()))
        .arg("--out")
        .arg(folder.path().join("load"));
    let load = Running::start(load)?;
    for options in [&[][..], &["--lib=libc.so.6", "--symbol=write"]] {
        let mut command = kit.command("probe-user");
        command
            .args(["trace", "--json", "--duration=0.6"])
            .args(["--calibration-rounds=0", "--pid"])
            .arg(server.pid().to_string())
            .args(exact_kernel_probe())
            .args(options);
        let trace = json(&succeed(&mut command)?)?;
        let ledger = &trace["ledger"];
        ensure!(ledger["balanced"] == true, "{ledger}");
        for (name, row) in ledger["probes"].as_object().context("no probes")? {
            let count = |column: &str| row[column].as_u64().unwrap_or(u64::MAX);
            ensure!(
                count("recorded") > 0 && count("unpaired") <= 1 && count("in_flight") <= 1,
                "{name}: {row}"
            );
        }
        let function = &ledger["probes"]["function"];
        ensure!(function.is_null() == options.is_empty(), "{ledger}");
    }
    drop(load);
    Ok(())
}

fn refuses(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let refuse = |options: &[&str], code, texts: &[&str]| {
        let mut command = kit.command("probe-user");
        fail(
            command.args(["trace", "--duration=1"]).args(options),
            code,
            texts,
        )
    };
    refuse(&[], 2, &["--pid"])?;
    refuse(&["--pid=1", "--port=1"], 2, &["cannot be used with"])?;
    refuse(&["--pid=1", "--lib=libc"], 2, &["--symbol"])?;
    refuse(
        &["--pid=2147483647"],
        1,
        &["there is no process 2147483647"],
    )?;
    refuse(&["--exe=/nonexistent"], 1, &["/nonexistent"])?;
    refuse(&["--exe=/etc/passwd"], 1, &["no process runs /etc/passwd"])?;
    let port = free_port()?;
    refuse(&[&format!("--port={port}")], 1, &[&format!("port {port}")])?;
    refuse(&["--pid=1", "--duration=0"], 1, &["--duration 0"])?;

    let server = kit.sut(None, &["--quiet"])?;
    let pid = format!("--pid={}", server.pid());
    refuse(
        &[&pid, "--symbol=no_such_function"],
        1,
        &["no function \"no_such_function\""],
    )?;
    refuse(
        &[&pid, "--lib=libnothing.so", "--symbol=read"],
        1,
        &["has not mapped \"libnothing.so\"", "libc.so"],
    )?;
    refuse(
        &[&pid, "--lib=libc", "--symbol=reed"],
        1,
        &["no function \"reed\"", "libc"],
    )?;

    let source = "#include <unistd.h>\nint main(void) { pause(); return 0; }";
    let program = compile_c(folder.path(), source, &["-static"])?;
    let running = Running::start(Command::new(program))?;
    let pid = format!("--pid={}", running.pid());
    refuse(
        &[&pid, "--lib=libc", "--symbol=read"],
        1,
        &["is statically linked", "leave --lib out"],
    )?;
    drop(server);
    nothing_left(kit)
}
