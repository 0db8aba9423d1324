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
