//! The arms, and the servers that serve them: they differ in their hook alone.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{self, Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use runlog::manifest::{self, Placement};
use runlog::{Role, RunDirectory};
use tokio::net::TcpStream;

use crate::run::bracket::Bracket;
use crate::run::hook_file::{self, MeasuredBy};
use crate::run::preloaded;
use crate::run::process::{self, Process, Spawn};
use crate::run::shared_memory::SharedMemory;
use probes::discover::elf::Elf;
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
}

impl ArmSpec {
    /// The arm of a role that is played once.
    pub fn of(role: Role, hook: Option<HookSpec>) -> Self {
        Self {
            name: role.name().to_owned(),
            role,
            hook,
        }
    }
}

/// How servers are started.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Program and arguments. `{port}` in an argument becomes the port; so does `SERVER_PORT` in
    /// the environment.
    pub command: Vec<OsString>,
    /// Port of the first server; the next ones follow. `None` takes free ones.
    pub port: Option<u16>,
    /// What requests ask for.
    pub path: String,
}

/// Servers that are started alike.
#[derive(Debug)]
pub struct Group {
    /// The arm that they serve; none where arms are drawn request by request, and they serve all.
    arm: Option<ArmSpec>,
    /// What is preloaded, or none.
    hook: Option<HookSpec>,
    /// What stands around the hook.
    bracket: Option<Arc<Bracket>>,
    /// The servers.
    pub processes: Vec<Process>,
    /// The port of each.
    ports: Vec<u16>,
    /// Where requests to each go.
    pub urls: Vec<String>,
    /// The processes that serve its port: the one that was started, or what it has started.
    pub servers: Vec<Server>,
    /// Where each records the calls of a trial.
    pub memories: Vec<SharedMemory>,
}

/// A process that serves requests.
#[derive(Debug)]
pub struct Server {
    /// Its number.
    pub pid: Pid,
    /// The hook that it has loaded, if that has probe sites and we may look.
    pub hook: Option<LoadedHook>,
}

impl Group {
    /// The groups that serve these arms, still without servers: one for each, or one for all where arms are drawn request
    /// by request.
    pub fn of(arms: &[ArmSpec], bracket: Option<&Arc<Bracket>>) -> Vec<Self> {
        let group = |arm: Option<&ArmSpec>, hook: Option<&HookSpec>| Self {
            arm: arm.cloned(),
            hook: hook.cloned(),
            bracket: bracket.cloned(),
            processes: Vec::new(),
            ports: Vec::new(),
            urls: Vec::new(),
            servers: Vec::new(),
            memories: Vec::new(),
        };
        match bracket {
            Some(_) => vec![group(None, arms.iter().find_map(|arm| arm.hook.as_ref()))],
            None => arms
                .iter()
                .map(|arm| group(Some(arm), arm.hook.as_ref()))
                .collect(),
        }
    }

    /// A group whose servers have the hook and no bracket around it, if this one's have both.
    pub fn with_the_hook_alone(&self) -> Option<Self> {
        self.bracket.as_ref()?;
        let mut arm = ArmSpec::of(Role::Hooked, self.hook.clone());
        // It is in the name of the log.
        "hook-alone".clone_into(&mut arm.name);
        Self::of(&[arm], None).pop()
    }

    /// Its name for the load generator.
    pub fn name(&self) -> &str {
        self.arm.as_ref().map_or("server", |arm| &arm.name)
    }

    /// Its servers, in messages.
    pub fn described(&self) -> String {
        match &self.arm {
            Some(arm) => format!("server of arm {}", arm.name),
            None => "server".to_owned(),
        }
    }

    /// Whether a hook is preloaded.
    pub fn is_hooked(&self) -> bool {
        self.hook.is_some()
    }

    /// Finds processes that serve the ports by now and did not before, as workers that were forked since. Returns whether there are
    /// any.
    pub fn find_newcomers(&mut self) -> bool {
        let mut found = false;
        for (process, port) in self.processes.iter().zip(&self.ports) {
            let Some(pid) = process.pid() else { continue };
            // The look at ports is a long one, and most servers start no process after the first request.
            let is_known = |pid: &Pid| self.servers.iter().any(|server| server.pid == *pid);
            if processes::descendants(pid).iter().all(is_known) {
                continue;
            }
            let serving = serving_processes(pid, *port).unwrap_or_default();
            for server in serving {
                if !self.servers.iter().any(|known| known.pid == server.pid) {
                    self.servers.push(server);
                    found = true;
                }
            }
        }
        found
    }

