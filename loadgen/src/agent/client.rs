//! An agent's run API, as its client.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use runlog::agent_run::{AgentRun, Announcement, ClockReading, Finish, LogBytes};
use runlog::json::Shape;
use runlog::load_api::Refusal;
use serde::Serialize;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};
use web::access::token_in;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a reading of its clock may take. A block waits for it, and one that takes so long says little.
const CLOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Why the agent has not done what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It does not want to.
    #[error("{text} (HTTP {status})")]
    Refused {
        /// The status.
        status: u16,
        /// Why.
        text: String,
    },
    /// It did not answer, or not so that it could be understood.
    #[error("{0}")]
    NoAnswer(String),
}

impl Failure {
    /// Whether it may be otherwise when it is asked again.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502..=504),
        }
    }
}

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// The request log.
    Requests,
    /// The connections.
    Connections,
}

impl LogFile {
    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests.npy",
            Self::Connections => "connections-client.npy",
        }
    }
}

/// An agent.
#[derive(Clone, Debug)]
pub struct AgentClient {
    agent: Agent,
    /// Without a slash at its end.
    url: String,
    authorization: Option<String>,
}

impl AgentClient {
    /// The agent at this address, asked with the token in the first line of a file.
    pub fn new(url: &str, token_file: Option<&Path>) -> anyhow::Result<Self> {
        ensure!(
            url.starts_with("http://"),
            "--agent {url}: expected http://HOST:PORT; agents have no TLS"
        );
        let authorization = match token_file {
            Some(path) => {
                let origin = format!("--agent-token-file {}", path.display());
                let text = fs::read_to_string(path).with_context(|| origin.clone())?;
                Some(format!("Bearer {}", token_in(&text, &origin)?))
            }
            None => None,
        };
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Self {
            agent: config.into(),
            url: url.trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Announces a run.
    pub fn announce(&self, announced: &Announcement) -> Result<AgentRun, Failure> {
        self.post("/v1/runs", announced)
    }

    /// A run.
    pub fn run(&self, id: &str) -> Result<AgentRun, Failure> {
        let request = self.agent.get(self.address(&format!("/v1/runs/{id}")));
        understand(self.authorized(request).call())
    }

    /// What its clock says.
    pub fn clock(&self) -> Result<ClockReading, Failure> {
        let request = self.agent.get(self.address("/v1/clock"));
        let request = request
            .config()
            .timeout_global(Some(CLOCK_PATIENCE))
            .build();
        understand(self.authorized(request).call())
    }

    /// Sends a piece of a log.
    pub fn send(
        &self,
        id: &str,
        log: LogFile,
        offset: u64,
        piece: &[u8],
    ) -> Result<LogBytes, Failure> {
        let name = log.name();
        let path = format!("/v1/runs/{id}/log?file={name}&offset={offset}");
        let request = self.agent.put(self.address(&path));
        let request = request.content_type("application/octet-stream");
        understand(self.authorized(request).send(piece))
    }

    /// Says that the load has ended.
    pub fn finish(&self, id: &str, finish: &Finish) -> Result<AgentRun, Failure> {
        self.post(&format!("/v1/runs/{id}/finish"), finish)
    }

    fn post<T: Shape>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let request = self.authorized(self.agent.post(self.address(path)));
        understand(request.send_json(body))
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        }
    }
}

fn understand<T: Shape>(answer: Result<Response<Body>, ureq::Error>) -> Result<T, Failure> {
    let mut answer = answer.map_err(|error| Failure::NoAnswer(error.to_string()))?;
    let status = answer.status();
    let text = answer
        .body_mut()
        .read_to_string()
        .map_err(|error| Failure::NoAnswer(error.to_string()))?;
    if !(StatusCode::OK..StatusCode::MULTIPLE_CHOICES).contains(&status) {
        let refusal = serde_json::from_str(&text).map(|refusal: Refusal| refusal.error);
        return Err(Failure::Refused {
            status: status.as_u16(),
            text: refusal.unwrap_or_else(|_| "it gives no reason".to_owned()),
        });
    }
    serde_json::from_str(&text)
        .map_err(Into::into)
        .and_then(T::from_value)
        .map_err(|error| {
            Failure::NoAnswer(format!("what answers is no agent of this version: {error}"))
        })
}
