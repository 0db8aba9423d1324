//! Installing what is missing, and saying so.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::command::{cargo, command, is_installed, output, run, target};
use crate::privilege::{Privilege, as_root, privilege};

/// The linker of eBPF programs. Its LLVM is the one of the pinned toolchain.
const BPF_LINKER_VERSION: &str = "0.10.4";
/// What builds and runs the fuzzers.
const CARGO_FUZZ_VERSION: &str = "0.13.2";
/// Load generators to measure beside.
const OHA_VERSION: &str = "1.16.0";
const LOCUST_VERSION: &str = "2.47.0";

/// Everything that a build needs, and what tracing tools expect.
pub fn all() -> anyhow::Result<()> {
    mounts();
    ebpf()
}

/// What building eBPF programs takes.
pub fn ebpf() -> anyhow::Result<()> {
    rust_src()?;
    tool("bpf-linker", BPF_LINKER_VERSION, &SOON_BUILT)
}

/// The sources of `core`, which the eBPF target is built from.
fn rust_src() -> anyhow::Result<()> {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]))?;
    let sysroot = String::from_utf8(sysroot.stdout).context("rustc's sysroot")?;
    let sources = format!(
        "{}/lib/rustlib/src/rust/library/core/Cargo.toml",
        sysroot.trim()
    );
    if fs::exists(&sources)? {
        return Ok(());
    }
    eprintln!("installing the component rust-src of the Rust toolchain");
    run(command("rustup").args(["component", "add", "rust-src"]))
        .context("rust-src is needed to build for the eBPF target")
}

/// Has rustup install the standard library of a target.
pub fn rust_target(name: &str) -> anyhow::Result<()> {
    let libraries = output(command("rustc").args(["--print", "target-libdir", "--target", name]))?;
    let libraries = String::from_utf8(libraries.stdout)?;
    if !Path::new(libraries.trim()).is_dir() {
        eprintln!("installing the Rust target {name}");
        run(command("rustup").args(["target", "add", name]))?;
    }
    Ok(())
}

/// Has programs installed by Debian packages, where one of them is missing.
pub fn require(programs: &[&str], packages: &[&str]) -> anyhow::Result<()> {
    let missing = || programs.iter().find(|program| !is_installed(program));
    if missing().is_some() {
        install_packages(packages);
        if let Some(missing) = missing() {
            bail!(
                "{missing} is not installed, and could not be (Debian packages {})",
                packages.join(", ")
            );
        }
    }
    Ok(())
}

/// What could not be fetched is an error if it must be there. Else it is said; who needs it is skipped by name.
pub fn tolerate(fetched: anyhow::Result<()>, must_run: bool) -> anyhow::Result<()> {
    match fetched {
        Err(error) if !must_run => {
            eprintln!("  {error:#}");
            Ok(())
        }
        other => other,
    }
}

/// The driver of the fuzzers.
pub fn cargo_fuzz() -> anyhow::Result<()> {
    tool("cargo-fuzz", CARGO_FUZZ_VERSION, &SOON_BUILT)
}

/// A load generator that ours is measured beside; returns its program.
pub fn oha() -> anyhow::Result<PathBuf> {
    tool("oha", OHA_VERSION, &[])?;
    Ok(target().join("tools/bin/oha"))
}

/// Another; returns its program.
pub fn locust() -> anyhow::Result<PathBuf> {
    python_program("locust", LOCUST_VERSION, &target().join("peers/locust"))
}

/// A program from the Python Package Index, in a folder with a Python of its own; returns its path.
pub fn python_program(name: &str, version: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    python_packages(name, &[&format!("{name}=={version}")], folder)
}

