//! The arms: servers that differ in their hook alone.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use runlog::manifest::{self, Placement};
use runlog::{Role, RunDirectory};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::run::process::{Process, Spawn};
use probes::discover::elf::Elf;
use probes::discover::mapped::mapped_code;
use probes::discover::ports;
use probes::discover::processes::{self, Pid};
use probes::discover::sites::{LoadedHook, loaded_hook};

/// How long a server may take until it accepts connections. A Java server takes seconds.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The hook of an arm.
#[derive(Clone, Debug)]
pub struct HookSpec {
    /// The library.
    pub path: PathBuf,
    /// Its settings.
    pub environment: Vec<(String, String)>,
}

/// An arm to start.
#[derive(Clone, Debug)]
pub struct ArmSpec {
    /// Its name.
    pub name: String,
    /// Its part in the run.
    pub role: Role,
    /// Its hook, or none.
    pub hook: Option<HookSpec>,
    /// Further settings of the hook, which no file of the run says: who reads the run is not to know
    /// them.
    pub sealed: Vec<(String, String)>,
}

impl ArmSpec {
    /// The arm of a role that is played once.
    pub fn of(role: Role, hook: Option<HookSpec>) -> Self {
        Self {
            name: role.name().to_owned(),
            role,
            hook,
            sealed: Vec::new(),
        }
    }
}

/// How servers are started.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Program and arguments. `{port}` in an argument becomes the port; so does `SERVER_PORT` in
    /// the environment.
    pub command: Vec<OsString>,
    /// Port of the first arm; the next arms follow. `None` takes free ones.
    pub port: Option<u16>,
    /// What requests ask for.
    pub path: String,
}

/// A running arm.
#[derive(Debug)]
pub struct Arm {
    /// What was asked for.
    pub spec: ArmSpec,
    /// The servers.
    pub processes: Vec<Process>,
    /// Where requests to each go.
    pub urls: Vec<String>,
    /// The processes that serve its port: the one that was started, or what it has started.
    pub servers: Vec<Server>,
}

/// A process that serves requests.
#[derive(Debug)]
pub struct Server {
    /// Its number.
    pub pid: Pid,
    /// The hook that it has loaded, if that has probe sites and we may look.
    pub hook: Option<LoadedHook>,
}

impl Arm {
    /// An arm without a server.
    pub fn new(spec: ArmSpec) -> Self {
        Self {
            spec,
            processes: Vec::new(),
            urls: Vec::new(),
            servers: Vec::new(),
        }
    }

    /// What the manifest says of it.
    pub fn describe(&self) -> manifest::Arm {
        let hook = self.spec.hook.as_ref();
        manifest::Arm {
            name: self.spec.name.clone(),
            role: Some(self.spec.role),
            url: self.urls.first().cloned().unwrap_or_default(),
            pids: self.servers.iter().map(|server| server.pid).collect(),
            hook: hook.map(|hook| hook.path.display().to_string()),
            hook_environment: hook
                .iter()
                .flat_map(|hook| &hook.environment)
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        }
    }
}

/// Checks what can be checked before anything is started.
pub fn check(server: &ServerSpec, specs: &[ArmSpec], servers: u32) -> anyhow::Result<()> {
    let program = server
        .command
        .first()
        .context("the server's command is empty")?;
    let program = find_program(Path::new(program))?;
    let hooked = specs.iter().any(|spec| spec.hook.is_some());
    // A script is fine: what it starts inherits LD_PRELOAD.
    if hooked
        && let Ok(elf) = Elf::open(&program)
        && !elf.is_dynamic_executable()?
    {
        bail!(
            "{} is statically linked: the dynamic linker never runs, so no hook can be preloaded \
             into it",
            program.display()
        );
    }
    for spec in specs {
        let Some(hook) = &spec.hook else { continue };
        check_hook_file(&hook.path)?;
    }
    if let Some(first) = server.port {
        let all = specs.len() * servers as usize;
        for offset in 0..u16::try_from(all).unwrap_or(u16::MAX) {
            let port = first
                .checked_add(offset)
                .context("--port is too high for all the arms")?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                .with_context(|| format!("port {port} cannot be used; choose another --port"))?;
        }
    }
    Ok(())
}

/// Checks that a library can be preloaded and hooks `read`.
pub fn check_hook_file(path: &Path) -> anyhow::Result<()> {
    if path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b' ' | b':'))
    {
        bail!(
            "{}: LD_PRELOAD takes spaces and colons for separators; give the hook (--hook) a path \
                 without",
            path.display()
        );
    }
    let elf = Elf::open(path).context("the hook (--hook) cannot be used")?;
    if !elf.defines("read")? {
        bail!(
            "{}: defines no function \"read\", so it hooks nothing",
            path.display()
        );
    }
    Ok(())
}

