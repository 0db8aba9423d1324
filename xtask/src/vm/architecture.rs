//! What differs between the architectures of guests and images.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::command::{cargo, command, release, run, target};

/// The architecture of a guest, or of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// That of the machines that hookprobe runs on.
    #[value(name = "amd64", alias = "x86_64")]
    X86_64,
    /// arm64, for which programs are cross-compiled.
    #[value(name = "arm64", alias = "aarch64")]
    Aarch64,
}

impl Architecture {
    /// This machine's.
    pub fn of_this_machine() -> anyhow::Result<Self> {
        [Self::X86_64, Self::Aarch64]
            .into_iter()
            .find(|architecture| architecture.is_hosts())
            .with_context(|| format!("nothing is built for {}", std::env::consts::ARCH))
    }

    /// Debian's name for it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The Rust target of the guests' init, which is linked statically.
    pub fn init_target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Whether this machine has it.
    pub fn is_hosts(self) -> bool {
        let name = match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        };
        std::env::consts::ARCH == name
    }

    /// The Rust target of the programs; `None` where they are the host's own.
    pub fn programs_target(self) -> Option<&'static str> {
        match self {
            _ if self.is_hosts() => None,
            Self::X86_64 => Some("x86_64-unknown-linux-gnu"),
            Self::Aarch64 => Some("aarch64-unknown-linux-gnu"),
        }
    }

    /// Where the built programs are.
    pub fn programs_folder(self) -> PathBuf {
        match self.programs_target() {
            None => release(),
            Some(name) => target().join(name).join("release"),
        }
    }

    /// The C compiler, which links and knows where libraries are.
    pub fn c_compiler(self) -> &'static str {
        match self {
            _ if self.is_hosts() => "cc",
            Self::X86_64 => "x86_64-linux-gnu-gcc",
            Self::Aarch64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// Copies a program without its symbols.
    pub fn strip(self, built: &Path, stripped: &Path) -> anyhow::Result<()> {
        let strip = match self {
            _ if self.is_hosts() => "strip",
            Self::X86_64 => "x86_64-linux-gnu-strip",
            Self::Aarch64 => "aarch64-linux-gnu-strip",
        };
        run(command(strip).arg("-o").arg(stripped).arg(built))
    }

    /// The Debian packages that cross-compiling for it takes; none where that is the host's own.
    pub fn compiler_packages(self) -> &'static [&'static str] {
        match self {
            _ if self.is_hosts() => &["gcc", "libc6-dev"],
            Self::X86_64 => &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Aarch64 => &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        }
    }

    /// The emulator of single programs, and where it finds their libraries; `None` where none is needed.
    pub fn user_emulator(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::X86_64 => None,
            Self::Aarch64 => Some(("qemu-aarch64-static", "/usr/aarch64-linux-gnu")),
        }
    }

    /// cargo with a task, for a Rust target; `None` is the host's own.
    pub fn cargo(self, task: &str, rust_target: Option<&str>) -> Command {
        let mut cargo = cargo();
        cargo.arg(task);
        if let Some(name) = rust_target {
            let linker = name.to_uppercase().replace('-', "_");
            cargo
                .args(["--target", name])
                .env(format!("CARGO_TARGET_{linker}_LINKER"), self.c_compiler());
            if let Some((emulator, libraries)) = self.user_emulator() {
                cargo.env(
                    format!("CARGO_TARGET_{linker}_RUNNER"),
                    format!("{emulator} -L {libraries}"),
                );
            }
        }
        cargo
    }

    /// The emulator.
    pub fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// The Debian packages with the emulator, and with what cross-compiling takes.
    pub fn debian_packages(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["qemu-system-x86"],
            Self::Aarch64 => &[
                "qemu-system-arm",
                "qemu-user-static",
                "gcc-aarch64-linux-gnu",
                "libc6-dev-arm64-cross",
            ],
        }
    }
}
