//! An agent that a test has started, and what can be asked of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ExitStatus, Stdio};

use anyhow::Context as _;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::http::{Service, parts};
use crate::kit::{Kit, Server, exact_kernel_probe, pid, wait_for};

/// An agent that is killed with the value.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    service: Service,
    token: Option<String>,
}

impl Agent {
    /// Starts one on a free port, and waits until it watches.
    pub fn start(kit: &Kit, options: &[&str]) -> anyhow::Result<Self> {
        let mut command = kit.command("probe-user");
        command
            .args(["agent", "--listen=127.0.0.1:0"])
            .args(options);
        command.args(exact_kernel_probe());
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Self::of(child, None)
    }

    /// One that another command has started.
    pub fn of(mut child: Child, token: Option<&str>) -> anyhow::Result<Self> {
        let announced = Service::announced(child.stdout.take().context("no stdout")?);
        let service = match announced {
            Ok(service) => service,
            Err(error) => {
                let mut said = String::new();
                let mut stderr = child.stderr.take().context("no stderr")?;
                stderr.read_to_string(&mut said)?;
                return Err(error.context(said));
            }
        };
        let agent = Self {
            service,
            token: token.map(str::to_owned),
            child,
        };
        wait_for("the agent to be ready", || {
            Ok(agent.get("/readyz", &[])?.0 == 200)
        })?;
        Ok(agent)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.service.url()
    }

    /// A connection to it.
    pub fn connect(&self) -> anyhow::Result<TcpStream> {
        self.service.connect()
    }

    /// Sends these bytes until it does not say that it is asked too often.
    fn patiently(&self, request: &[u8]) -> anyhow::Result<(u16, String, String)> {
        let mut answer = self.raw(request)?;
        wait_for("an answer", || {
            if answer.0 == 429 {
                answer = self.raw(request)?;
            }
            Ok(answer.0 != 429)
        })?;
        Ok(answer)
    }

    /// Sends these bytes; returns status, head and body of the answer.
    pub fn raw(&self, request: &[u8]) -> anyhow::Result<(u16, String, String)> {
        let mut stream = self.connect()?;
        // It may answer, and close, before it has all of it.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let (status, head, body) =
            parts(&answer).with_context(|| format!("no answer: {read:?} {answer:?}"))?;
        Ok((status, head, String::from_utf8(body)?))
    }

    /// Asks for a path with these headers, and again when that is too often.
    pub fn get(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<(u16, String, String)> {
        self.patiently(self.question(path, headers).as_bytes())
    }

    /// A request for a path with these headers.
    pub fn question(&self, path: &str, headers: &[(&str, &str)]) -> String {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let bearer = bearer.as_deref().map(|bearer| ("Authorization", bearer));
        let all: Vec<(&str, &str)> = bearer.into_iter().chain(headers.iter().copied()).collect();
        self.service.head("GET", path, &all)
    }

    /// Sends a request with a body, and again when that is too often; returns status and body of the answer.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<(u16, String)> {
        let length = body.len().to_string();
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let bearer = bearer.as_deref().map(|bearer| ("Authorization", bearer));
        let all: Vec<(&str, &str)> = [("Content-Length", length.as_str())]
            .into_iter()
            .chain(bearer)
            .chain(headers.iter().copied())
            .collect();
        let head = self.service.head(method, path, &all);
        let (status, _, body) = self.patiently(&[head.as_bytes(), body].concat())?;
        Ok((status, body))
    }

    /// What it says of all arms.
    pub fn arms(&self) -> anyhow::Result<Value> {
        self.ask_json("/v1/arms")
    }

    /// What it answers.
    pub fn ask_json(&self, path: &str) -> anyhow::Result<Value> {
        let (status, _, body) = self.get(path, &[])?;
        ensure!(status == 200, "{path}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Waits until what it says of all arms is so.
    pub fn wait_for(&self, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let mut last = Value::Null;
        wait_for("the agent to see it", || {
            last = self.arms()?;
            Ok(is_so(&last))
        })
        .with_context(|| format!("{last:#}"))
    }

    /// Ends it by a signal; returns how it ended, and what it said on stderr.
    pub fn end(mut self, signal: Signal) -> anyhow::Result<(ExitStatus, String)> {
        kill_process(pid(self.pid())?, signal)?;
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .context("no stderr")?
            .read_to_string(&mut said)?;
        Ok((self.child.wait()?, said))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name that an arm of this test has: other tests, and others on this machine, may have arms too.
pub fn unique(name: &str) -> String {
    let thread = std::thread::current();
    let of_test: String = format!("{:?}", thread.id())
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    format!("{name}-{}-{of_test}", std::process::id())
}

/// An arm of this test; null if there is none.
pub fn arm<'a>(arms: &'a Value, name: &str) -> &'a Value {
    let name = unique(name);
    let all = arms["arms"].as_array();
    all.and_then(|all| all.iter().find(|arm| arm["arm"] == name))
        .unwrap_or(&Value::Null)
}

/// Whether an arm has processes and all are observed.
pub fn is_attached(arms: &Value, name: &str) -> bool {
    arm(arms, name)["attached"] == true
}

/// How many spans of a kind an arm has.
pub fn spans(arms: &Value, name: &str, kind: &str) -> u64 {
    arm(arms, name)["spans"][kind]["count"]
        .as_u64()
        .unwrap_or(0)
}

/// Makes so many requests over one connection, each after the answer to the one before. The server closes it, and has
/// read once for each.
pub fn request(server: &Server, requests: usize) -> anyhow::Result<()> {
    let mut stream = server.connect()?;
    for left in (0..requests).rev() {
        let last = if left == 0 {
            "Connection: close\r\n"
        } else {
            ""
        };
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: x\r\n{last}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"Hello World") {
            let mut part = [0; 1_024];
            let length = stream.read(&mut part)?;
            ensure!(length > 0, "the server has gone");
            answer.extend_from_slice(&part[..length]);
        }
    }
    ensure!(stream.read(&mut [0])? == 0, "the server does not close");
    Ok(())
}
