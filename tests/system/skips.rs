//! What tests need that a machine may not have.

use std::env::consts::ARCH;

use crate::{Test, deploy, portable};

/// Something that a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To attach probes.
    Root,
    /// A program on the PATH.
    Program(&'static str),
    /// Servers that outrun the agent, which those of an emulated machine do not.
    Speed,
    /// A clock by which delays take as long as they should and what is to be done in time can be, which an emulated machine
    /// has not.
    Clock,
    /// Nothing more; but it is not about the kernel, and so need not be run under others too.
    NoOtherKernel,
    /// No other test meanwhile: it measures time, says how soon something is to be done, or looks at all of the machine.
    Alone,
    /// Two CPUs that we may use.
    TwoCpus,
    /// Machine code of this architecture.
    Architecture(&'static str),
    /// An IPv6 loopback address.
    Ipv6,
    /// A kernel with time namespaces.
    TimeNamespaces,
    /// A C library that `cargo xtask test` fetches where it can.
    CLibrary(&'static str),
    /// A program for manifests that `cargo xtask test` fetches where it can.
    DeployTool(&'static str),
}

impl Need {
    /// Why the need is not met here; `None` when it is.
    fn unmet(self) -> Option<String> {
        match self {
            Self::Root => (!rustix::process::geteuid().is_root()).then(|| "needs root".to_owned()),
            Self::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
                (!found).then(|| format!("needs {name}"))
            }
            // Every machine that the tests are built on has it.
            Self::Speed | Self::Clock | Self::Alone | Self::NoOtherKernel => None,
            Self::TwoCpus => {
                let cpus = std::thread::available_parallelism().map_or(1, usize::from);
                (cpus < 2).then(|| "needs two CPUs".to_owned())
            }
            Self::Architecture(name) => (name != ARCH).then(|| format!("is about {name}")),
            Self::Ipv6 => {
                let bound = std::net::TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0));
                bound.is_err().then(|| "needs IPv6".to_owned())
            }
            Self::TimeNamespaces => {
                let is_there = std::path::Path::new("/proc/self/ns/time").exists();
                (!is_there).then(|| "needs a kernel with time namespaces".to_owned())
            }
            Self::CLibrary(name) => unfetched(name, portable::folder(name).is_dir()),
            Self::DeployTool(name) => unfetched(name, deploy::tool(name).is_file()),
        }
    }
}

/// What a test is skipped for whose need could not be had from the network.
fn unfetched(name: &str, is_there: bool) -> Option<String> {
    (!is_there).then(|| format!("needs {name}, which cargo xtask test could not fetch"))
}

/// Whether a test attaches probes, and needs nothing for it but root and our own programs: what an emulated
/// machine that has only these can run.
pub fn probes_alone(test: &Test) -> bool {
    let is_met_there =
        |need: &Need| [Need::Root, Need::Alone, Need::Architecture(ARCH)].contains(need);
    test.needs.contains(&Need::Root) && test.needs.iter().all(is_met_there)
}

/// Tests that may run at the same time, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// Those that measure no time, several at once: each has its own processes, files and inodes to attach to, and most of
    /// them wait most of the time.
    Parallel,
    /// Those that do: one after the other.
    Serial,
}

impl Group {
    /// The one that a test is of.
    pub fn of(test: &Test) -> Self {
        let is_serial = |need: &Need| matches!(need, Need::Speed | Need::Alone | Need::TwoCpus);
        if test.needs.iter().any(is_serial) {
            Self::Serial
        } else {
            Self::Parallel
        }
    }
}

/// The tests that are skipped, with the reason.
#[derive(Debug, Default)]
pub struct Skips {
    skipped: Vec<(&'static str, String)>,
    excused: u64,
}

impl Skips {
    /// Whether a test is to be skipped.
    pub fn check(&mut self, test: &Test) -> bool {
        let unmet = test
            .needs
            .iter()
            .find_map(|need| Some((need, need.unmet()?)));
        match unmet {
            Some((need, reason)) => {
                self.excused += u64::from(matches!(need, Need::CLibrary(_) | Need::DeployTool(_)));
                self.skipped.push((test.name, reason));
                true
            }
            None => false,
        }
    }

    /// How many were skipped for want of something from the network. In CI fetching it fails already.
    pub fn excused(&self) -> u64 {
        self.excused
    }

    /// Names them.
    pub fn print(&self) {
        for (name, reason) in &self.skipped {
            println!("skipped: {name}: {reason}");
        }
    }
}