    /// What the manifest says of an arm that it serves.
    pub fn describe(&self, arm: &ArmSpec) -> manifest::Arm {
        let hook = arm.hook.as_ref();
        manifest::Arm {
            name: arm.name.clone(),
            role: Some(arm.role),
            url: self.urls.first().cloned().unwrap_or_default(),
            pids: self.servers.iter().map(|server| server.pid).collect(),
            hook: hook.map(|hook| hook.path.display().to_string()),
            hook_environment: hook
                .iter()
                .flat_map(|hook| &hook.environment)
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            // It could be read before the servers were started.
            hooked_reads: hook.and_then(|hook| hook_file::reads_asked_for(hook).ok()),
        }
    }
}

impl HookSpec {
    /// What is preloaded, in this order.
    pub fn libraries(&self, bracket: Option<&Bracket>) -> io::Result<Vec<PathBuf>> {
        let libraries: &[&Path] = match bracket {
            None => &[&self.path],
            Some(bracket) => &bracket.around(&self.path),
        };
        libraries.iter().map(path::absolute).collect()
    }
}

/// Libraries as `LD_PRELOAD` takes them.
pub fn preload(libraries: &[PathBuf]) -> OsString {
    let names: Vec<&OsStr> = libraries.iter().map(|path| path.as_os_str()).collect();
    names.join(":".as_ref())
}

/// Checks what can be checked before anything is started.
pub fn check(
    server: &ServerSpec,
    specs: &[ArmSpec],
    bracket: Option<&Arc<Bracket>>,
    servers: u32,
) -> anyhow::Result<()> {
    let program = server
        .command
        .first()
        .context("the server's command is empty")?;
    let program = find_program(Path::new(program))?;
    let hooked = specs.iter().any(|spec| spec.hook.is_some());
    // A script is fine: what it starts inherits LD_PRELOAD.
    if hooked && let Ok(elf) = Elf::open(&program) {
        preloaded::check_program(&program, &elf)?;
    }
    let by = match bracket {
        Some(_) => MeasuredBy::Trial,
        None => MeasuredBy::Servers,
    };
    for spec in specs {
        let Some(hook) = &spec.hook else { continue };
        hook_file::check(&hook.path, by)?;
    }
    if let Some(bracket) = bracket {
        hook_file::check_separators(
            &bracket.front,
            "install the programs in a folder whose path has none",
        )?;
    }
    if let Some(first) = server.port {
        let all = Group::of(specs, bracket).len() * servers as usize;
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

/// Starts a server of a group and waits until it accepts connections. `started` servers of any group were
/// started before.
pub async fn start(
    server: &ServerSpec,
    group: &mut Group,
    started: u16,
    run: &RunDirectory,
    placement: &Placement,
) -> anyhow::Result<()> {
    let port = match server.port {
        Some(first) => first + started,
        None => ports::free()?,
    };
    let mut log = "server".to_owned();
    if let Some(arm) = &group.arm {
        log = format!("{log}-{}", arm.name);
    }
    if !group.processes.is_empty() {
        log = format!("{log}.{}", group.processes.len() + 1);
    }
    let mut arguments = server
        .command
        .iter()
        .map(|argument| with_port(argument, port));
    let mut command = process::command(arguments.next().unwrap_or_default());
    command
        .args(arguments)
        .env("SERVER_PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut libraries = Vec::new();
    if let Some(hook) = &group.hook {
        libraries = hook.libraries(group.bracket.as_deref())?;
        command
            .env("LD_PRELOAD", preload(&libraries))
            .envs(hook.environment.iter().cloned());
    }
    let memory = match &group.bracket {
        Some(bracket) => Some(bracket.hand_over(&mut command)?),
        None => None,
    };
    let spawn = Spawn {
        name: &group.described(),
        cpus: &placement.sut_cpus,
        placement,
        log: run.process_log(&log),
    };
    let mut process = spawn.start(command)?;
    wait_until_ready(&mut process, port).await?;

    let pid = process.pid().context("the server has ended")?;
    // One that ends as soon as it listens says why by its last words.
    let servers = match serving_processes(pid, port) {
        Ok(servers) => servers,
        Err(error) => return Err(process.end().await.map_or(error, anyhow::Error::msg)),
    };
    preloaded::check(&libraries, memory.as_ref(), &servers, &process)?;
    group
        .urls
        .push(format!("http://127.0.0.1:{port}{}", server.path));
    group.processes.push(process);
    group.ports.push(port);
    group.servers.extend(servers);
    group.memories.extend(memory);
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
