//! The objects of a rendered manifest, and what must be true of each pod.

use anyhow::Context as _;
use serde_json::{Value, json};

/// All objects of a manifest.
pub struct Objects(Vec<Value>);

/// A pod, or what makes one.
pub struct Pod<'a> {
    /// Its kind and its name.
    pub name: String,
    pub spec: &'a Value,
}

impl Objects {
    pub fn parse(rendered: &str) -> anyhow::Result<Self> {
        let objects = serde_saphyr::from_multiple(rendered).context("what was rendered")?;
        Ok(Self(objects))
    }

    /// All pods, and all that makes pods.
    pub fn pods(&self) -> Vec<Pod<'_>> {
        self.0
            .iter()
            .filter_map(|object| {
                let spec = match object["kind"].as_str()? {
                    "Pod" => &object["spec"],
                    _ => object["spec"].get("template")?.get("spec")?,
                };
                let name = name(object);
                Some(Pod { name, spec })
            })
            .collect()
    }

    /// One of them.
    pub fn pod(&self, name: &str) -> anyhow::Result<Pod<'_>> {
        let mut pods = self.pods().into_iter();
        pods.find(|pod| pod.name == name)
            .with_context(|| format!("there is no {name}"))
    }

    /// An object of any kind.
    pub fn object(&self, wanted: &str) -> anyhow::Result<&Value> {
        let mut objects = self.0.iter();
        objects
            .find(|object| name(object) == wanted)
            .with_context(|| format!("there is no {wanted}"))
    }
}

fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

/// The elements of a list, which may be missing.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The element of a list that has a name.
pub fn named<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    list(value).find(|element| element["name"] == name)
}

impl Pod<'_> {
    fn containers(&self) -> impl Iterator<Item = &Value> {
        list(&self.spec["initContainers"]).chain(list(&self.spec["containers"]))
    }

    /// Whether each container has an image of ours, under the name that `image` gives it.
    pub fn has_images(&self, image: fn(&str) -> String) -> anyhow::Result<()> {
        let ours = ["sut", "loadgen", "readhook", "probe-user"].map(image);
        for container in self.containers() {
            let image = container["image"].as_str().unwrap_or_default();
            ensure!(
                ours.iter().any(|ours| ours == image),
                "{} has the image \"{image}\"",
                self.name
            );
        }
        Ok(())
    }

    /// Whether it has no account, no way to change its image, and limits. All but the agent are not root, either.
    pub fn asks_for_no_more_than_it_needs(&self) -> anyhow::Result<()> {
        let name = &self.name;
        ensure!(
            self.spec["automountServiceAccountToken"] == false,
            "{name} gets a token of the API server"
        );
        for container in self.containers() {
            let of = &container["name"];
            let security = &container["securityContext"];
            ensure!(
                security["readOnlyRootFilesystem"] == true,
                "{name}: {of} can write to its image"
            );
            for what in ["cpu", "memory"] {
                ensure!(
                    container["resources"]["limits"][what].is_string(),
                    "{name}: {of} has no limit of {what}"
                );
            }
            if name != super::agent::NAME {
                ensure!(
                    security["capabilities"] == json!({"drop": ["ALL"]})
                        && security["allowPrivilegeEscalation"] == false
                        && self.spec["securityContext"]["runAsNonRoot"] == true,
                    "{name}: {of} may more than it needs: {security}"
                );
            }
        }
        Ok(())
    }

    /// Whether a node of this name is the only one that it can run on.
    pub fn runs_on(&self, node: &str) -> anyhow::Result<()> {
        let required = &self.spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let wanted = json!({"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
        ]}]});
        ensure!(
            *required == wanted,
            "{} runs not on {node}, but where {required} says",
            self.name
        );
        Ok(())
    }
}
