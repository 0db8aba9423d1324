//! What is under `deploy/`: manifests that clusters take, rules that Prometheus takes, and both fit the agent.
//!
//! No cluster runs here. The manifests are rendered as `kubectl apply --kustomize` would, held against the schemas of
//! Kubernetes, and then against what the hook and the agent need.

pub mod agent;
pub mod capabilities;
mod hook;
pub mod metrics;
mod objects;
mod render;
mod rules;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Test;
use crate::kit::Kit;
use crate::skips::Need;

use self::agent::Power;
use self::objects::Objects;
use self::render::{Site, Tree, validate};

const MANIFESTS: &[Need] = &[
    Need::DeployTool("kubectl"),
    Need::DeployTool("kubernetes-validate"),
];
const PROMETHEUS: &[Need] = &[Need::DeployTool("promtool")];

pub const TESTS: &[Test] = &[
    Test {
        name: "deploy::overlays_are_complete",
        needs: MANIFESTS,
        run: overlays_are_complete,
    },
    Test {
        name: "deploy::wrong_manifests_are_found",
        needs: MANIFESTS,
        run: wrong_manifests_are_found,
    },
    Test {
        name: "deploy::old_kernels_get_one_capability_more",
        needs: MANIFESTS,
        run: old_kernels,
    },
    Test {
        name: "deploy::capabilities_are_enough_and_all_needed",
        needs: &[Need::Root, Need::Program("setpriv")],
        run: capabilities::are_enough_and_all_needed,
    },
    Test {
        name: "deploy::rules_do_what_they_say",
        needs: PROMETHEUS,
        run: rules::do_what_they_say,
    },
    Test {
        name: "deploy::dashboard_and_rules_ask_for_what_there_is",
        needs: PROMETHEUS,
        run: metrics::are_what_the_agent_has,
    },
];

/// Where `cargo xtask test` puts a program for manifests.
pub fn tool(name: &str) -> PathBuf {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/deploy-tools"
    ))
    .join(name)
}

/// The folder under test.
fn deploy_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// An overlay, and what must come out of it.
struct Overlay {
    name: &'static str,
    /// Whether images come from a registry, and not from those that were built on this machine.
    from_registry: bool,
    /// Whether servers and load generators are part of it.
    experiment: bool,
    power: Power,
    /// The node of each thing that must run on a certain one.
    nodes: &'static [(&'static str, &'static str)],
}

const TWO_NODES: &[(&str, &str)] = &[
    ("Pod/sut", Site::SUT_NODE),
    ("Pod/loadgen", Site::LOAD_NODE),
    ("DaemonSet/agent", Site::SUT_NODE),
];

const OVERLAYS: [Overlay; 6] = [
    Overlay {
        name: "kind",
        from_registry: false,
        experiment: true,
        power: Power::Privileged,
        nodes: &[],
    },
    Overlay {
        name: "eks-pod",
        from_registry: true,
        experiment: true,
        power: Power::Privileged,
        nodes: &[],
    },
    Overlay {
        name: "eks-nodes",
        from_registry: true,
        experiment: true,
        power: Power::Privileged,
        nodes: TWO_NODES,
    },
    Overlay {
        name: "loadgen-job",
        from_registry: true,
        experiment: true,
        power: Power::Privileged,
        nodes: TWO_NODES,
    },
    Overlay {
        name: "daemonset",
        from_registry: true,
        experiment: false,
        power: Power::Privileged,
        nodes: &[],
    },
    Overlay {
        name: "daemonset-hardened",
        from_registry: true,
        experiment: false,
        power: Power::Capabilities { old_kernels: false },
        nodes: &[],
    },
];

impl Overlay {
    /// Whether what was rendered is what the hook and the agent need.
    fn check(&self, rendered: &str) -> anyhow::Result<()> {
        let objects = Objects::parse(rendered)?;
        agent::check(&objects, self.power)?;
        for pod in objects.pods() {
            pod.asks_for_no_more_than_it_needs()?;
            let images = if self.from_registry {
                Site::image
            } else {
                render::local_image
            };
            pod.has_images(images)?;
        }
        for (object, node) in self.nodes {
            objects.pod(object)?.runs_on(node)?;
        }
        if self.experiment {
            hook::check(&objects.pod("Pod/sut")?)?;
        } else {
            ensure!(objects.pods().len() == 1, "there is more than the agent");
        }
        Ok(())
    }
}

fn overlays_are_complete(kit: &Kit) -> anyhow::Result<()> {
    let tree = Tree::copy(kit)?;
    tree.fill_in_site()?;
    let folders = tree.overlays()?;
    let known: Vec<&str> = OVERLAYS.iter().map(|overlay| overlay.name).collect();
    for folder in &folders {
        ensure!(
            known.contains(&folder.as_str()),
            "the overlay {folder} is not checked"
        );
    }
    let mut all = Vec::new();
    for overlay in &OVERLAYS {
        let rendered = tree.render(overlay.name)?;
        overlay
            .check(&rendered)
            .with_context(|| format!("overlay {}", overlay.name))?;
        all.push(rendered);
    }
    validate(kit, &all)
}

