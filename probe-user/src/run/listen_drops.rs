//! Connections that the listening sockets of processes have turned away, by the kernel's count of each socket.
//!
//! The count is `sk_drops`, which `tcp_listendrop` raises with the namespace's `ListenDrops`: for a request (SYN) or a
//! last acknowledgement that finds the queue of `accept` full, which alone is what `ListenOverflows` counts; for one that
//! finds no room among half-open connections; and for one that there is no memory or no route for. It also counts
//! other packets to the socket that are thrown away, as those with a wrong checksum. Each of them is a client that has to try
//! again, a second later as a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use procfs::process::{FDTarget, Process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use probes::discover::processes::Pid;

/// Drops of listening sockets, by their inode numbers. The kernel's count is 32 bits wide and begins again at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenDrops(BTreeMap<u64, u32>);

impl ListenDrops {
    /// Of the TCP sockets that these processes listen on, each in its network namespace. `None` when a process cannot be
    /// looked at, or the kernel does not tell.
    pub fn of(processes: &[Pid]) -> Option<Self> {
        let mut of_all = BTreeMap::new();
        let mut namespaces = BTreeSet::new();
        let mut held = BTreeSet::new();
        for pid in processes {
            held.extend(sockets_of(*pid)?);
            let namespace = File::open(format!("/proc/{pid}/ns/net")).ok()?;
            if namespaces.insert(namespace.metadata().ok()?.ino()) {
                of_all.extend(drops_in(&namespace).ok()?);
            }
        }
        of_all.retain(|inode, _| held.contains(inode));
        Some(Self(of_all))
    }

    /// How many have come since.
    pub fn since(&self, earlier: &Self) -> u64 {
        let rise = |(inode, now): (&u64, &u32)| {
            let before = earlier.0.get(inode).copied().unwrap_or(0);
            u64::from(now.wrapping_sub(before))
        };
        self.0.iter().map(rise).sum()
    }
}

/// Inode numbers of the sockets that a process has open.
fn sockets_of(pid: Pid) -> Option<BTreeSet<u64>> {
    let descriptors = Process::new(pid).and_then(|process| process.fd()).ok()?;
    let sockets = descriptors
        .flatten()
        .filter_map(|descriptor| match descriptor.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        });
    Some(sockets.collect())
}

/// Drops of all listening sockets of a network namespace. A socket of netlink is of the namespace that it is made in.
fn drops_in(namespace: &File) -> io::Result<BTreeMap<u64, u32>> {
    let own = File::open("/proc/self/ns/net")?;
    if own.metadata()?.ino() == namespace.metadata()?.ino() {
        return drops_here();
    }
    // Only the thread goes there, and ends.
    thread::scope(|scope| {
        let there = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            drops_here()
        });
        let ended = there.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace has panicked")))
    })
}

fn drops_here() -> io::Result<BTreeMap<u64, u32>> {
    let mut drops = BTreeMap::new();
    let socket = Socket::new(NETLINK_SOCK_DIAG)?;
    for (family, socket_id) in [
        (AF_INET, SocketId::new_v4()),
        (AF_INET6, SocketId::new_v6()),
    ] {
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::SKMEMINFO,
            states: StateFlags::LISTEN,
            socket_id,
        };
        let mut message = NetlinkMessage::from(SockDiagMessage::InetRequest(request));
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        socket.send(&bytes, 0)?;
        while take_answer(&socket.recv_from_full()?.0, &mut drops)? == Answer::GoesOn {}
    }
    Ok(drops)
}

#[derive(PartialEq, Eq)]
enum Answer {
    GoesOn,
    Ended,
}

/// Takes the drops out of a part of an answer.
fn take_answer(mut bytes: &[u8], drops: &mut BTreeMap<u64, u32>) -> io::Result<Answer> {
    while !bytes.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(bytes);
        let message = message.map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(Answer::Ended),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                drops.extend(drops_of(&response));
            }
            _ => {}
        }
        // Messages begin at multiples of four.
        let length = (message.header.length as usize).next_multiple_of(4);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok(Answer::GoesOn)
}

fn drops_of(response: &InetResponse) -> Option<(u64, u32)> {
    let drops = response.nlas.iter().find_map(|attribute| match attribute {
        Nla::MemInfo(memory) => Some(memory.drops),
        _ => None,
    })?;
    Some((response.header.inode.into(), drops))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use rustix::net::listen;

    use super::*;

    fn own() -> Pid {
        Pid::try_from(std::process::id()).unwrap()
    }

    /// A listener with room for one connection that nobody accepts.
    fn tight_listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Has clients come until some are turned away.
    fn overflow(address: SocketAddr) -> Vec<io::Result<TcpStream>> {
        let patience = Duration::from_millis(50);
        let clients = (0..4).map(|_| TcpStream::connect_timeout(&address, patience));
        let clients: Vec<_> = clients.collect();
        assert!(clients.iter().any(Result::is_err), "all were let in");
        clients
    }

    fn inode(listener: &TcpListener) -> u64 {
        let link = format!("/proc/self/fd/{}", listener.as_raw_fd());
        std::fs::metadata(link).unwrap().ino()
    }

    #[test]
    fn clients_that_find_the_queue_full_are_counted() {
        let (listener, address) = tight_listener();
        let before = ListenDrops::of(&[own()]).unwrap();
        assert_eq!(before.0.get(&inode(&listener)), Some(&0));
        let _clients = overflow(address);
        let after = ListenDrops::of(&[own()]).unwrap();
        assert!(after.0[&inode(&listener)] > 0, "{after:?}");
        assert!(after.since(&before) > 0);
    }

    #[test]
    fn those_of_other_processes_are_not() {
        let (_listener, address) = tight_listener();
        // Our server: a process that has none of our sockets.
        let mut server = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::try_from(server.id()).unwrap();
        let before = ListenDrops::of(&[pid]).unwrap();
        let clients = overflow(address);
        let after = ListenDrops::of(&[pid]).unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(clients.iter().any(Result::is_err));
        assert_eq!(after.since(&before), 0);
    }

    #[test]
    fn only_the_thread_enters_another_namespace() {
        let unshared = Command::new("unshare")
            .args(["--net", "sleep", "60"])
            .spawn();
        let (Ok(mut server), true) = (unshared, rustix::process::geteuid().is_root()) else {
            eprintln!("not tried: needs root and unshare");
            return;
        };
        let pid = Pid::try_from(server.id()).unwrap();
        let namespace = |of: &str| {
            std::fs::metadata(format!("/proc/{of}/ns/net"))
                .unwrap()
                .ino()
        };
        while namespace(&pid.to_string()) == namespace("self") {
            thread::sleep(Duration::from_millis(1));
        }
        let (_listener, _) = tight_listener();
        let there = File::open(format!("/proc/{pid}/ns/net")).unwrap();
        let found = drops_in(&there);
        let drops = ListenDrops::of(&[pid]);
        server.kill().unwrap();
        server.wait().unwrap();
        assert_eq!(found.unwrap(), BTreeMap::new(), "nobody listens there");
        assert_eq!(drops, Some(ListenDrops::default()));
        assert!(!drops_here().unwrap().is_empty(), "we are where we were");
    }

    #[test]
    fn counts_that_begin_again_and_new_sockets_are_no_loss() {
        let before = ListenDrops([(1, u32::MAX), (2, 7), (3, 5)].into());
        let after = ListenDrops([(1, 2), (2, 7), (4, 6)].into());
        assert_eq!(after.since(&before), 3 + 6);
    }
}
