//! The images, from what this machine has built.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use crate::command::{command, is_installed, run};
use crate::containers::engine::Engine;
use crate::containers::folder;

/// What the images hold.
pub fn programs() -> PathBuf {
    folder().join("programs")
}

/// Builds hookprobe's own. A folder takes the place of the stages that would compile.
pub fn build(engine: &Engine) -> anyhow::Result<()> {
    run(engine
        .docker()
        .args(["buildx", "bake", "--progress", "quiet"])
        .args(["--file", "deploy/images/docker-bake.hcl"])
        .arg("--set")
        .arg(format!("*.contexts.prebuilt={}", programs().display()))
        .args(["--set", "*.args.HOOK=prebuilt"])
        .args(["--set", "*.args.PROGRAMS=prebuilt"])
        .stdout(Stdio::null()))
}

/// Builds the one of the Java server, with a Java from Debian's packages.
pub fn build_java(engine: &Engine) -> anyhow::Result<()> {
    let mut build = engine.docker();
    build
        .args(["buildx", "build", "--quiet"])
        .args(["--file", "deploy/images/Dockerfile"])
        .args(["--target", "java", "--tag", "hookprobe/java:dev"])
        // The engine has no bridge that builds could use.
        .args(["--network", "host"]);
    // Where there is no compiler for it, one is installed in the build.
    if is_installed("javac") {
        build
            .args(["--build-arg", "JAVA_CLASSES=prebuilt", "--build-context"])
            .arg(format!("prebuilt={}", java_classes()?.display()));
    }
    run(build.arg(".").stdout(Stdio::null()))
}

/// Compiles the Java server; returns the folder of its classes.
fn java_classes() -> anyhow::Result<PathBuf> {
    let classes = folder().join("java");
    fs::create_dir_all(&classes)?;
    run(command("javac")
        .args(["--release", "17", "-d"])
        .arg(&classes)
        .arg("deploy/images/java/Server.java"))?;
    Ok(classes)
}
