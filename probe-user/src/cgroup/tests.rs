use super::*;

#[test]
fn hierarchies_are_told_apart() {
    let hybrid = "4:memory:/a\n2:cpu,cpuacct:/b\n1:name=systemd:/c\n0::/d\n";
    assert_eq!(path_in(hybrid, "cpu"), Some("/b"));
    assert_eq!(path_in(hybrid, "memory"), Some("/a"));
    assert_eq!(path_in(hybrid, ""), Some("/d"));
    assert_eq!(path_in("0::/docker:1\n", "cpu"), None);
    assert_eq!(path_in("0::/docker:1\n", ""), Some("/docker:1"));
}

#[test]
fn the_least_limit_holds_and_hits_add_up() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("pod/container");
    fs::create_dir_all(&inner).unwrap();
    let write = |folder: &Path, file, text| fs::write(folder.join(file), text).unwrap();
    let pod = inner.parent().unwrap();
    write(&inner, "cpu.max", "max 100000\n");
    write(pod, "cpu.max", "50000 100000\n");
    write(&inner, "cpu.stat", "usage_usec 1\nnr_throttled 0\n");
    write(pod, "cpu.stat", "nr_throttled 7\n");
    write(&inner, "memory.max", "4096\n");
    write(pod, "memory.max", "max\n");
    write(&inner, "memory.events", "low 0\nmax 2\n");
    let groups = Groups {
        is_version_1: false,
        folders: vec![inner, root.path().join("pod")],
    };
    assert_eq!(groups.cpu_limit(), Some(0.5));
    assert_eq!(groups.throttled_periods(), Some(7));
    assert_eq!(groups.memory_limit(), Some(4_096));
    assert_eq!(groups.memory_limit_hits(), Some(2));
}

#[test]
fn what_cannot_be_seen_has_no_limits() {
    let nowhere = Groups::of("0", Controller::Cpu);
    assert_eq!(nowhere, Groups::default());
    assert_eq!(
        (nowhere.cpu_limit(), nowhere.throttled_periods()),
        (None, None)
    );
    let own = Groups::of("self", Controller::Memory);
    assert!(own.folders.iter().all(|folder| folder.starts_with(MOUNT)));
}
