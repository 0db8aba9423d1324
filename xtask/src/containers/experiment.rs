//! One experiment: the compose file up, a load through the page, the figures, and down again.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::command::{Stages, run};
use crate::containers::engine::{Engine, printed};
use crate::containers::figures::Figures;
use crate::containers::folder;
use crate::containers::observer::{self, Observer};
use crate::containers::services::{Ports, Services};
use crate::interrupt;
use crate::privilege::as_root;

/// Requests of each arm.
const REQUESTS: u64 = 20_000;
/// The page is not reached from elsewhere, and gone in a minute.
pub const TOKEN: &str = "of-this-proof-alone";

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// Its name, for people.
    pub name: &'static str,
    /// Files in `deploy/` that go on top of the compose file.
    pub overrides: &'static [&'static str],
}

impl Experiment {
    /// Runs it.
    pub fn run(&self, engine: &Engine, stages: &mut Stages) -> anyhow::Result<()> {
        let project = Project::new(engine, self.overrides)?;
        let named = |stage: &str| format!("{}: {stage}", self.name);
        stages.run(&named("up"), || project.up())?;
        let figures = stages.run(&named("load"), || project.measure())?;
        stages.run(&named("down"), || project.down())?;
        figures.check(REQUESTS)
    }
}

/// What the compose file takes from outside.
const VARIABLES: [&str; 9] = [
    "HOOKPROBE_AGENT_PORT",
    "HOOKPROBE_LOADGEN_PORT",
    "HOOKPROBE_RESULTS",
    "HOOKPROBE_SUT_HOOKED_PORT",
    "HOOKPROBE_SUT_PORT",
    "HOOKPROBE_TAG",
    "HOOKPROBE_TOKEN_FILE",
    "HOOKPROBE_TRIAL",
    "HOOKPROBE_USER",
];

/// Where it finds that.
fn variables_file() -> PathBuf {
    folder().join("compose.env")
}

/// What `docker compose` makes of the files. It goes down when this is dropped.
#[derive(Debug)]
pub struct Project<'e> {
    engine: &'e Engine,
    files: Vec<PathBuf>,
    ports: Ports,
    is_down: bool,
}

impl<'e> Project<'e> {
    /// Of the compose file with these on top.
    pub fn new(engine: &'e Engine, overrides: &[&str]) -> anyhow::Result<Self> {
        let results = folder().join("results");
        run(as_root("rm").arg("-rf").arg(&results))?;
        fs::create_dir_all(&results)?;
        // The load generator is another user.
        fs::set_permissions(&results, fs::Permissions::from_mode(0o777))?;
        let token_file = folder().join("token");
        fs::write(&token_file, TOKEN)?;
        let ports = Ports::free()?;
        let variables = format!(
            "HOOKPROBE_TOKEN_FILE={}\nHOOKPROBE_RESULTS={}\nHOOKPROBE_USER=65532:65532\n\
             HOOKPROBE_SUT_PORT={}\nHOOKPROBE_SUT_HOOKED_PORT={}\nHOOKPROBE_LOADGEN_PORT={}\n\
             HOOKPROBE_AGENT_PORT={}\n",
            token_file.display(),
            results.display(),
            ports.sut,
            ports.sut_hooked,
            ports.page,
            ports.agent
        );
        fs::write(variables_file(), variables)?;
        let observer = folder().join("observer.yaml");
        fs::write(&observer, observer::OVERRIDE)?;
        let files = ["compose.yaml"].iter().chain(overrides);
        let mut files: Vec<PathBuf> = files.map(|file| Path::new("deploy").join(file)).collect();
        files.push(observer);
        Ok(Self {
            engine,
            files,
            ports,
            is_down: false,
        })
    }

    /// A `docker compose` for the files.
    pub fn compose(&self) -> Command {
        let mut compose = self.engine.docker();
        compose
            .args(["compose", "--progress", "quiet", "--env-file"])
            .arg(variables_file());
        // What is set in the environment would go before the file.
        for name in VARIABLES {
            compose.env_remove(name);
        }
        for file in &self.files {
            compose.arg("--file").arg(file);
        }
        compose
    }

    fn quietly(&self, words: &[impl AsRef<OsStr>]) -> anyhow::Result<()> {
        run(self.compose().args(words).stdin(Stdio::null()))
    }

    /// Starts everything, and waits until it is well.
    pub fn up(&self) -> anyhow::Result<()> {
        // The images are built; nothing may be pulled in their place.
        self.quietly(&["up", "--no-build", "--pull=never", "--wait"])
    }

    /// The page and the agent, for who says this token.
    pub fn services<'t>(&self, token: &'t str) -> Services<'t> {
        Services {
            token,
            ports: self.ports,
        }
    }

    /// A `docker` of the engine.
    pub fn docker(&self) -> Command {
        self.engine.docker()
    }

    /// The id of a service's container.
    pub fn container_of(&self, service: &str) -> anyhow::Result<String> {
        printed(self.compose().args(["ps", "--quiet", service]))
    }

    /// The number of the first process of a service's container.
    pub fn process_of(&self, service: &str) -> anyhow::Result<String> {
        let id = self.container_of(service)?;
        let inspect = ["inspect", "--format", "{{.State.Pid}}", &id];
        printed(self.docker().args(inspect))
    }

    /// Loads both servers, and watches their reads.
    fn measure(&self) -> anyhow::Result<Figures> {
        let baseline = Observer::attach(self, "sut", &folder())?;
        let hooked = Observer::attach(self, "sut-hooked", &folder())?;
        let services = self.services(TOKEN);
        ensure!(
            !self.services("").let_in()?,
            "the page or the agent answers without its token"
        );
        let run = services.run(REQUESTS)?;
        let arms = services.arms()?;
        let id = run["id"].as_str().context("the run has no id")?.to_owned();
        self.quietly(&["stop", "sut", "sut-hooked"])?;
        let (baseline, hooked) = (baseline.end()?, hooked.end()?);
        Ok(Figures {
            joined: hooked.join(self, &id, "hooked")?,
            baseline: baseline.trace,
            hooked: hooked.trace,
            arms,
            run,
        })
    }

    /// Takes everything down, volumes too.
    pub fn down(mut self) -> anyhow::Result<()> {
        self.quietly(&["down", "--volumes", "--timeout", "10"])?;
        self.is_down = true;
        self.engine.check_empty()
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        if self.is_down {
            return;
        }
        // Something failed: what the containers said may tell why. Another Ctrl-C is not for these.
        let aside = |words: &[&str]| run(self.compose().args(words).process_group(0));
        if interrupt::check().is_ok() {
            let _ = aside(&["logs", "--no-color", "--tail", "20"]);
        }
        if let Err(error) = aside(&["down", "--volumes", "--timeout", "2"]) {
            eprintln!("{error:#}");
        }
    }
}
