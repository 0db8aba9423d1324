//! Hooked servers, dealt out to containers of one arm each.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use bench_kit::children::ends_with_us;

use crate::cgroups::Containers;

/// Servers that end with the value.
#[derive(Debug)]
pub struct Servers {
    children: Vec<Child>,
    ports: Vec<u16>,
    // Behind the children: it can be removed once they have ended.
    containers: Containers,
}

impl Servers {
    /// Starts them, and waits until they listen.
    pub fn start(sut: &Path, hook: &Path, processes: u32, arms: u32) -> anyhow::Result<Self> {
        let mut servers = Self {
            children: Vec::new(),
            ports: Vec::new(),
            containers: Containers::make(arms)?,
        };
        for number in 0..processes {
            let arm = number % arms;
            let mut command = Command::new(sut);
            command
                .args(["--quiet", "--port=0"])
                .env("LD_PRELOAD", hook)
                .env("HOOKPROBE_ARM", format!("bench-{arm}"))
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            let child = ends_with_us(&mut command).spawn();
            let child = child.with_context(|| format!("cannot start {}", sut.display()))?;
            let number = child.id();
            servers.children.push(child);
            servers.containers.put(number, arm as usize)?;
        }
        for child in &mut servers.children {
            let stdout = child.stdout.take().context("no stdout")?;
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line)?;
            let port = line
                .trim()
                .rsplit([':', '/', ' '])
                .find_map(|word| word.parse().ok());
            let port = port.with_context(|| format!("a server names no port: {line:?}"))?;
            servers.ports.push(port);
        }
        Ok(servers)
    }

    /// Where they listen.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }
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
