//! Building a crate of eBPF programs, for this build script and that of the benches.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aya_build::{Package, Toolchain, build_ebpf};

/// Builds a package for the eBPF target, into `OUT_DIR`. `sources` are what it is made of, from the root of the
/// workspace on.
pub fn build(root: &Path, package: &str, folder: &str, sources: &[&str]) -> anyhow::Result<()> {
    // `cargo xtask setup` installs bpf-linker there, at the version that fits the toolchain.
    let tools = root.join("target/tools/bin");
    for path in sources.iter().chain(&["Cargo.lock"]) {
        println!("cargo:rerun-if-changed={}", root.join(path).display());
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
    // The workspace compiles at a lower level; optimised programs are shorter for the verifier, and cost less.
    set_variable("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3".as_ref());
    // What the inner cargo says on stderr would become a warning, "Finished" too.
    set_variable("CARGO_TERM_QUIET", "true".as_ref());
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let shared = shared_folder(&out, package)?;
    set_variable("OUT_DIR", shared.as_os_str());
    let root_dir = root.join(folder);
    let root_dir = root_dir
        .to_str()
        .context("the path of the workspace is not UTF-8")?;
    let built = Package {
        name: package,
        root_dir,
        ..Package::default()
    };
    build_ebpf([built], Toolchain::Custom(toolchain().as_str()))?;
    fs::copy(shared.join(package), out.join(package))?;
    Ok(())
}

/// The folder that aya-build builds in. `OUT_DIR` differs between build scripts, and between builds and lints, and each
/// would compile `core` anew. This one belongs to the profile, and cargo locks it.
fn shared_folder(out: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let profile = out.ancestors().nth(3).context("OUT_DIR has no profile")?;
    let shared = profile.join("ebpf");
    let of_packages = shared.join("aya-build/target");
    fs::create_dir_all(of_packages.join("all"))?;
    match symlink("all", of_packages.join(package)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(shared),
    }
}

/// Sets a variable for the cargo that aya-build starts.
#[allow(unsafe_code, reason = "a build script has one thread")]
fn set_variable(name: &str, value: &OsStr) {
    // SAFETY: no other thread reads the environment meanwhile.
    unsafe { env::set_var(name, value) };
}

/// The toolchain that builds us builds the eBPF programs too.
fn toolchain() -> String {
    env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".to_owned())
}
