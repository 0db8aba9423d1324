//! Which connection of the server is which connection of the client.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use runlog::record::{ClientConnection, ServerConnection};

/// Matches the connections of one block: the server's identity by the client's number.
///
/// Both ends know the client's port. Where a port was used more than once in the block, the server's
/// accept belongs to the last connect before it: nobody accepts a connection before it was opened,
/// and a port is not used again before it is closed.
pub fn match_connections(
    client: &[ClientConnection],
    server: &[ServerConnection],
) -> BTreeMap<u32, u64> {
    let mut by_port: BTreeMap<(u16, u16), Vec<&ServerConnection>> = BTreeMap::new();
    for accepted in server {
        by_port
            .entry((accepted.arm, accepted.peer_port))
            .or_default()
            .push(accepted);
    }
    for accepted in by_port.values_mut() {
        accepted.sort_by_key(|connection| connection.accepted_ns);
    }
    let mut client: Vec<&ClientConnection> = client.iter().collect();
    // The last first: the next connect from the same port ends the time in which one can be accepted.
    client.sort_by_key(|connection| Reverse(connection.opening_ns));
    let mut next_opening_ns = BTreeMap::new();
    let mut matched = BTreeMap::new();
    for opened in client {
        let key = (opened.arm, opened.local_port);
        let end_ns = next_opening_ns
            .insert(key, opened.opening_ns)
            .unwrap_or(u64::MAX);
        let accepted = by_port.get(&key).and_then(|accepted| {
            let from = accepted.partition_point(|a| a.accepted_ns < opened.opening_ns);
            accepted.get(from).filter(|a| a.accepted_ns < end_ns)
        });
        if let Some(accepted) = accepted {
            matched.insert(opened.connection, accepted.connection);
        }
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(connection: u32, local_port: u16, opening_ns: u64) -> ClientConnection {
        ClientConnection {
            connection,
            local_port,
            opening_ns,
            ..ClientConnection::default()
        }
    }

    fn accepted(connection: u64, peer_port: u16, accepted_ns: u64) -> ServerConnection {
        ServerConnection {
            connection,
            peer_port,
            accepted_ns,
            ..ServerConnection::default()
        }
    }

    #[test]
    fn ports_tell_connections_apart() {
        let matched = match_connections(
            &[opened(1, 4000, 10), opened(2, 4001, 11)],
            &[accepted(0xb, 4001, 12), accepted(0xa, 4000, 13)],
        );
        assert_eq!(matched, [(1, 0xa), (2, 0xb)].into());
    }

    #[test]
    fn a_port_used_again_goes_by_time() {
        let matched = match_connections(
            &[opened(2, 4000, 50), opened(1, 4000, 10)],
            &[accepted(0xb, 4000, 51), accepted(0xa, 4000, 12)],
        );
        assert_eq!(matched, [(1, 0xa), (2, 0xb)].into());
    }

    #[test]
    fn a_lost_accept_leaves_its_connection_unmatched_and_no_other() {
        let matched = match_connections(
            &[opened(1, 4000, 10), opened(2, 4000, 50)],
            &[accepted(0xb, 4000, 51)],
        );
        assert_eq!(matched, [(2, 0xb)].into());
    }

    #[test]
    fn arms_do_not_mix() {
        let mut other_arm = accepted(0xa, 4000, 12);
        other_arm.arm = 1;
        assert!(match_connections(&[opened(1, 4000, 10)], &[other_arm]).is_empty());
    }
}
