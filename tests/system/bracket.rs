//! The bracket: the hook's tests with it around the hook, and what a trial counts and records.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::mem::offset_of;
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use abi::trial::calls::{Call, Slot, WORDS};
use abi::trial::shared::{ArmCount, Count, Head, MAGIC, RINGS, Ring, Shared};
use abi::trial::{MAX_ARMS, SALT_FIELD, Trial};
use anyhow::Context as _;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::FdFlags;

use crate::hook::compile_with_connections;
use crate::kit::{Around, Kit, Server, TRIAL, compile_c, succeed};
use crate::skips::Need;
use crate::trace::Trace;
use crate::{Test, family, hook, portable, safety};

pub const TESTS: &[Test] = &[
    Test {
        name: "bracket::counts_and_records_are_those_of_the_requests",
        needs: &[],
        run: counts_and_records,
    },
    Test {
        name: "bracket::a_hook_that_goes_past_back_is_seen",
        needs: &[Need::Program("cc")],
        run: sees_who_goes_past,
    },
    Test {
        name: "bracket::a_hook_that_calls_another_function_by_its_name_is_counted_once",
        needs: &[Need::Program("cc")],
        run: counts_once,
    },
    Test {
        name: "bracket::a_hook_that_defines_what_else_there_is_is_not_asked",
        needs: &[Need::Program("cc")],
        run: asks_no_hook,
    },
    Test {
        name: "bracket::requests_that_are_read_together_are_counted",
        needs: &[],
        run: counts_pipelined,
    },
    Test {
        name: "bracket::a_trace_sees_all_arms_of_a_hook_without_sites",
        needs: &[Need::Root, Need::Program("cc")],
        run: traces,
    },
    Test {
        name: "bracket::calls_in_signal_handlers_are_told_from_those_that_they_interrupt",
        needs: &[Need::Program("cc")],
        run: nested,
    },
    Test {
        name: "bracket::all_calls_go_to_the_hook_on_nonsense",
        needs: &[],
        run: passes_through_on_nonsense,
    },
];

/// Tests of the hook that are not about the bracket as well, with the reason.
const EXCEPT: [(&str, &[Around], &str); 4] = [
    (
        "family::a_trace_sees_each_function",
        &[Around::Bracket, Around::Trial],
        "front has sites too, and the trace sees both",
    ),
    (
        "portable::imports_are_as_old_as_listed",
        &[Around::Bracket, Around::Trial],
        "it is about the lists of all libraries already",
    ),
    (
        "hook::keeps_one_descriptor_for_the_log",
        &[Around::Trial],
        "no call reaches the hook, which then logs nothing",
    ),
    (
        "safety::helgrind_reports_nothing_in_the_hook",
        &[Around::Trial],
        "signal handlers read one connection at once, and it takes no relaxed access for atomic",
    ),
];

/// The hook's tests once more, with the bracket around it.
pub fn hook_tests() -> Vec<(Test, Around)> {
    let all = [hook::TESTS, family::TESTS, portable::TESTS, safety::TESTS];
    [("bracket", Around::Bracket), ("trial", Around::Trial)]
        .into_iter()
        .flat_map(|(prefix, around)| {
            let tests = all.iter().copied().flatten();
            let is_meant = move |test: &&Test| {
                let mut except = EXCEPT.iter();
                !except.any(|(name, places, _)| *name == test.name && places.contains(&around))
            };
            tests.filter(is_meant).map(move |test| {
                let name = format!("{prefix}::{}", test.name);
                let test = Test {
                    name: name.leak(),
                    ..*test
                };
                (test, around)
            })
        })
        .collect()
}

/// Requests of a connection.
const REQUESTS: u64 = 300;
/// Connections.
const CONNECTIONS: u32 = 3;

/// The memory for records, and its descriptor, which servers inherit.
pub struct Memory {
    file: File,
}

