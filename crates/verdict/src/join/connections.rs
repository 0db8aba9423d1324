//! Which connection of the server is which connection of the client, by the client's port.

use std::collections::{HashMap, HashSet};

use runlog::record::{ClientConnection, ServerConnection};

use crate::join::clock::{difference, on_server};

/// How much earlier than the client's `connect` a server may seem to have accepted, if the offset of
/// their clocks is an estimate. No port is used again so soon.
const TOLERANCE_NS: u64 = 10_000_000;
/// How far apart accepts may lag behind their connects, and still tell the offset of the clocks.
const LAG_NS: i64 = 1_000_000_000;

/// The connections of one group, matched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// The server's identity by the client's number.
    pub identities: HashMap<u32, u64>,
    /// The client's connections that found none.
    pub client_alone: Vec<ClientConnection>,
    /// Among these: several connections of the server may be theirs.
    pub ambiguous: HashSet<u32>,
    /// The server's connections that found none.
    pub server_alone: Vec<ServerConnection>,
}

impl Matched {
    /// Whether the server has connections from ports that the client's lonely ones do not have.
    pub fn has_foreign_ports(&self) -> bool {
        let own: HashSet<u16> = self.client_alone.iter().map(|c| c.local_port).collect();
        let mut ports = self.server_alone.iter().map(|a| a.peer_port);
        ports.any(|port| !own.contains(&port))
    }
}

/// The offset that is taken off when instants of both sides are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// One clock.
    None,
    /// The server's clock minus the client's, roughly: at least the true one, and more by what the
    /// fastest accept took.
    Roughly(i64),
}

impl Offset {
    /// In ns.
    pub fn ns(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Roughly(ns) => ns,
        }
    }
}

/// The connections of both sides by the client's port, in the order of time.
struct ByPort<'c> {
    client: HashMap<u16, Vec<&'c ClientConnection>>,
    server: HashMap<u16, Vec<&'c ServerConnection>>,
}

impl<'c> ByPort<'c> {
    fn new(client: &'c [ClientConnection], server: &'c [ServerConnection]) -> Self {
        let mut by_port = Self {
            client: HashMap::new(),
            server: HashMap::new(),
        };
        for opened in client {
            let of_port = by_port.client.entry(opened.local_port).or_default();
            of_port.push(opened);
        }
        for accepted in server {
            let of_port = by_port.server.entry(accepted.peer_port).or_default();
            of_port.push(accepted);
        }
        for of_port in by_port.client.values_mut() {
            of_port.sort_by_key(|opened| opened.opening_ns);
        }
        for of_port in by_port.server.values_mut() {
            of_port.sort_by_key(|accepted| accepted.accepted_ns);
        }
        by_port
    }
}

/// The server's clock minus the client's as the connections alone tell it: the least time from
/// `connect` to accept, over ports that both sides have used equally often. `None` if there are none.
pub fn rough_offset(client: &[ClientConnection], server: &[ServerConnection]) -> Option<i64> {
    let by_port = ByPort::new(client, server);
    let mut lags: Vec<i64> = Vec::new();
    for (port, opened) in &by_port.client {
        let accepted = by_port.server.get(port).filter(|a| a.len() == opened.len());
        for (opened, accepted) in opened.iter().zip(accepted.into_iter().flatten()) {
            lags.push(difference(accepted.accepted_ns, opened.opening_ns));
        }
    }
    lags.sort_unstable();
    let median = *lags.get(lags.len() / 2)?;
    lags.into_iter()
        .find(|lag| *lag >= median.saturating_sub(LAG_NS))
}

/// Matches the connections of one group, all to one arm.
///
/// Both ends know the client's port. Where a port was used more than once, the server's accept belongs
/// to the last connect before it: nobody accepts a connection before it was opened, and a port is not
/// used again before it is closed. Two accepts for one connect (another client with the same port) leave
/// it open.
pub fn match_by_port(
    client: &[ClientConnection],
    server: &[ServerConnection],
    offset: Offset,
) -> Matched {
    let by_port = ByPort::new(client, server);
    let earliest = |opened: &ClientConnection| {
        let on_server = on_server(opened.opening_ns, offset.ns());
        match offset {
            Offset::None => on_server,
            Offset::Roughly(_) => on_server.saturating_sub(TOLERANCE_NS),
        }
    };
    let mut matched = Matched::default();
    let mut taken = HashSet::new();
    for (port, opened) in &by_port.client {
        // Port 0: the hook could not tell.
        let accepted = by_port.server.get(port).filter(|_| *port != 0);
        let accepted = accepted.map_or(&[][..], Vec::as_slice);
        for (index, connection) in opened.iter().enumerate() {
            let from = accepted.partition_point(|a| a.accepted_ns < earliest(connection));
            let until = opened.get(index + 1).map_or(accepted.len(), |next| {
                accepted.partition_point(|a| a.accepted_ns < earliest(next))
            });
            match accepted.get(from..until) {
                Some([one]) => {
                    taken.insert(one.connection);
                    matched
                        .identities
                        .insert(connection.connection, one.connection);
                    continue;
                }
                Some([_, _, ..]) => {
                    matched.ambiguous.insert(connection.connection);
                }
                _ => {}
            }
            matched.client_alone.push(**connection);
        }
    }
    let alone = server.iter().filter(|a| !taken.contains(&a.connection));
    matched.server_alone = alone.copied().collect();
    matched
}

#[cfg(test)]
mod tests;
