//! The identity of an accepted connection, and what the kernel says about its socket.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::trial::mix;

use crate::clock::monotonic_ns;
use crate::raw;

static ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// A new identity: a non-zero word that, with high probability, no other connection of this machine
/// has.
///
/// It mixes the instant, the process and a counter, so that it is a new one too when a descriptor
/// number is used again, when a child of `fork` accepts on its own, and when two containers number
/// their processes alike.
pub fn new_identity() -> u64 {
    let count = ACCEPTED.fetch_add(1, Ordering::Relaxed);
    let pid = raw::process();
    let seed = monotonic_ns() ^ (u64::from(pid.cast_unsigned()) << 32) ^ count.rotate_right(16);
    mix(seed).max(1)
}

/// Whether `fd` is an IPv4 or IPv6 socket. Asks the kernel, so that it also holds when the caller
/// of `accept` passed no address or one too short for the family.
pub fn is_internet_socket(fd: i32) -> bool {
    matches!(raw::family(fd), Some(libc::AF_INET | libc::AF_INET6))
}

/// The peer of a connection as the `accepted` site reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `AF_INET`, `AF_INET6`, or 0 when the kernel no longer knows (the peer is gone).
    pub family: u16,
    /// TCP port in host byte order.
    pub port: u16,
}

/// Asks the kernel for the peer of `fd`.
pub fn peer_of(fd: i32) -> Peer {
    raw::peer(fd).map_or(Peer { family: 0, port: 0 }, |address| Peer {
        // The port of sockaddr_in and of sockaddr_in6 is at the same place.
        family: address.sin6_family,
        port: u16::from_be(address.sin6_port),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn identities_are_distinct_and_never_zero() {
        let identities: HashSet<u64> = (0..10_000).map(|_| new_identity()).collect();
        assert_eq!(identities.len(), 10_000);
        assert!(!identities.contains(&0));
    }

    #[test]
    fn internet_sockets_are_told_from_others() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let (local, _other) = UnixStream::pair().unwrap();
        assert!(is_internet_socket(v4.as_raw_fd()));
        assert!(!is_internet_socket(local.as_raw_fd()));
        assert!(!is_internet_socket(-1));
    }

    #[test]
    fn the_peer_is_the_other_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let expected = Peer {
            family: u16::try_from(libc::AF_INET).unwrap(),
            port: client.local_addr().unwrap().port(),
        };
        assert_eq!(peer_of(server.as_raw_fd()), expected);
        assert_eq!(peer_of(-1), Peer { family: 0, port: 0 });
    }
}
