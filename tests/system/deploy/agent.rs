//! What the agent's pod may do: all that the agent needs, and, in the hardened one, nothing else.

use std::collections::BTreeSet;

use abi::lane::lanes_per_arm;
use abi::layout::Spans;
use abi::{Lane, SpanKind};
use anyhow::Context as _;
use serde_json::{Value, json};

use super::objects::{Objects, list, named};

/// The agent's own list.
const CAPABILITIES: &str = include_str!("../../../crates/probes/capabilities.txt");

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
    keeps_its_state(pod.spec, container)?;
    histograms_fit(container)?;
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
        "the manifest gives {given:?}, crates/probes/capabilities.txt asks for {asked_for:?}"
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

/// The state file outlives the container, and the node's name is known.
fn keeps_its_state(spec: &Value, container: &Value) -> anyhow::Result<()> {
    let mount = named(&container["volumeMounts"], "state").context("no mount for the state")?;
    let folder = mount["mountPath"].as_str().context("no path")?;
    let file = list(&container["args"])
        .filter_map(Value::as_str)
        .find_map(|argument| argument.strip_prefix("--state-file="));
    ensure!(
        file.is_some_and(|file| file.starts_with(&format!("{folder}/"))),
        "the state file {file:?} is not in {folder}"
    );
    ensure!(
        named(&spec["volumes"], "state").is_some_and(|volume| volume["emptyDir"].is_object()),
        "the state does not outlive the container"
    );
    let node = named(&container["env"], "HOOKPROBE_NODE").context("no HOOKPROBE_NODE")?;
    ensure!(
        node["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName",
        "the node's name: {node}"
    );
    Ok(())
}

/// The limit of memory holds the histograms of the default number of arms on a node with as many CPUs as docs/agent.md
/// has figures for, and the agent itself.
fn histograms_fit(container: &Value) -> anyhow::Result<()> {
    const CPUS: usize = 128;
    const SERIES: u64 = 32;
    // What the agent's own memory has come to, several times over.
    const AGENT: u64 = 96 << 20;
    let histograms = SpanKind::COUNT as usize * CPUS * size_of::<Spans>();
    let lanes = lanes_per_arm(CPUS) as usize * size_of::<Lane>();
    let needed = SERIES * (histograms + lanes) as u64 + AGENT;
    let limit = container["resources"]["limits"]["memory"].as_str();
    let limit = limit.and_then(|limit| limit.strip_suffix("Gi")?.parse::<u64>().ok());
    let limit = limit.context("no limit of memory in Gi")? << 30;
    ensure!(
        needed <= limit,
        "{needed} bytes on {CPUS} CPUs do not fit into {limit}"
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
