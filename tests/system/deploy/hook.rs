//! How the hook gets into one server and not into the other.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::objects::{Pod, list, named};

/// Where the library is, in every container that uses it.
const FOLDER: &str = "/opt/hook";
const LIBRARY: &str = "/opt/hook/readhook.so";

/// Whether the pod has a server without the hook and one with it, and nothing else differs between them.
pub fn check(pod: &Pod<'_>) -> anyhow::Result<()> {
    let containers = &pod.spec["containers"];
    let container = |name| named(containers, name).with_context(|| format!("no container {name}"));
    let (baseline, hooked) = (container("sut")?, container("sut-hooked")?);
    arm(baseline, "baseline", None)?;
    arm(hooked, "hooked", Some(LIBRARY))?;
    installed(pod, hooked)?;
    for same in ["image", "resources", "securityContext", "volumeMounts"] {
        ensure!(
            baseline[same] == hooked[same],
            "the servers differ in {same}"
        );
    }
    Ok(())
}

/// Whether a container is of this arm, with the hook or without.
fn arm(container: &Value, name: &str, hook: Option<&str>) -> anyhow::Result<()> {
    let value = |variable| named(&container["env"], variable).map(|found| &found["value"]);
    let of = &container["name"];
    ensure!(
        value("HOOKPROBE_ARM") == Some(&json!(name)),
        "{of}: HOOKPROBE_ARM is not {name}"
    );
    ensure!(
        value("LD_PRELOAD") == hook.map(|hook| json!(hook)).as_ref(),
        "{of}: LD_PRELOAD is {:?}, not {hook:?}",
        value("LD_PRELOAD")
    );
    Ok(())
}

/// Whether the library is put into a volume before the container starts, and read from there.
fn installed(pod: &Pod<'_>, container: &Value) -> anyhow::Result<()> {
    let mount = |container: &Value| {
        let mut mounts = list(&container["volumeMounts"]);
        mounts.find(|mount| mount["mountPath"] == FOLDER).cloned()
    };
    let read = mount(container).with_context(|| format!("nothing is mounted at {FOLDER}"))?;
    ensure!(read["readOnly"] == true, "a server can change the hook");
    let installs = |init: &&Value| {
        let image = init["image"].as_str().unwrap_or_default();
        image.contains("hookprobe/readhook:")
            && init["args"] == json!([FOLDER])
            && init.get("command").is_none()
            && mount(init).is_some_and(|written| {
                written["name"] == read["name"] && written.get("readOnly").is_none()
            })
    };
    ensure!(
        list(&pod.spec["initContainers"]).any(|init| installs(&init)),
        "nothing copies the hook to {FOLDER}"
    );
    let volume = read["name"].as_str().unwrap_or_default();
    let volume = named(&pod.spec["volumes"], volume).context("the hook's volume is missing")?;
    ensure!(
        volume["emptyDir"].is_object(),
        "the hook's volume is not the pod's own: {volume}"
    );
    Ok(())
}
