//! What the opening fence of a block says to this test: `sh needs=redis,runs checked-as=cluster`.

use anyhow::{Context as _, bail};

use super::markdown::Block;

/// What a block is to this test.
#[derive(Debug)]
pub enum Language {
    /// Run.
    Shell(Fence),
    /// Read only: the files that it names must be there.
    PowerShell,
    /// Nothing to run: output, configuration, another language.
    Other,
}

/// What the fence of shell commands says.
#[derive(Debug, Default)]
pub struct Fence {
    /// What must be there before: functions of `sandbox/needs.sh`.
    pub needs: Vec<String>,
    /// Why commands of it are called here as stand-ins alone.
    pub checked_as: Vec<Reason>,
}

/// Why a program is not run, and what stands in for it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Long,
    Containers,
    Cluster,
    Cloud,
    Network,
    Tracer,
}

impl Reason {
    pub const ALL: [Self; 6] = [
        Self::Long,
        Self::Containers,
        Self::Cluster,
        Self::Cloud,
        Self::Network,
        Self::Tracer,
    ];

    /// As fences say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Containers => "containers",
            Self::Cluster => "cluster",
            Self::Cloud => "cloud",
            Self::Network => "network",
            Self::Tracer => "tracer",
        }
    }

    /// The reason, and what is checked all the same.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Long => {
                "cargo would build, measure for minutes or start these tests again: the task, its options and values \
                 are read by the programs themselves, with --help; a filter must name a test"
            }
            Self::Containers => {
                "images take long to build and Docker may not be here: the files and targets that are named must be \
                 there; where docker is, it reads the options, with --help"
            }
            Self::Cluster => {
                "no cluster is here: files and kustomizations that are named must be there (deploy:: renders them); \
                 where kubectl is, it reads the options, with --help"
            }
            Self::Cloud => "it costs money: files that are named must be there",
            Self::Network => {
                "it installs or fetches from elsewhere: nothing is checked but that files that are named are there; git \
                 clone leaves the repository where it would be"
            }
            Self::Tracer => {
                "bpftrace is not installed for tests: the file that it names must have the probe that it names"
            }
        }
    }

    /// Whom a program needs a stand-in for.
    pub fn of_program(program: &str) -> anyhow::Result<Self> {
        Ok(match program {
            "cargo" => Self::Long,
            "docker" => Self::Containers,
            "kubectl" | "kind" => Self::Cluster,
            "aws" | "eksctl" => Self::Cloud,
            "apt-get" | "git" | "rustup" => Self::Network,
            "bpftrace" => Self::Tracer,
            _ => bail!("{program} has no stand-in"),
        })
    }
}

impl Language {
    pub fn of(block: &Block) -> anyhow::Result<Self> {
        let mut words = block.info.split_whitespace();
        match words.next() {
            Some("sh") => {}
            Some("powershell") => {
                ensure!(words.next().is_none(), "only sh takes words behind it");
                return Ok(Self::PowerShell);
            }
            // Blocks that are commands to other renderers, and would be run by nobody here.
            Some(other @ ("bash" | "shell" | "console" | "zsh" | "shell-session")) => {
                bail!("commands are ```sh, not ```{other}")
            }
            _ => return Ok(Self::Other),
        }
        let mut fence = Fence::default();
        for word in words {
            let (key, values) = word.split_once('=').with_context(|| {
                format!("{word:?} behind sh is neither needs=… nor checked-as=…")
            })?;
            let values = values.split(',');
            match key {
                "needs" => fence.needs.extend(values.map(str::to_owned)),
                "checked-as" => {
                    for value in values {
                        let reason = Reason::ALL.into_iter().find(|it| it.name() == value);
                        let reason = reason.with_context(|| format!("no reason is {value:?}"))?;
                        fence.checked_as.push(reason);
                    }
                }
                _ => bail!("{word:?} behind sh is neither needs=… nor checked-as=…"),
            }
        }
        Ok(Self::Shell(fence))
    }
}
