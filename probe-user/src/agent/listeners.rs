//! Which processes listen on ports of interest, in whatever network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};

use probes::discover::processes::Pid;

/// Inode number of a socket, and the port that it listens on.
type Sockets = BTreeMap<u64, u16>;

/// The sockets of interest.
#[derive(Debug, Default)]
pub struct Listeners {
    wanted: Vec<u16>,
    /// By network namespace.
    namespaces: BTreeMap<u64, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    sockets: Sockets,
    /// Whether they are others than at the last look.
    changed: bool,
}

impl Listeners {
    /// Of these ports.
    pub fn on(wanted: Vec<u16>) -> Self {
        Self {
            wanted,
            namespaces: BTreeMap::new(),
        }
    }

    /// Looks at the sockets of all namespaces that these processes live in.
    pub fn refresh(&mut self, pids: impl Iterator<Item = Pid>) {
        if self.wanted.is_empty() {
            return;
        }
        let mut seen = BTreeSet::new();
        for pid in pids {
            let Some(namespace) = network_namespace(pid) else {
                continue;
            };
            if seen.insert(namespace)
                && let Ok(process) = Process::new(pid)
            {
                let sockets = listening(&process, &self.wanted);
                let known = self.namespaces.entry(namespace).or_default();
                known.changed = known.sockets != sockets;
                known.sockets = sockets;
            }
        }
        self.namespaces
            .retain(|namespace, _| seen.contains(namespace));
    }

    /// The ports of interest that a process listens on. One that `is_known` is looked at only if there are other
    /// sockets than before.
    pub fn ports_of(&self, pid: Pid, is_known: bool) -> Vec<u16> {
        let namespace = if self.wanted.is_empty() {
            None
        } else {
            network_namespace(pid).and_then(|number| self.namespaces.get(&number))
        };
        let Some(namespace) = namespace else {
            return Vec::new();
        };
        if namespace.sockets.is_empty() || (is_known && !namespace.changed) {
            return Vec::new();
        }
        let descriptors = Process::new(pid).and_then(|process| process.fd());
        let descriptors = descriptors.into_iter().flatten().flatten();
        descriptors
            .filter_map(|descriptor| match descriptor.target {
                FDTarget::Socket(inode) => namespace.sockets.get(&inode).copied(),
                _ => None,
            })
            .collect()
    }
}

fn network_namespace(pid: Pid) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/net"))
        .ok()
        .map(|namespace| namespace.ino())
}

fn listening(process: &Process, wanted: &[u16]) -> Sockets {
    let tables = [process.tcp(), process.tcp6()];
    let entries = tables.into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.state == TcpState::Listen)
        .map(|entry| (entry.inode, entry.local_address.port()))
        .filter(|(_, port)| wanted.contains(port))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found_while_it_listens() {
        let own = Pid::try_from(std::process::id()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut listeners = Listeners::on(vec![port]);
        listeners.refresh([own].into_iter());
        assert_eq!(listeners.ports_of(own, false), [port]);
        assert_eq!(listeners.ports_of(own, true), [port], "new sockets");
        listeners.refresh([own].into_iter());
        assert!(listeners.ports_of(own, true).is_empty(), "nothing is new");
        drop(listener);
        listeners.refresh([own].into_iter());
        assert!(listeners.ports_of(own, false).is_empty());
        let none = Listeners::on(Vec::new());
        assert!(none.ports_of(own, false).is_empty());
    }
}
