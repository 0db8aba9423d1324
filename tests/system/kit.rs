//! What the tests share: the installed programs, children that die with their test, waiting.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use runlog::table::{Row, Rows};

use crate::failures;
use crate::install;
use crate::ports::free_port;

/// Programs that a kit links to.
const LINKED: [&str; 3] = ["probe-user", "loadgen", "bench"];
/// Libraries that each kit has its own copies of, as it has of the server: a probe fires in every process that maps the
/// probed file.
const COPIED: [&str; 3] = ["readhook.so", "front.so", "back.so"];

/// The programs, installed side by side in a folder that every user can read. Each test has a kit of its own, by whose
/// path its processes are known.
#[derive(Debug)]
pub struct Kit {
    folder: tempfile::TempDir,
    /// The parent of folders that tests share.
    lasting: PathBuf,
    is_emulated: bool,
    around: Around,
}

/// What stands around the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// Nothing.
    Nothing,
    /// The bracket, without a trial.
    Bracket,
    /// The bracket, in a trial.
    Trial,
}

/// A trial.
pub const TRIAL: &str = "seed=1 size=256 run=1 arms=off,null,on,on+1000";

/// How long anything may take that should happen soon.
pub const SOON: Duration = Duration::from_mins(2);
/// How long any one command may take.
const PATIENCE: Duration = Duration::from_mins(3);

impl Kit {
    /// Copies the programs. An emulated machine is one where everything takes ten times as long.
    pub fn install(programs: &Path, is_emulated: bool) -> anyhow::Result<Self> {
        let kit = Self::empty(is_emulated)?;
        for name in LINKED.iter().chain(&["sut"]).chain(&COPIED) {
            let from = programs.join(name);
            install::program(&from, kit.path(name))
                .with_context(|| format!("{} is missing; run cargo xtask build", from.display()))?;
        }
        Ok(kit)
    }

    /// A kit for one test, of the same programs.
    pub fn for_test(&self) -> anyhow::Result<Self> {
        let mut kit = Self::empty(self.is_emulated)?;
        kit.lasting.clone_from(&self.lasting);
        for name in LINKED {
            fs::hard_link(self.path(name), kit.path(name))?;
        }
        install::program(self.path("sut"), kit.path("sut"))?;
        for name in COPIED {
            fs::copy(self.path(name), kit.path(name))?;
        }
        Ok(kit)
    }

    fn empty(is_emulated: bool) -> anyhow::Result<Self> {
        // Nobody else can know the name before, and put a folder or a link of theirs there.
        let folder = tempfile::Builder::new()
            .prefix("hookprobe-tests-")
            .tempdir()?;
        let root = folder.path();
        // The unprivileged tests run from here. Anybody may make files in the last, as in /tmp.
        for (path, mode) in [
            (root.to_owned(), 0o755),
            (root.join("bin"), 0o755),
            (root.join("scratch"), 0o1777),
        ] {
            fs::create_dir_all(&path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(Self {
            lasting: root.join("scratch"),
            folder,
            is_emulated,
            around: Around::Nothing,
        })
    }

    /// The same, with this around the hook.
    pub fn with(mut self, around: Around) -> Self {
        self.around = around;
        self
    }

    /// What is preloaded to have the hook in a program, in this order.
    pub fn preloaded(&self) -> Vec<PathBuf> {
        let names: &[&str] = match self.around {
            Around::Nothing => &["readhook.so"],
            Around::Bracket | Around::Trial => &["front.so", "readhook.so", "back.so"],
        };
        names.iter().map(|name| self.path(name)).collect()
    }

    /// The same, as `LD_PRELOAD` has it.
    pub fn preload(&self) -> OsString {
        let paths = self.preloaded();
        let paths: Vec<&OsStr> = paths.iter().map(|path| path.as_os_str()).collect();
        paths.join(OsStr::new(":"))
    }

    /// The variables that a program with the hook has.
    pub fn hook(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![("LD_PRELOAD", self.preload())];
        if self.around == Around::Trial {
            variables.push(("HOOKPROBE_TRIAL", TRIAL.into()));
        }
        variables
    }

    /// What the hook sees of what it would see by itself: all, but in a trial nothing, unless connections carry its salts.
    pub fn seen<'s, T>(&self, all: &'s [T]) -> &'s [T] {
        match self.around {
            Around::Nothing | Around::Bracket => all,
            Around::Trial => &[],
        }
    }