/// The same of several packages, as `name==version`, one of which has the program.
pub fn python_packages(name: &str, packages: &[&str], folder: &Path) -> anyhow::Result<PathBuf> {
    let programs = folder.join("bin");
    let program = programs.join(name);
    if !program.is_file() {
        eprintln!(
            "installing {} into {}",
            packages.join(", "),
            folder.display()
        );
        let make = || {
            run(command("python3")
                .args(["-m", "venv", "--clear"])
                .arg(folder))
        };
        make().or_else(|_| {
            install_packages(&["python3-venv"]);
            make()
        })?;
        run(command(programs.join("pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(packages))?;
    }
    Ok(program)
}

/// The PATH with what is built here before everything else.
pub fn path_with_tools() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = std::iter::once(target().join("tools/bin"));
    std::env::join_paths(ours.chain(std::env::split_paths(&path))).unwrap_or(path)
}

/// Tools that are run a few times only: it is their build that takes time.
const SOON_BUILT: [(&str, &str); 2] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
];

/// A program from crates.io, into the target folder: nothing of the user's is changed.
fn tool(name: &str, version: &str, profile: &[(&str, &str)]) -> anyhow::Result<()> {
    let tools = target().join("tools");
    let program = tools.join("bin").join(name);
    if program.is_file() {
        let said = output(command(&program).arg("--version"))?;
        if String::from_utf8_lossy(&said.stdout)
            .trim()
            .ends_with(version)
        {
            return Ok(());
        }
    }
    eprintln!(
        "building {name} {version} into {} (about a minute)",
        tools.display()
    );
    // A target folder of its own: cargo holds a lock on ours while it runs us.
    run(cargo()
        .args(["install", name, "--locked", "--force", "--version", version])
        .arg("--root")
        .arg(&tools)
        .envs(profile.iter().copied())
        .env("CARGO_TARGET_DIR", tools.join("build")))?;
    fs::remove_dir_all(tools.join("build"))
        .with_context(|| format!("cannot remove {name}'s build folder"))
}

/// File systems of the kernel that tracing tools expect. hookprobe's own probes do without, so a
/// machine that refuses is only told about.
pub fn mounts() {
    for (kind, place) in [("tracefs", "/sys/kernel/tracing"), ("bpf", "/sys/fs/bpf")] {
        let mounted = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let is_mounted = mounted.lines().any(|line| {
            let mut fields = line.split(' ').skip(1);
            fields.next() == Some(place) && fields.next() == Some(kind)
        });
        if is_mounted || privilege() == Privilege::None {
            continue;
        }
        eprintln!("mounting {kind} on {place}");
        if let Err(error) = run(as_root("mount").args(["-t", kind, kind, place])) {
            eprintln!("  not mounted, and not needed by hookprobe itself: {error:#}");
        }
    }
}

/// Programs that tests run beside ours, and the Debian packages that have them.
const TEST_PEERS: [(&str, &str); 23] = [
    ("ar", "binutils"),
    ("bash", "bash"),
    ("c++", "g++"),
    ("cc", "gcc"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("git", "git"),
    ("ip", "iproute2"),
    ("javac", "default-jdk-headless"),
    ("jq", "jq"),
    ("less", "less"),
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("redis-benchmark", "redis-tools"),
    ("redis-cli", "redis-tools"),
    ("redis-server", "redis-server"),
    ("sqlite3", "sqlite3"),
    ("strace", "strace"),
    ("tar", "tar"),
    ("valgrind", "valgrind"),
    ("xz", "xz-utils"),
];

/// Installs the programs that the tests run beside ours, where that can be done. What is missing
/// then skips its tests by name.
pub fn test_peers() {
    let missing: Vec<&str> = TEST_PEERS
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    install_packages(&missing);
}

/// Installs Debian packages, if there are any to install and this is a Debian system.
pub fn install_packages(packages: &[&str]) {
    if packages.is_empty() || !is_installed("apt-get") || privilege() == Privilege::None {
        return;
    }
    eprintln!("installing the Debian packages {}", packages.join(", "));
    let result = run(as_root("apt-get").args(["update", "-qq"])).and_then(|()| {
        // By way of env: sudo does not hand this variable on.
        run(as_root("env")
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
            .args(["install", "-qq", "-y", "--no-install-recommends"])
            .args(packages)
            .stdout(std::process::Stdio::null()))
    });
    if let Err(error) = result {
        eprintln!("  cannot install them: {error:#}");
    }
}
