//! Which container and pod a process belongs to, by its control group.
//!
//! Container engines name control groups after containers, and the kubelet those above after pods. Which of the
//! hierarchies of cgroup v1 does not matter, and neither does what stands before: inside a namespace of control
//! groups paths begin with
//! `/../..`.

use std::fs;

use crate::discover::processes::Pid;

/// Digits of a container's id in full.
const ID_DIGITS: usize = 64;
/// Digits of a container's id that are shown, as container engines do.
const SHORT_DIGITS: usize = 12;

/// Where a process lives. Both are empty for a process outside of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Home {
    /// Id of the container, in full.
    pub container: String,
    /// UID of the pod, with hyphens.
    pub pod: String,
}

impl Home {
    /// That of a process; an error if it has ended.
    pub fn of(pid: Pid) -> std::io::Result<Self> {
        Ok(Self::in_cgroups(&fs::read_to_string(format!(
            "/proc/{pid}/cgroup"
        ))?))
    }

    /// By what `/proc/PID/cgroup` says: a line for each hierarchy, `number:controllers:path`.
    pub fn in_cgroups(text: &str) -> Self {
        let homes = text.lines().filter_map(|line| {
            let path = line.splitn(3, ':').nth(2)?;
            Some(Self::at_path(path))
        });
        // The one that knows the most. On a host with both versions some paths are just `/`.
        homes
            .max_by_key(|home| (!home.container.is_empty(), !home.pod.is_empty()))
            .unwrap_or_default()
    }

    fn at_path(path: &str) -> Self {
        // The innermost: a Kind node is a container itself.
        let innermost = |find: fn(&str) -> Option<String>| path.rsplit('/').find_map(find);
        Self {
            container: innermost(container_of).unwrap_or_default(),
            pod: innermost(pod_of).unwrap_or_default(),
        }
    }

    /// The container's id as it is shown.
    pub fn short_container(&self) -> &str {
        self.container.get(..SHORT_DIGITS).unwrap_or_default()
    }
}

/// The id in a part of a path: `ID`, `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID`, `pod…:cri-containerd:ID`.
fn container_of(part: &str) -> Option<String> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    let id = bare.rsplit(['-', ':']).next()?;
    // conmon watches a container of cri-o from a group of its own.
    let is_id = id.len() == ID_DIGITS && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_id && !bare.contains("conmon")).then(|| id.to_ascii_lowercase())
}

/// The UID in a part of a path: `podUID`, `kubepods-burstable-podU_I_D.slice`.
fn pod_of(part: &str) -> Option<String> {
    let bare = part.split(':').next()?;
    let bare = bare.strip_suffix(".slice").unwrap_or(bare);
    let (before, uid) = bare.rsplit_once("pod")?;
    if !(before.is_empty() || before.ends_with('-')) {
        return None;
    }
    let uid = uid.replace('_', "-");
    is_uid(&uid).then_some(uid)
}

/// A UUID; or 32 digits without hyphens, as pods have them that the kubelet reads from files.
fn is_uid(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let hyphens = text.bytes().filter(|byte| *byte == b'-').count();
    digits == 32 && digits + hyphens == text.len() && (hyphens == 0 || hyphens == 4)
}

#[cfg(test)]
mod tests;
