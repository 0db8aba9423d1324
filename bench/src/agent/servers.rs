//! Hooked servers, dealt out to containers of one arm each.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::children::{ends_with_us, on_cpu};
use anyhow::Context as _;
use procfs::process::Process;

use crate::agent::cgroups::Containers;

/// Where a server is.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// Its port.
    pub port: u16,
    /// The CPU that it is bound to.
    pub cpu: usize,
}

/// Servers that end with the value.
#[derive(Debug)]
pub struct Servers {
    children: Vec<Child>,
    listening: Vec<Listening>,
    // Behind the children: it can be removed once they have ended.
    containers: Containers,
}

impl Servers {
    /// Starts them, and waits until they listen.
    pub fn start(sut: &Path, hook: &Path, processes: u32, arms: u32) -> anyhow::Result<Self> {
        let mut servers = Self {
            children: Vec::new(),
            listening: Vec::new(),
            containers: Containers::make(arms)?,
        };
        let cpus = allowed_cpus()?;
        let mut of_children = Vec::new();
        for (number, cpu) in (0..processes).zip(cpus.iter().copied().cycle()) {
            of_children.push(cpu);
            let arm = number % arms;
            let mut command = Command::new(sut);
            command
                .args(["--quiet", "--port=0"])
                .env("LD_PRELOAD", hook)
                .env("HOOKPROBE_ARM", format!("bench-{arm}"))
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            let child = on_cpu(cpu, || {
                let child = ends_with_us(&mut command).spawn();
                child.with_context(|| format!("cannot start {}", sut.display()))
            })?;
            let number = child.id();
            servers.children.push(child);
            servers.containers.put(number, arm as usize)?;
        }
        for (child, cpu) in servers.children.iter_mut().zip(of_children) {
            let stdout = child.stdout.take().context("no stdout")?;
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line)?;
            let port = line
                .trim()
                .rsplit([':', '/', ' '])
                .find_map(|word| word.parse().ok());
            let port = port.with_context(|| format!("a server names no port: {line:?}"))?;
            servers.listening.push(Listening { port, cpu });
        }
        Ok(servers)
    }

    /// Where they listen.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }
}

/// The CPUs that we may use.
fn allowed_cpus() -> anyhow::Result<Vec<usize>> {
    let status = Process::myself().and_then(|us| us.status());
    let allowed = status.context("which CPUs may be used")?.cpus_allowed_list;
    let allowed = allowed.context("the kernel does not say which CPUs may be used")?;
    Ok(allowed
        .into_iter()
        .flat_map(|(first, last)| first as usize..=last as usize)
        .collect())
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}