/// A mistake in an overlay, and what must be said about it.
struct Mistake {
    overlay: &'static str,
    from: &'static str,
    to: &'static str,
    found: &'static str,
}

const MISTAKES: [Mistake; 13] = [
    Mistake {
        overlay: "daemonset",
        from: "hostPID: true",
        to: "hostPid: true",
        found: "hostPID",
    },
    Mistake {
        overlay: "daemonset",
        from: "hostPID: true",
        to: "hostPID: false",
        found: "hostPID",
    },
    Mistake {
        overlay: "daemonset-hardened",
        from: "            - PERFMON\n",
        to: "",
        found: "PERFMON",
    },
    Mistake {
        overlay: "daemonset-hardened",
        from: "            - BPF\n",
        to: "            - BPF\n            - NET_ADMIN\n",
        found: "NET_ADMIN",
    },
    Mistake {
        overlay: "daemonset-hardened",
        from: "            drop:\n            - ALL\n",
        to: "",
        found: "does not drop ALL",
    },
    Mistake {
        overlay: "daemonset",
        from: "privileged: true",
        to: "privileged: false",
        found: "privileged",
    },
    Mistake {
        overlay: "daemonset",
        from: "mountPath: /var/lib/hookprobe",
        to: "mountPath: /var/lib/elsewhere",
        found: "state file",
    },
    Mistake {
        overlay: "daemonset",
        from: "memory: 1Gi",
        to: "memory: 0Gi",
        found: "do not fit",
    },
    Mistake {
        overlay: "eks-pod",
        from: "value: /opt/hook/readhook.so",
        to: "value: /opt/readhook.so",
        found: "LD_PRELOAD",
    },
    Mistake {
        overlay: "eks-nodes",
        from: "mountPath: /opt/hook\n",
        to: "mountPath: /opt/hooks\n",
        found: "/opt/hook",
    },
    Mistake {
        overlay: "kind",
        from: "value: hooked",
        to: "value: baseline",
        found: "HOOKPROBE_ARM",
    },
    Mistake {
        overlay: "eks-pod",
        from: "image: registry.example:5000/team/hookprobe/sut:1.2.3",
        to: "image: hookprobe/sut:dev",
        found: "hookprobe/sut:dev",
    },
    Mistake {
        overlay: "eks-nodes",
        from: "- node-of-servers",
        to: "- node-of-load",
        found: "node-of-servers",
    },
];

/// The checks above can fail: each mistake is made in what was rendered, and must be found.
fn wrong_manifests_are_found(kit: &Kit) -> anyhow::Result<()> {
    let tree = Tree::copy(kit)?;
    tree.fill_in_site()?;
    for mistake in &MISTAKES {
        let overlay = OVERLAYS
            .iter()
            .find(|overlay| overlay.name == mistake.overlay)
            .context("no such overlay")?;
        let wrong = mistake.make(&tree.render(overlay.name)?)?;
        let told = overlay.check(&wrong).err().map(|it| format!("{it:#}"));
        ensure!(
            told.as_ref()
                .is_some_and(|told| told.contains(mistake.found)),
            "{:?} in {}: {told:?}",
            mistake.to,
            overlay.name
        );
    }
    // The first is a field that there is not, which an API server would not take.
    let [misspelt, ..] = &MISTAKES;
    let misspelt = misspelt.make(&tree.render(misspelt.overlay)?)?;
    let told = validate(kit, &[misspelt]).err().map(|it| format!("{it:#}"));
    ensure!(
        told.as_ref().is_some_and(|told| told.contains("hostPid")),
        "of a misspelt hostPID, the schemas say {told:?}"
    );
    Ok(())
}

impl Mistake {
    fn make(&self, rendered: &str) -> anyhow::Result<String> {
        let Self { overlay, from, .. } = self;
        ensure!(
            rendered.contains(from),
            "{overlay} has no {from:?} to change"
        );
        Ok(rendered.replace(from, self.to))
    }
}

/// Nodes before Linux 6.6 need a capability more. The component for them is in no overlay.
fn old_kernels(kit: &Kit) -> anyhow::Result<()> {
    let tree = Tree::copy(kit)?;
    tree.fill_in_site()?;
    tree.add_component("daemonset-hardened", "hardened", "kernel-before-6.6")?;
    let overlay = Overlay {
        name: "daemonset-hardened",
        from_registry: true,
        experiment: false,
        power: Power::Capabilities { old_kernels: true },
        nodes: &[],
    };
    let rendered = tree.render(overlay.name)?;
    overlay.check(&rendered)?;
    validate(kit, &[rendered])
}
