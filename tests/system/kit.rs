//! What the tests share: the installed programs, servers, waiting.

mod child;
mod schema;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use runlog::table::{Row, Rows};

pub use self::child::{Running, describe, fail, is_alive, json, output, pid, succeed};
pub use self::schema::check_schema;
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
