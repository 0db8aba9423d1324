//! `cargo xtask package`: what the container images hold, in a folder.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::command::{Stages, run};
use crate::vm::architecture::Architecture;
use crate::{build, setup};

/// Options of `package`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask package --out target/package
  cargo xtask package --hook-only --architecture arm64 --out out")]
pub struct PackageArguments {
    /// The folder, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Architecture of the images [default: this machine's]
    #[arg(long, value_name = "NAME")]
    pub architecture: Option<Architecture>,

    /// The hook and what installs it, which takes no eBPF linker
    #[arg(long)]
    pub hook_only: bool,
}

/// The image that has nothing but the hook, and the bracket around it.
const HOOK_FILES: [&str; 4] = ["readhook.so", "front.so", "back.so", INSTALLER];
/// The others.
const PROGRAMS: [&str; 3] = ["sut", "loadgen", "probe-user"];
/// The program that copies the hook.
const INSTALLER: &str = "install-readhook";

/// Builds, and puts everything into the folder.
pub fn package(arguments: &PackageArguments, stages: &mut Stages) -> anyhow::Result<()> {
    let architecture = match arguments.architecture {
        Some(architecture) => architecture,
        None => Architecture::of_this_machine()?,
    };
    let files = stages.run("setup", || {
        install_compiler(architecture)?;
        Ok(if arguments.hook_only {
            HOOK_FILES.to_vec()
        } else {
            setup::all()?;
            [HOOK_FILES.as_slice(), &PROGRAMS].concat()
        })
    })?;
    stages.run("build of what the images hold", || {
        let target = architecture.programs_target();
        let build = || architecture.cargo("build", target);
        let folder = architecture.programs_folder();
        if arguments.hook_only {
            build::hook_with(&mut build(), &folder)?;
        } else {
            build::programs(build, &folder)?;
        }
        build_installer(architecture)?;
        // Programs are started in the root of the workspace, wherever we were.
        let out = std::path::absolute(&arguments.out)?;
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        for file in files {
            // The notes of probe sites stay.
            architecture.strip(&folder.join(file), &out.join(file))?;
        }
        Ok(())
    })
}

fn install_compiler(architecture: Architecture) -> anyhow::Result<()> {
    setup::require(
        &[architecture.c_compiler()],
        architecture.compiler_packages(),
    )?;
    architecture
        .programs_target()
        .map_or(Ok(()), setup::rust_target)
}

/// Linked statically: its image has no C library.
fn build_installer(architecture: Architecture) -> anyhow::Result<()> {
    let mut cargo = architecture.cargo("rustc", architecture.programs_target());
    run(cargo.args(["--release", "--package", INSTALLER]).args([
        "--",
        "-C",
        "target-feature=+crt-static",
    ]))
}