    /// Whether this machine is emulated: what is repeated to be sure is then repeated less, and what other machines do
    /// as well is left to them.
    pub fn is_emulated(&self) -> bool {
        self.is_emulated
    }

    /// Removes them. For a kit that lives as long as the process, and so is never dropped.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(self.folder.path());
    }

    /// Path of an installed program or of the hook.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("bin").join(name)
    }

    /// A command that runs an installed program.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command
            .stdin(Stdio::null())
            .env_remove(failures::BACKTRACES)
            .env_remove("SERVER_PORT")
            .env_remove("SUDO_UID")
            .env_remove("SUDO_GID");
        command
    }

    /// A bench of whole servers whose micro layer is as short as can be. Options that follow may say otherwise.
    pub fn bench(&self) -> Command {
        let mut command = self.command("probe-user");
        command.args([
            "bench",
            "--order=rmit",
            "--seed=1",
            "--micro-calls=50",
            "--micro-cold-calls=2",
        ]);
        command
    }

    /// A new folder that goes away with the value.
    pub fn scratch(&self) -> anyhow::Result<tempfile::TempDir> {
        scratch_in(&self.folder.path().join("scratch"))
    }

    /// A new folder that goes away when all tests have ended.
    pub fn lasting(&self) -> anyhow::Result<PathBuf> {
        Ok(scratch_in(&self.lasting)?.keep())
    }

    /// Starts `sut` with the hook, and with a C library of its own, as a probe fires in every process that maps the
    /// probed file.
    pub fn sut_with_own_libc(&self) -> anyhow::Result<Server> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        let mut mapped = maps
            .lines()
            .filter_map(|line| line.find('/').map(|at| &line[at..]));
        let libc = mapped.find(|path| path.ends_with("/libc.so.6"));
        let libc = libc.context("this program has no libc.so.6")?;
        let folder = self.path("lib");
        fs::create_dir_all(&folder)?;
        fs::copy(libc, folder.join("libc.so.6"))?;
        let folder = folder.to_str().context("a folder is not UTF-8")?;
        self.sut(Some(&[("LD_LIBRARY_PATH", folder)]), &["--quiet"])
    }

    /// Starts `sut`, with the hook if `hook` says so.
    pub fn sut(&self, hook: Option<&[(&str, &str)]>, arguments: &[&str]) -> anyhow::Result<Server> {
        let mut command = self.command("sut");
        command.args(arguments);
        if let Some(settings) = hook {
            command.envs(self.hook());
            command.envs(settings.iter().copied());
        }
        Server::start(command)
    }
}

fn scratch_in(folder: &Path) -> anyhow::Result<tempfile::TempDir> {
    let scratch = tempfile::tempdir_in(folder)?;
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777))?;
    Ok(scratch)
}

/// A server that ends with the value.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub process: Running,
    /// The port that it listens on.
    pub port: u16,
}

impl Server {
    /// Starts a server that takes its port from `SERVER_PORT`, and waits until it listens.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let port = free_port()?;
        command.env("SERVER_PORT", port.to_string());
        let process = Running::start(command)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_for("the server to listen", || {
            Ok(TcpStream::connect(address).is_ok())
        })?;
        Ok(Self { process, port })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A connection to it.
    pub fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(stream)
    }
}

