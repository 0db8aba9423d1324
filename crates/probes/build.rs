//! Builds the eBPF programs for the eBPF target and leaves the object where `loader` takes
//! it in.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use aya_build::{Package, Toolchain, build_ebpf};

fn main() -> anyhow::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("run by cargo")?);
    // `cargo xtask setup` installs bpf-linker there, at the version that fits the toolchain.
    let tools = here.join("../../target/tools/bin");
    for path in ["../abi/src", "../../probe-ebpf/src", "../../Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!(
        "cargo:rerun-if-changed={}",
        tools.join("bpf-linker").display()
    );
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([tools].into_iter().chain(env::split_paths(&path)))?;
    if !env::split_paths(&path).any(|folder| folder.join("bpf-linker").is_file()) {
        bail!("bpf-linker is missing: `cargo xtask setup` builds it");
    }
    set_variable("PATH", &path);
    // The eBPF target needs unstable features of cargo, which stable toolchains have under this
    // flag. It is set for that build alone.
    set_variable("RUSTC_BOOTSTRAP", "1".as_ref());
    // What the inner cargo says on stderr would become a warning, "Finished" too.
    set_variable("CARGO_TERM_QUIET", "true".as_ref());
    let root_dir = here.join("../../probe-ebpf");
    let root_dir = root_dir
        .to_str()
        .context("the path of the workspace is not UTF-8")?;
    let package = Package {
        name: "probe-ebpf",
        root_dir,
        ..Package::default()
    };
    build_ebpf([package], Toolchain::Custom(toolchain().as_str()))
}

/// Sets a variable for the cargo that aya-build starts.
#[allow(unsafe_code, reason = "this program has one thread")]
fn set_variable(name: &str, value: &OsStr) {
    // SAFETY: no other thread reads the environment meanwhile.
    unsafe { env::set_var(name, value) };
}

/// The toolchain that builds us builds the eBPF programs too.
fn toolchain() -> String {
    env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".to_owned())
}