impl Memory {
    /// Creates it; calls are recorded.
    pub fn new() -> anyhow::Result<Self> {
        let fd: OwnedFd = rustix::fs::memfd_create("records", MemfdFlags::ALLOW_SEALING)?;
        let file = File::from(fd);
        file.set_len(size_of::<Shared>() as u64)?;
        file.write_all_at(&MAGIC.to_le_bytes(), 0)?;
        file.write_all_at(&[1], offset_of!(Shared, is_recording) as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
        Ok(Self { file })
    }

    /// Puts a program into the trial, with the bracket around a hook.
    pub fn put_into(&self, kit: &Kit, hook: &Path, command: &mut Command) {
        let preload = [kit.path("front.so"), hook.to_owned(), kit.path("back.so")];
        let preload = preload.map(|path| path.display().to_string()).join(":");
        command
            .env("LD_PRELOAD", preload)
            .env("HOOKPROBE_TRIAL", TRIAL)
            .env("HOOKPROBE_RECORDS", self.descriptor().to_string());
    }

    /// The number of its descriptor, which children inherit.
    pub fn descriptor(&self) -> i32 {
        self.file.as_raw_fd()
    }

    fn words<const COUNT: usize>(&self, offset: usize) -> anyhow::Result<[u64; COUNT]> {
        let mut words = [0; COUNT];
        for (word, place) in words.iter_mut().zip((offset as u64..).step_by(8)) {
            let mut bytes = [0; 8];
            self.file.read_exact_at(&mut bytes, place)?;
            *word = u64::from_le_bytes(bytes);
        }
        Ok(words)
    }

    /// By [`Count`].
    pub fn counts(&self) -> anyhow::Result<[u64; Count::COUNT]> {
        self.words(offset_of!(Shared, counts))
    }

    /// By [`ArmCount`].
    pub fn of_arm(&self, arm: usize) -> anyhow::Result<[u64; ArmCount::COUNT]> {
        self.words(offset_of!(Shared, by_arm) + arm * size_of::<[u64; ArmCount::COUNT]>())
    }

    /// All records; each must be whole.
    pub fn calls(&self) -> anyhow::Result<Vec<Call>> {
        let mut calls = Vec::new();
        for ring in 0..RINGS {
            let head = offset_of!(Shared, heads) + ring * size_of::<Head>();
            let [written] = self.words(head)?;
            let slots = offset_of!(Shared, rings) + ring * size_of::<Ring>();
            for number in 0..written {
                let slot = slots + usize::try_from(number)? * 8 * WORDS;
                let [sequence, words @ .., checksum] = self.words::<WORDS>(slot)?;
                let slot = Slot {
                    sequence,
                    words,
                    checksum,
                };
                calls.push(slot.decode(number).context("a torn record")?);
            }
        }
        Ok(calls)
    }
}

/// A trial that a server is in.
struct Run {
    trial: Trial,
    memory: Memory,
    server: Server,
}

impl Run {
    /// Starts `sut` with the bracket around a hook.
    fn start(kit: &Kit, hook: &Path) -> anyhow::Result<Self> {
        let memory = Memory::new()?;
        let mut command = kit.command("sut");
        command.arg("--quiet");
        memory.put_into(kit, hook, &mut command);
        let trial = Trial::parse(TRIAL.as_bytes())?;
        let server = Server::start(command)?;
        Ok(Self {
            trial,
            memory,
            server,
        })
    }

    /// A request, of the size of all.
    fn request(&self, salt: u64) -> Vec<u8> {
        let mut head = format!("GET / HTTP/1.1\r\n{SALT_FIELD}: {salt:016x}\r\nX-Pad: ");
        let padding = self.trial.size as usize - head.len() - 4;
        head.extend(std::iter::repeat_n('x', padding));
        head.push_str("\r\n\r\n");
        head.into_bytes()
    }

    /// Sends a request, and reads the answer.
    fn ask(&self, stream: &mut TcpStream, salt: u64) -> anyhow::Result<()> {
        self.ask_together(stream, &[salt])
    }

