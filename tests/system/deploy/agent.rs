//! What the agent's pod may do: all that the agent needs, and, in the hardened one, nothing else.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::objects::{Objects, list, named};

/// The agent's own list.
const CAPABILITIES: &str = include_str!("../../../probe-user/capabilities.txt");

/// What runs it.
pub const NAME: &str = "DaemonSet/agent";

/// How the pod gets its rights.
#[derive(Clone, Copy)]
pub enum Power {
    Privileged,
    Capabilities {
        /// Whether nodes may be older than Linux 6.6.
        old_kernels: bool,
    },
}

/// The capabilities that the agent asks for.
pub fn asked_for(old_kernels: bool) -> anyhow::Result<BTreeSet<&'static str>> {
    let mut names = BTreeSet::new();
    for line in CAPABILITIES.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let name = words.next().context("an empty line")?;
        match words.next() {
            Some("always") => names.insert(name),
            Some("before-6.6") => old_kernels && names.insert(name),
            other => anyhow::bail!("{name} is needed on which kernels? {other:?}"),
        };
        ensure!(words.next().is_some(), "{name} is needed for no reason");
    }
    Ok(names)
}

/// Whether the agent is there, sees what it must see, and is reached and watched.
pub fn check(objects: &Objects, power: Power) -> anyhow::Result<()> {
    let pod = objects.pod(NAME)?;
    ensure!(pod.spec["hostPID"] == true, "hostPID is not true");
    ensure!(
        pod.spec["hostNetwork"].is_null(),
        "the agent needs no network of the node's"
    );
    ensure!(
        pod.spec["tolerations"] == json!([{"operator": "Exists"}]),
        "tainted nodes have no agent"
    );
    let container = named(&pod.spec["containers"], "agent").context("no container agent")?;
    rights(&container["securityContext"], power)?;
    mounts_nothing_of_the_node(pod.spec)?;
    watched(container)?;
    let update = &objects.object(NAME)?["spec"]["updateStrategy"];
    ensure!(update["type"] == "RollingUpdate", "updates: {update}");
    objects.object("NetworkPolicy/deny-all")?;
    objects.object("NetworkPolicy/agent")?;
    Ok(())
}

fn rights(security: &Value, power: Power) -> anyhow::Result<()> {
    ensure!(security["runAsUser"] == 0, "the agent is not root");
    let old_kernels = match power {
        Power::Privileged => {
            ensure!(
                security["privileged"] == true,
                "the agent is not privileged"
            );
            return Ok(());
        }
        Power::Capabilities { old_kernels } => old_kernels,
    };
    ensure!(
        security["privileged"] != true,
        "the hardened agent is privileged"
    );
    let given: BTreeSet<&str> = list(&security["capabilities"]["add"])
        .filter_map(Value::as_str)
        .collect();
    let asked_for = asked_for(old_kernels)?;
    ensure!(
        given == asked_for,
        "the manifest gives {given:?}, probe-user/capabilities.txt asks for {asked_for:?}"
    );
    ensure!(
        security["capabilities"]["drop"] == json!(["ALL"]),
        "the hardened agent does not drop ALL other capabilities"
    );
    // An escalation cannot be ruled out beside SYS_ADMIN.
    ensure!(
        old_kernels || security["allowPrivilegeEscalation"] == false,
        "the hardened agent can gain privileges"
    );
    ensure!(
        security["seccompProfile"]["type"] == "RuntimeDefault",
        "the hardened agent may call everything"
    );
    Ok(())
}

fn mounts_nothing_of_the_node(spec: &Value) -> anyhow::Result<()> {
    let of_the_node = list(&spec["volumes"]).find(|volume| volume.get("hostPath").is_some());
    ensure!(
        of_the_node.is_none(),
        "the agent mounts a folder of the node: {of_the_node:?}"
    );
    Ok(())
}

fn watched(container: &Value) -> anyhow::Result<()> {
    let arguments: Vec<&str> = list(&container["args"]).filter_map(Value::as_str).collect();
    for wanted in [
        "agent",
        "--listen=0.0.0.0:9464",
        "--token-file=/etc/hookprobe/token",
    ] {
        ensure!(arguments.contains(&wanted), "no {wanted} in {arguments:?}");
    }
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        ensure!(
            container[probe]["httpGet"] == json!({"path": path, "port": "http"}),
            "{probe}: {}",
            container[probe]
        );
    }
    ensure!(
        named(&container["ports"], "http").is_some_and(|port| port["containerPort"] == 9464),
        "port 9464 is not named"
    );
    Ok(())
}