/// A program by path, or by name on the PATH.
fn find_program(program: &Path) -> anyhow::Result<PathBuf> {
    if program.components().count() > 1 {
        if !program.is_file() {
            bail!("there is no server program {}", program.display());
        }
        return Ok(program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!(
                "there is no server program {} on the PATH",
                program.display()
            )
        })
}

/// Starts a server of an arm and waits until it accepts connections. `started` servers of any arm were
/// started before.
pub async fn start(
    server: &ServerSpec,
    arm: &mut Arm,
    started: u16,
    run: &RunDirectory,
    placement: &Placement,
) -> anyhow::Result<()> {
    let port = match server.port {
        Some(first) => first + started,
        None => ports::free()?,
    };
    let spec = &arm.spec;
    let name = format!("server of arm {}", spec.name);
    let log = match arm.processes.len() {
        0 => format!("server-{}", spec.name),
        others => format!("server-{}.{}", spec.name, others + 1),
    };
    let mut arguments = server
        .command
        .iter()
        .map(|argument| with_port(argument, port));
    let mut command = Command::new(arguments.next().unwrap_or_default());
    command
        .args(arguments)
        .env("SERVER_PORT", port.to_string())
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Some(hook) = &spec.hook {
        let path = std::path::absolute(&hook.path)?;
        command
            .env("LD_PRELOAD", path)
            .envs(hook.environment.iter().cloned())
            .envs(spec.sealed.iter().cloned());
    }
    let spawn = Spawn {
        name: &name,
        cpus: &placement.sut_cpus,
        placement,
        log: run.process_log(&log),
    };
    let mut process = spawn.start(command)?;
    wait_until_ready(&mut process, port).await?;

    let pid = process.pid().context("the server has ended")?;
    let servers = serving_processes(pid, port)?;
    if let Some(hook) = &spec.hook {
        check_hook(hook, &servers, &process)?;
    }
    arm.urls
        .push(format!("http://127.0.0.1:{port}{}", server.path));
    arm.processes.push(process);
    arm.servers.extend(servers);
    Ok(())
}

/// The processes that listen on the port. A script may have started them.
fn serving_processes(started: Pid, port: u16) -> anyhow::Result<Vec<Server>> {
    let listening = processes::by_port(port)?;
    let servers: Vec<Server> = listening
        .iter()
        .filter(|pid| processes::descends_from(**pid, started))
        .map(|pid| Server {
            pid: *pid,
            // Without privileges its files cannot be reached, and the probes will say so.
            hook: loaded_hook(*pid).unwrap_or_default(),
        })
        .collect();
    if servers.is_empty() {
        bail!("port {port} is served by process {listening:?}, which is not what was started");
    }
    Ok(servers)
}

/// Checks that the hook is where it should be and does what it should: a hook that silently does
/// nothing would be measured as one that costs nothing.
fn check_hook(hook: &HookSpec, servers: &[Server], process: &Process) -> anyhow::Result<()> {
    if let Some(complaint) = complaint(&process.said()) {
        bail!("{complaint}");
    }
    let path = fs::canonicalize(&hook.path)
        .with_context(|| format!("cannot find {}", hook.path.display()))?;
    let has_mapped = |server: &Server| {
        mapped_code(server.pid).is_ok_and(|files| files.iter().any(|file| file.path == path))
    };
    if servers.iter().any(has_mapped) {
        return Ok(());
    }
    bail!(
        "the server has not loaded {}: is it statically linked or set-uid, or does it clear \
         LD_PRELOAD?",
        path.display()
    )
}

/// The line in which the hook says that it refuses its settings.
pub fn complaint(said: &str) -> Option<&str> {
    said.lines().find(|line| line.starts_with("readhook: "))
}

fn with_port(argument: &OsString, port: u16) -> OsString {
    match argument.to_str() {
        Some(text) => text.replace("{port}", &port.to_string()).into(),
        None => argument.clone(),
    }
}

async fn wait_until_ready(process: &mut Process, port: u16) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let give_up = Instant::now() + START_PATIENCE;
    loop {
        if let Some(end) = process.has_ended() {
            bail!("{end}");
        }
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        if Instant::now() > give_up {
            bail!(
                "the server accepts no connection on port {port} after {} s; does it listen on \
                 SERVER_PORT or {{port}}?",
                START_PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