    /// Sends requests at once, and reads the answers.
    fn ask_together(&self, stream: &mut TcpStream, salts: &[u64]) -> anyhow::Result<()> {
        const ANSWER: &str = "Hello World";
        let requests = salts.iter().map(|salt| self.request(*salt));
        stream.write_all(&requests.collect::<Vec<_>>().concat())?;
        let mut answers = Vec::new();
        let mut chunk = [0; 512];
        while String::from_utf8_lossy(&answers).matches(ANSWER).count() < salts.len() {
            let length = stream.read(&mut chunk)?;
            ensure!(length > 0, "the server has closed");
            answers.extend_from_slice(&chunk[..length]);
        }
        Ok(())
    }

    /// Checks that the server has counted so many requests of each arm, each read by one call.
    fn check_counted(&self, expected: [u64; MAX_ARMS]) -> anyhow::Result<()> {
        let size = u64::from(self.trial.size);
        for (arm, requests) in expected.into_iter().enumerate() {
            let counted = self.memory.of_arm(arm)?;
            ensure!(
                counted == [requests, requests, 0, requests * size],
                "arm {arm}: {counted:?}, not {requests}"
            );
        }
        Ok(())
    }

    /// Sends all requests; returns how many each arm must have.
    fn ask_all(&self) -> anyhow::Result<[u64; MAX_ARMS]> {
        let mut expected = [0; MAX_ARMS];
        for connection in 0..CONNECTIONS {
            let salt = self.trial.salt(connection);
            let mut stream = self.server.connect()?;
            for ordinal in 0..REQUESTS {
                self.ask(&mut stream, if ordinal == 0 { salt } else { 0 })?;
                if let Some(arm) = self.trial.arm_of(salt, ordinal) {
                    expected[arm] += 1;
                }
            }
        }
        Ok(expected)
    }
}

fn counts_and_records(kit: &Kit) -> anyhow::Result<()> {
    let run = Run::start(kit, &kit.path("readhook.so"))?;
    let expected = run.ask_all()?;
    // One connection more is the one by which the start of the server was waited for, and one carries no salt.
    run.ask(&mut run.server.connect()?, 0)?;
    let connections = u64::from(CONNECTIONS);
    let counts = run.memory.counts()?;
    ensure!(
        counts == [connections + 2, connections + 1, 1, 0, 0, 1, 0, 0],
        "{counts:?}"
    );
    run.check_counted(expected)?;
    let calls = run.memory.calls()?;
    ensure!(calls.len() as u64 == connections * (REQUESTS - 1));
    for call in &calls {
        let arm = run.trial.arm_of(call.salt, u64::from(call.ordinal));
        ensure!(arm == Some(usize::from(call.arm)), "{call:?}");
        let delay_ns = run.trial.arms()[usize::from(call.arm)].delay_ns();
        ensure!(
            call.flags == Call::REACHED_BACK | Call::FRESH
                && call.function == 0
                && call.returned == run.trial.size
                && u64::from(call.waited_ns) >= delay_ns,
            "{call:?}"
        );
    }
    Ok(())
}

/// A hook without sites that reads by the system call.
const RAW: &str = "\
#include <sys/syscall.h>
#include <unistd.h>
ssize_t read(int fd, void *buffer, size_t count) { return syscall(SYS_read, fd, buffer, count); }
";

/// A hook without sites that does nothing.
const PLAIN: &str = "\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
ssize_t read(int fd, void *buffer, size_t count) {
    return ((ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, \"read\"))(fd, buffer, count);
}
";

fn traces(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let plain = compile_c(folder.path(), PLAIN, &["-shared", "-fPIC"])?;
    let run = Run::start(kit, &plain)?;
    let trace = Trace::start(kit, &["--pid", &run.server.pid().to_string()])?;
    let mut stream = run.server.connect()?;
    for ordinal in 0..REQUESTS {
        let salt = if ordinal == 0 { run.trial.salt(0) } else { 0 };
        run.ask(&mut stream, salt)?;
    }
    let trace = trace.end()?;
    // The first request, which belongs to no arm, is among them.
    let site = &trace["ledger"]["probes"]["site_read_done"];
    ensure!(
        site["hits"] == REQUESTS && site["recorded"] == REQUESTS,
        "{site}"
    );
    for span in ["hook_overhead", "hooked_read_syscall"] {
        let count = &trace["spans"][span]["count"];
        ensure!(*count == REQUESTS, "{span}: {count}");
    }
    Ok(())
}

fn sees_who_goes_past(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let raw = compile_c(folder.path(), RAW, &["-shared", "-fPIC"])?;
    let run = Run::start(kit, &raw)?;
    let expected = run.ask_all()?;
    for (arm, requests) in expected.into_iter().enumerate() {
        let is_hooked = run.trial.arms().get(arm).is_some_and(|arm| arm.is_hooked());
        let unreached = if is_hooked { requests } else { 0 };
        let counted = run.memory.of_arm(arm)?;
        ensure!(
            counted[..3] == [requests, requests, unreached],
            "arm {arm}: {counted:?}"
        );
    }
    for call in run.memory.calls()? {
        let is_hooked = run.trial.arms()[usize::from(call.arm)].is_hooked();
        let reached = if is_hooked { 0 } else { Call::REACHED_BACK };
        ensure!(call.flags == reached | Call::FRESH, "{call:?}");
    }
    Ok(())
}

/// A hook whose `read` calls another function of the family by its name, twice.
const SIBLING: &str = "\
#include <sys/socket.h>
#include <unistd.h>
ssize_t read(int fd, void *buffer, size_t count) {
    ssize_t first = recv(fd, buffer, 1, 0);
    if (first <= 0)
        return first;
    ssize_t rest = recv(fd, (char *)buffer + first, count - first, MSG_DONTWAIT);
    return rest < 0 ? first : first + rest;
}
";

fn counts_once(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let sibling = compile_c(folder.path(), SIBLING, &["-shared", "-fPIC"])?;
    let run = Run::start(kit, &sibling)?;
    let expected = run.ask_all()?;
    run.check_counted(expected)?;
    for call in run.memory.calls()? {
        let is_hooked = run.trial.arms()[usize::from(call.arm)].is_hooked();
        let several = if is_hooked { Call::SEVERAL_INNER } else { 0 };
        ensure!(
            call.function == 0 && call.flags == several | Call::REACHED_BACK | Call::FRESH,
            "{call:?}"
        );
    }
    Ok(())
}

/// See the library.
const DEFINES_ALL: &str = include_str!("c/defines_all.c");

fn asks_no_hook(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let hook = compile_c(folder.path(), DEFINES_ALL, &["-shared", "-fPIC", "-ldl"])?;
    let run = Run::start(kit, &hook)?;
    let expected = run.ask_all()?;
    run.check_counted(expected)?;
    let calls = run.memory.calls()?;
    ensure!(calls.len() as u64 == u64::from(CONNECTIONS) * (REQUESTS - 1));
    Ok(())
}

fn counts_pipelined(kit: &Kit) -> anyhow::Result<()> {
    let run = Run::start(kit, &kit.path("readhook.so"))?;
    let salt = run.trial.salt(0);
    let mut stream = run.server.connect()?;
    run.ask(&mut stream, salt)?;
    // Requests 1 and 2 have the arm of 1. The one behind them has its own again.
    run.ask_together(&mut stream, &[0, 0])?;
    run.ask(&mut stream, 0)?;
    let counts = run.memory.counts()?;
    ensure!(counts == [2, 1, 0, 0, 1, 1, 0, 0], "{counts:?}");
    let mut expected = [[0; 2]; MAX_ARMS];
    for (ordinal, sizes) in [(1, 2), (3, 1)] {
        let arm = run.trial.arm_of(salt, ordinal).context("no arm")?;
        expected[arm][0] += 1;
        expected[arm][1] += sizes * u64::from(run.trial.size);
    }
    for (arm, [requests, bytes]) in expected.into_iter().enumerate() {
        let counted = run.memory.of_arm(arm)?;
        ensure!(
            counted == [requests, requests, 0, bytes],
            "arm {arm}: {counted:?}, not {requests}"
        );
    }
    Ok(())
}

/// See the program.
const NESTED: &str = include_str!("c/nested.c");

fn nested(kit: &Kit) -> anyhow::Result<()> {
    const REQUESTS: u64 = 400;
    let folder = kit.scratch()?;
    let program = compile_with_connections(folder.path(), NESTED, &["-Wno-unused-function"])?;
    let trial = Trial::parse(TRIAL.as_bytes())?;
    let salts = [trial.salt(0), trial.salt(1)];
    let memory = Memory::new()?;
    let mut command = Command::new(&program);
    command
        .args(salts.map(|salt| format!("{salt:016x}")))
        .arg(REQUESTS.to_string())
        .env("READHOOK_FUNCTIONS", "read,recv,recvfrom,recvmsg,readv");
    memory.put_into(kit, &kit.path("readhook.so"), &mut command);
    let handled: u64 = String::from_utf8(succeed(&mut command)?.stdout)?
        .trim()
        .parse()?;
    // Half of the requests were sent by the handler.
    ensure!(handled >= REQUESTS / 2, "{handled}");
    let counts = memory.counts()?;
    ensure!(counts == [2, 2, 0, 0, 0, 1, 0, 0], "{counts:?}");
    // Of the one connection a request is read in two calls, of the other in one.
    let mut expected = [[0; 2]; MAX_ARMS];
    for (salt, requests, calls) in [(salts[0], REQUESTS, 2), (salts[1], handled, 1)] {
        for arm in (1..=requests).filter_map(|ordinal| trial.arm_of(salt, ordinal)) {
            expected[arm][0] += 1;
            expected[arm][1] += calls;
        }
    }
    for (arm, [requests, calls]) in expected.into_iter().enumerate() {
        let counted = memory.of_arm(arm)?;
        let bytes = requests * u64::from(trial.size);
        ensure!(
            counted == [requests, calls, 0, bytes],
            "arm {arm}: {counted:?}, not {requests}"
        );
    }
    for call in memory.calls()? {
        let function = if call.salt == salts[1] {
            0
        } else {
            u8::try_from((call.ordinal - 1) % 5)?
        };
        ensure!(
            call.function == function && call.flags & !Call::FRESH == Call::REACHED_BACK,
            "{call:?}"
        );
    }
    Ok(())
}

fn passes_through_on_nonsense(kit: &Kit) -> anyhow::Result<()> {
    let all = ["front.so", "readhook.so", "back.so"];
    for (libraries, trial, records, named) in [
        (&all[..], "seed=1", "", "size="),
        (&all[..], TRIAL, "0", "HOOKPROBE_RECORDS"),
        (&all[..], TRIAL, "fd", "HOOKPROBE_RECORDS"),
        (&all[..2], TRIAL, "", "back.so"),
        (
            &["back.so", "front.so", "readhook.so"],
            TRIAL,
            "",
            "back.so",
        ),
    ] {
        let preload: Vec<String> = libraries
            .iter()
            .map(|name| kit.path(name).display().to_string())
            .collect();
        let mut cat = Command::new("cat");
        cat.arg("/proc/self/status")
            .env("LD_PRELOAD", preload.join(":"))
            .env("HOOKPROBE_TRIAL", trial)
            .env("HOOKPROBE_RECORDS", records);
        let output = succeed(&mut cat)?;
        let stderr = String::from_utf8(output.stderr)?;
        ensure!(
            stderr.lines().count() == 1
                && stderr.starts_with("hookprobe front: ")
                && stderr.contains(named),
            "{stderr}"
        );
        ensure!(output.stdout.starts_with(b"Name:\tcat"));
    }
    Ok(())
}