/// A child that is killed when the value goes away.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it. Its stdout is thrown away unless the command says otherwise.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let child = command.stdout(Stdio::null()).spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// Starts it with a file as its stdin. Its stdout is thrown away.
    pub fn start_with_input(command: &mut Command, input: fs::File) -> anyhow::Result<Self> {
        let child = command.stdin(input).stdout(Stdio::null()).spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// Starts it with its output kept for [`Running::output`].
    pub fn start_piped(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// Starts it to be talked to: [`Running::tell`], [`Running::hear`].
    pub fn start_talking(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// Writes to its stdin.
    pub fn tell(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("stdin is not piped")?;
        Ok(stdin.write_all(bytes)?)
    }

    /// Reads so many bytes from its stdout.
    pub fn hear(&mut self, count: usize) -> anyhow::Result<Vec<u8>> {
        let stdout = self.child.stdout.as_mut().context("stdout is not piped")?;
        let mut heard = vec![0; count];
        stdout.read_exact(&mut heard)?;
        Ok(heard)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(pid(self.pid())?, signal)?)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let mut status = None;
        wait_for("a child to end", || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        status.context("no status")
    }

    /// Waits for its end and returns what it printed. A child that takes too long is killed, and is
    /// an error.
    pub fn output(mut self) -> anyhow::Result<Output> {
        let stdout = read_aside(self.child.stdout.take());
        let stderr = read_aside(self.child.stderr.take());
        let give_up = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > give_up {
                self.child.kill()?;
                let said = stderr.join().unwrap_or_default();
                bail!(
                    "no end after {} s: {}",
                    PATIENCE.as_secs(),
                    String::from_utf8_lossy(&said)
                );
            }
            thread::sleep(Duration::from_millis(2));
        };
        Ok(Output {
            status,
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
        })
    }

    /// Reads its stdout up to and with a line that is the last one wanted.
    pub fn read_until(&mut self, mut is_last: impl FnMut(&str) -> bool) -> anyhow::Result<Vec<u8>> {
        let pipe = self.child.stdout.as_mut().context("stdout is not piped")?;
        let (mut seen, mut start) = (Vec::new(), 0);
        let mut byte = [0];
        while pipe.read(&mut byte)? > 0 {
            seen.push(byte[0]);
            if byte == *b"\n" {
                if is_last(std::str::from_utf8(&seen[start..])?) {
                    return Ok(seen);
                }
                start = seen.len();
            }
        }
        bail!("ended too soon: {}", String::from_utf8_lossy(&seen))
    }

    /// Waits for a line on its stderr that contains `text`.
    pub fn wait_for_stderr(&mut self, text: &str) -> anyhow::Result<()> {
        let pipe = self.child.stderr.as_mut().context("stderr is not piped")?;
        let mut seen = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(text) {
            if pipe.read(&mut byte)? == 0 {
                bail!(
                    "ended without \"{text}\": {}",
                    String::from_utf8_lossy(&seen)
                );
            }
            seen.push(byte[0]);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process number for system calls.
pub fn pid(pid: u32) -> anyhow::Result<Pid> {
    Pid::from_raw(i32::try_from(pid)?).context("not a process number")
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

/// Reads a pipe to its end in a thread of its own.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> anyhow::Result<Output> {
    Running::start_piped(command)?
        .output()
        .with_context(|| format!("{command:?}"))
}

/// What came of a command, in words.
pub fn describe(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command; an error with its output if it fails.
#[track_caller]
pub fn succeed(command: &mut Command) -> anyhow::Result<Output> {
    let output = output(command)?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}",
        describe(&output)
    );
    Ok(output)
}

/// Runs a command that must fail with this exit code and say all of these texts on stderr.
#[track_caller]
pub fn fail(command: &mut Command, code: i32, texts: &[&str]) -> anyhow::Result<()> {
    let output = output(command)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "{command:?} ended with {}, not {code}: {stderr}",
        output.status
    );
    for text in texts {
        ensure!(
            stderr.contains(text),
            "{command:?} does not say \"{text}\": {stderr}"
        );
    }
    ensure!(
        !stderr.contains("panicked"),
        "{command:?} panicked: {stderr}"
    );
    Ok(())
}

/// Waits until something is so.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let give_up = Instant::now() + SOON;
    let mut pause = Duration::from_micros(100);
    while !is_so()? {
        if Instant::now() > give_up {
            bail!("waited {} s for {what}", SOON.as_secs());
        }
        // What is waited for is a state of other processes and their files, and most of it wakes nobody.
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until a log that is being written has more than so many rows. No further ones are counted: they may come faster
/// than that.
pub fn wait_for_rows<T: Row>(log: &Path, more_than: usize) -> anyhow::Result<()> {
    wait_for("rows", || {
        let rows = Rows::<T>::open(log);
        Ok(rows.is_ok_and(|rows| rows.flatten().take(more_than + 1).count() > more_than))
    })
}

/// Options of `probe-user` by which it sees every call on this kernel.
///
/// 7.3 preempts the programs of tracepoints and of fentry, and passes a hit over while the same program is
/// preempted on that CPU. The ledger counts these, and where a program takes as long as in an emulated
/// machine there are many. kprobes are not preempted.
pub fn exact_kernel_probe() -> &'static [&'static str] {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let major = release
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= 7) {
        &["--kernel-probe=kprobe"]
    } else {
        &[]
    }
}

/// Hits that the kernel has passed over, by a ledger.
pub fn recursion_misses(ledger: &serde_json::Value) -> u64 {
    let programs = ledger["programs"].as_object();
    let misses = programs
        .into_iter()
        .flatten()
        .map(|(_, program)| &program["recursion_misses"]);
    misses.filter_map(serde_json::Value::as_u64).sum()
}

/// The clock that everything is logged in.
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The JSON on a command's stdout.
pub fn json(output: &Output) -> anyhow::Result<serde_json::Value> {
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&output.stdout)))
}

