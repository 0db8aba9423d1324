//! Manifests as a cluster gets them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::{deploy_folder, tool};
use crate::kit::{Kit, succeed};

/// Releases of Kubernetes whose schemas the manifests are held against: an old one, and the newest that we know of.
const KUBERNETES: [&str; 2] = ["1.31", "1.37"];

/// What a user fills in.
pub struct Site;

impl Site {
    const REGISTRY: &str = "registry.example:5000/team";
    const TAG: &str = "1.2.3";
    pub const SUT_NODE: &str = "node-of-servers";
    pub const LOAD_NODE: &str = "node-of-load";

    /// The name that an image must then have.
    pub fn image(name: &str) -> String {
        format!("{}/hookprobe/{name}:{}", Self::REGISTRY, Self::TAG)
    }
}

/// The name of an image that was built on this machine.
pub fn local_image(name: &str) -> String {
    format!("hookprobe/{name}:dev")
}

/// A copy of the manifests, to fill in and to change.
pub struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    pub fn copy(kit: &Kit) -> anyhow::Result<Self> {
        let folder = kit.scratch()?;
        succeed(
            Command::new("cp")
                .arg("--recursive")
                .arg(deploy_folder().join("kubernetes"))
                .arg(folder.path()),
        )?;
        Ok(Self { folder })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("kubernetes").join(path)
    }

    /// The names of all overlays.
    pub fn overlays(&self) -> anyhow::Result<Vec<String>> {
        fs::read_dir(self.path("overlays"))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// Fills in the one file that is to be filled in, as Windows would write it. Each name in it must be one that we
    /// know: nothing else is a user's to fill in.
    pub fn fill_in_site(&self) -> anyhow::Result<()> {
        let path = self.path("components/site/site.env");
        let filled: String = fs::read_to_string(&path)?
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (name, _) = line.split_once('=').context("no name=value")?;
                let value = match name {
                    "registry" => Site::REGISTRY,
                    "tag" => Site::TAG,
                    "sut_node" => Site::SUT_NODE,
                    "load_node" => Site::LOAD_NODE,
                    other => anyhow::bail!("site.env asks for {other}"),
                };
                Ok(format!("{name}={value}\r\n"))
            })
            .collect::<anyhow::Result<_>>()?;
        fs::write(&path, filled).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Puts a component behind another, in an overlay.
    pub fn add_component(&self, overlay: &str, after: &str, component: &str) -> anyhow::Result<()> {
        let path = self.path(&format!("overlays/{overlay}/kustomization.yaml"));
        let line = |name| format!("  - ../../components/{name}\n");
        let old = fs::read_to_string(&path)?;
        let new = old.replace(&line(after), &(line(after) + &line(component)));
        ensure!(new != old, "{} has no component {after}", path.display());
        Ok(fs::write(path, new)?)
    }

    /// What `kubectl apply --kustomize` would send to the cluster.
    pub fn render(&self, overlay: &str) -> anyhow::Result<String> {
        let overlay = self.path(&format!("overlays/{overlay}"));
        let rendered = succeed(Command::new(tool("kubectl")).arg("kustomize").arg(overlay))?;
        let stderr = String::from_utf8_lossy(&rendered.stderr);
        ensure!(stderr.is_empty(), "kubectl kustomize warns: {stderr}");
        Ok(String::from_utf8(rendered.stdout)?)
    }
}

/// Whether the API servers know every field that was rendered.
pub fn validate(kit: &Kit, rendered: &[String]) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let mut files = Vec::new();
    for (number, text) in rendered.iter().enumerate() {
        let file = folder.path().join(format!("{number}.yaml"));
        fs::write(&file, text)?;
        files.push(file);
    }
    for version in KUBERNETES {
        succeed(
            Command::new(tool("kubernetes-validate"))
                .args(["--strict", "--quiet", "--kubernetes-version", version])
                .args(&files),
        )
        .with_context(|| format!("Kubernetes {version}"))?;
    }
    Ok(())
}
