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
mod tests {
    use super::*;

    const ID: &str = "3f9e0c1d2b4a59687766554433221100ffeeddccbbaa99887766554433221100";
    const NODE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const POD: &str = "0f3b1a52-8a3e-4f0e-9d55-0c9a8f1f6e21";

    fn home(container: &str, pod: &str) -> Home {
        Home {
            container: container.to_owned(),
            pod: pod.to_owned(),
        }
    }

    #[test]
    fn engines_and_drivers_are_known() {
        let pod_ = POD.replace('-', "_");
        for (path, container, pod) in [
            // Docker, cgroupfs and systemd drivers.
            (format!("/docker/{ID}"), ID, ""),
            (format!("/system.slice/docker-{ID}.scope"), ID, ""),
            // podman
            (
                format!("/machine.slice/libpod-{ID}.scope/container"),
                ID,
                "",
            ),
            // containerd by hand
            (format!("/default/{ID}"), ID, ""),
            // kubelet, cgroupfs driver
            (format!("/kubepods/burstable/pod{POD}/{ID}"), ID, POD),
            (format!("/kubepods/pod{POD}/{ID}"), ID, POD),
            // kubelet, systemd driver, containerd and cri-o
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod_}.slice/cri-containerd-{ID}.scope"
                ),
                ID,
                POD,
            ),
            (
                format!("/kubepods.slice/kubepods-pod{pod_}.slice/crio-{ID}.scope"),
                ID,
                POD,
            ),
            // containerd with the systemd driver set in one of both places
            (
                format!(
                    "/system.slice/containerd.service/kubepods-besteffort-pod{pod_}.slice:cri-containerd:{ID}"
                ),
                ID,
                POD,
            ),
            // a pod inside of a Kind node, seen from the host
            (
                format!(
                    "/docker/{NODE}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{pod_}.slice/cri-containerd-{ID}.scope"
                ),
                ID,
                POD,
            ),
            // from inside of another namespace of control groups
            (format!("/../../pod{POD}/{ID}"), ID, POD),
            // the node's own processes
            (
                format!("/docker/{NODE}/kubelet.slice/kubelet.service"),
                NODE,
                "",
            ),
            // no container
            ("/".to_owned(), "", ""),
            (
                "/user.slice/user-1000.slice/session-2.scope".to_owned(),
                "",
                "",
            ),
            ("/system.slice/podman.service".to_owned(), "", ""),
            (format!("/system.slice/crio-conmon-{ID}.scope"), "", ""),
        ] {
            let expected = home(container, pod);
            assert_eq!(
                Home::in_cgroups(&format!("0::{path}\n")),
                expected,
                "{path}"
            );
            let v1 = format!("12:cpu,cpuacct:{path}\n3:pids:{path}\n1:name=systemd:{path}\n0::/\n");
            assert_eq!(Home::in_cgroups(&v1), expected, "{path}");
        }
    }

    #[test]
    fn a_static_pod_has_a_uid_without_hyphens() {
        let uid = "0123456789abcdef0123456789abcdef";
        let text = format!("0::/kubepods/burstable/pod{uid}/{ID}\n");
        assert_eq!(Home::in_cgroups(&text), home(ID, uid));
    }

    #[test]
    fn ids_are_shown_short() {
        assert_eq!(home(ID, "").short_container(), "3f9e0c1d2b4a");
        assert_eq!(home("", "").short_container(), "");
    }

    #[test]
    fn nonsense_is_no_container() {
        for text in [
            "",
            "\n",
            "::",
            "0::",
            "no colon",
            "0::/\u{fffd}\u{fffd}-\u{fffd}.scope",
        ] {
            assert_eq!(Home::in_cgroups(text), Home::default(), "{text}");
        }
    }

    #[test]
    fn this_process_has_a_home() {
        assert!(Home::of(i32::try_from(std::process::id()).unwrap()).is_ok());
        assert!(Home::of(i32::MAX).is_err());
    }
}