/// The published schemas, by name. Built in, as the tests run on other machines too.
const SCHEMAS: &[(&str, &str)] = &[
    (
        "agent-arms",
        include_str!("../../docs/schema/agent-arms.json"),
    ),
    (
        "agent-run",
        include_str!("../../docs/schema/agent-run.json"),
    ),
    (
        "agent-runs",
        include_str!("../../docs/schema/agent-runs.json"),
    ),
    ("analysis", include_str!("../../docs/schema/analysis.json")),
    (
        "calibration",
        include_str!("../../docs/schema/calibration.json"),
    ),
    (
        "comparison",
        include_str!("../../docs/schema/comparison.json"),
    ),
    ("settings", include_str!("../../docs/schema/settings.json")),
    (
        "correlation",
        include_str!("../../docs/schema/correlation.json"),
    ),
    ("load", include_str!("../../docs/schema/load.json")),
    (
        "load-live",
        include_str!("../../docs/schema/load-live.json"),
    ),
    ("manifest", include_str!("../../docs/schema/manifest.json")),
    ("merged", include_str!("../../docs/schema/merged.json")),
    ("micro", include_str!("../../docs/schema/micro.json")),
    ("trace", include_str!("../../docs/schema/trace.json")),
    (
        "trace-interval",
        include_str!("../../docs/schema/trace-interval.json"),
    ),
    ("a-a", include_str!("../../docs/schema/a-a.json")),
    ("coverage", include_str!("../../docs/schema/coverage.json")),
    (
        "truth-blind",
        include_str!("../../docs/schema/truth-blind.json"),
    ),
    (
        "trial-counts",
        include_str!("../../docs/schema/trial-counts.json"),
    ),
    ("truth", include_str!("../../docs/schema/truth.json")),
    ("doctor", include_str!("../../docs/schema/doctor.json")),
];

/// Checks a value against a published schema.
#[track_caller]
pub fn check_schema(value: &serde_json::Value, name: &str) -> anyhow::Result<()> {
    let (_, schema) = SCHEMAS
        .iter()
        .find(|(known, _)| *known == name)
        .with_context(|| format!("no schema {name}"))?;
    let schema = serde_json::from_str(schema)?;
    if let Err(error) = jsonschema::validate(&schema, value) {
        bail!(
            "does not fit the schema {name}: {error} at {}",
            error.instance_path()
        );
    }
    Ok(())
}

/// Compiles a C program with `cc`.
pub fn compile_c(folder: &Path, source: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
    let file = folder.join("program.c");
    let program = folder.join("program");
    fs::write(&file, source)?;
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-o"])
        .arg(&program)
        .arg(&file)
        .args(options);
    succeed(&mut cc)?;
    Ok(program)
}
