//! A command in a guest with a kernel of its own.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::command::{run, target};
use crate::setup;
use crate::vm::architecture::Architecture;
use crate::vm::initramfs::{self, Contents};
use crate::vm::kernels::Kernel;
use crate::vm::qemu::{Boot, Ended};

/// The programs that every guest has in `/bin`, the hook, and the bracket around it.
const PROGRAMS: [&str; 6] = [
    "probe-user",
    "loadgen",
    "sut",
    "readhook.so",
    "front.so",
    "back.so",
];

/// A command that runs in a guest. [`install_tools`] and [`build_init`] come
/// first.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'g> {
    /// Names the folder that keeps the initramfs and the console: `target/vm/guests/NAME`.
    pub name: &'g str,
    /// The kernel.
    pub kernel: Kernel,
    /// Programs for `/bin`, beside our own.
    pub programs: &'g [PathBuf],
    /// The command: a path in the guest, and arguments.
    pub command: &'g [&'g str],
    /// See [`Boot::counts_instructions`].
    pub counts_instructions: bool,
}

impl Guest<'_> {
    /// Boots, runs the command and waits for its end. An error says that there was no boot.
    pub fn run(&self) -> anyhow::Result<Ended> {
        let architecture = self.kernel.architecture;
        let built = architecture.programs_folder();
        let mut programs: Vec<PathBuf> = PROGRAMS.map(|name| built.join(name)).into();
        programs.extend_from_slice(self.programs);
        let folder = target().join("vm/guests").join(self.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let initramfs = folder.join("initramfs.cpio");
        let contents = Contents {
            init: &init_path(architecture),
            programs: &programs,
            command: self.command,
        };
        initramfs::write(&initramfs, architecture, &contents)?;
        let boot = Boot {
            architecture,
            kernel: &self.kernel.image()?,
            initramfs: &initramfs,
            counts_instructions: self.counts_instructions,
        };
        boot.run()
    }
}

/// Installs the emulator and what building for an architecture takes, where that can be done.
pub fn install_tools(architecture: Architecture) -> anyhow::Result<()> {
    let mut needed = vec![architecture.qemu(), architecture.c_compiler()];
    needed.extend(architecture.user_emulator().map(|(emulator, _)| emulator));
    setup::require(&needed, architecture.debian_packages())?;
    setup::rust_target(architecture.init_target())?;
    architecture
        .programs_target()
        .map_or(Ok(()), setup::rust_target)
}

/// Builds the init of guests, linked statically.
pub fn build_init(architecture: Architecture) -> anyhow::Result<()> {
    let mut build = architecture.cargo("build", Some(architecture.init_target()));
    run(build.args(["--release", "--package", "guest-init"]))
}

fn init_path(architecture: Architecture) -> PathBuf {
    target()
        .join(architecture.init_target())
        .join("release/guest-init")
}
