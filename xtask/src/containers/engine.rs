//! A Docker engine of our own, which ends with us.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::command::{output, run};
use crate::containers::{folder, packages};
use crate::privilege::as_root;

/// How long it may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(100);

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    daemon: Child,
    /// Short, as paths of sockets must be.
    runtime: PathBuf,
}

impl Engine {
    /// Starts it and waits until it answers. Images of earlier runs are there still.
    pub fn start() -> anyhow::Result<Self> {
        let runtime = PathBuf::from(format!("/tmp/hookprobe-engine.{}", std::process::id()));
        fs::create_dir(&runtime).with_context(|| format!("cannot make {}", runtime.display()))?;
        let plugins = runtime.join("config/cli-plugins");
        fs::create_dir_all(&plugins)?;
        for plugin in packages::plugins() {
            let name = plugin.file_name().context("a plugin is a file")?;
            std::os::unix::fs::symlink(&plugin, plugins.join(name))?;
        }
        write_client(&runtime)?;
        let daemon = Self::daemon(&runtime)?
            .spawn()
            .context("cannot start dockerd")?;
        let mut engine = Self { daemon, runtime };
        engine.wait_until_it_answers()?;
        engine.clear()?;
        Ok(engine)
    }

    /// The daemon, not yet started.
    fn daemon(runtime: &Path) -> anyhow::Result<Command> {
        let log = File::create(log())?;
        let mut daemon = as_root("env");
        daemon
            .arg(format!("PATH={}", packages::path()?))
            // Ends with us, even if we are killed; and all its mounts with it.
            .args(["setpriv", "--pdeathsig", "TERM"])
            .args(["unshare", "--mount", "--propagation", "private"])
            .arg("dockerd")
            .arg("--data-root")
            .arg(folder().join("engine"))
            .arg("--exec-root")
            .arg(runtime.join("exec"))
            .arg("--pidfile")
            .arg(pid_file(runtime))
            .arg("--host")
            .arg(socket(runtime))
            // No rule in the machine's firewall is touched: a Docker of the machine's own has its rules there. So
            // containers reach each other and this machine, but nothing beyond.
            .args([
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
            ])
            .args(["--bridge=none", "--log-level=warn"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is not for it: it is needed to clean up.
            .process_group(0);
        Ok(daemon)
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let mut version = self.docker();
            if output(version.arg("version")).is_ok() {
                return Ok(());
            }
            let log = log();
            if let Some(status) = self.daemon.try_wait()? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(3).collect();
                bail!("dockerd ended ({status}): {}", last.join("; "));
            }
            ensure!(
                Instant::now() < give_up,
                "dockerd does not answer; {} has what it said",
                log.display()
            );
            thread::sleep(TICK);
        }
    }

    /// A docker command for this engine.
    pub fn docker(&self) -> Command {
        as_root(client(&self.runtime))
    }

    /// Removes what a run that was killed has left.
    fn clear(&self) -> anyhow::Result<()> {
        let containers = printed(self.docker().args(["ps", "--all", "--quiet"]))?;
        for container in containers.lines() {
            run(self
                .docker()
                .args(["rm", "--force", "--volumes", container])
                .stdout(Stdio::null()))?;
        }
        for kind in ["network", "volume"] {
            let mut prune = self.docker();
            prune.args([kind, "prune", "--force"]);
            if kind == "volume" {
                prune.arg("--all");
            }
            run(prune.stdout(Stdio::null()))?;
        }
        Ok(())
    }

    /// An error if there are containers, networks or volumes.
    pub fn check_empty(&self) -> anyhow::Result<()> {
        for (what, words) in [
            ("containers", &["ps", "--all"][..]),
            ("volumes", &["volume", "ls"]),
            ("networks", &["network", "ls", "--filter", "type=custom"]),
        ] {
            let left = printed(self.docker().args(words).arg("--quiet"))?;
            ensure!(
                left.is_empty(),
                "{what} were left: {}",
                left.replace('\n', ", ")
            );
        }
        Ok(())
    }

    /// Ends it, and says if it does not end by itself.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let ended = self.end();
        ensure!(
            ended?,
            "dockerd did not end within {} s",
            PATIENCE.as_secs()
        );
        Ok(())
    }

    /// Ends it, the hard way if need be. Returns whether it ended by itself.
    fn end(&mut self) -> anyhow::Result<bool> {
        if self.daemon.try_wait()?.is_some() {
            return Ok(true);
        }
        signal(&self.runtime, "TERM");
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            if self.daemon.try_wait()?.is_some() {
                return Ok(true);
            }
            thread::sleep(TICK);
        }
        signal(&self.runtime, "KILL");
        self.daemon.wait()?;
        Ok(false)
    }
}

/// What a command prints.
pub fn printed(command: &mut Command) -> anyhow::Result<String> {
    let printed = output(command)?.stdout;
    Ok(String::from_utf8_lossy(&printed).trim().to_owned())
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("cannot end dockerd: {error:#}");
        }
        let removed = run(as_root("rm")
            .args(["-rf", "--one-file-system"])
            .arg(&self.runtime));
        if let Err(error) = removed {
            eprintln!("{error:#}");
        }
    }
}

/// Signals the daemon, and containerd, which it starts and which outlives it when it is killed.
fn signal(runtime: &Path, name: &str) {
    let containerd = runtime.join("exec/containerd/containerd.pid");
    let also = (name == "KILL").then_some(containerd);
    for file in [Some(pid_file(runtime)), also].into_iter().flatten() {
        let Ok(pid) = fs::read_to_string(&file) else {
            continue; // not that far yet, or gone
        };
        let _ = as_root("kill")
            .arg(format!("-{name}"))
            .arg(pid.trim())
            .status();
    }
}

fn log() -> PathBuf {
    folder().join("dockerd.log")
}

fn pid_file(runtime: &Path) -> PathBuf {
    runtime.join("dockerd.pid")
}

fn socket(runtime: &Path) -> String {
    format!("unix://{}", runtime.join("docker.sock").display())
}

/// Where the client is that speaks to this engine.
fn client(runtime: &Path) -> PathBuf {
    runtime.join("docker")
}

/// A script, as sudo hands no variables on.
fn write_client(runtime: &Path) -> anyhow::Result<()> {
    let script = format!(
        "#!/bin/sh\nexport PATH='{}' DOCKER_HOST={} DOCKER_CONFIG={}\nexec docker \"$@\"\n",
        packages::path()?,
        socket(runtime),
        runtime.join("config").display(),
    );
    fs::write(client(runtime), script)?;
    fs::set_permissions(client(runtime), fs::Permissions::from_mode(0o755))?;
    Ok(())
}
