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

fn identities(
    client: &[ClientConnection],
    server: &[ServerConnection],
    offset: Offset,
) -> HashMap<u32, u64> {
    match_by_port(client, server, offset).identities
}

#[test]
fn ports_tell_connections_apart() {
    let client = [opened(1, 4000, 10), opened(2, 4001, 11)];
    let server = [accepted(0xb, 4001, 12), accepted(0xa, 4000, 13)];
    let matched = match_by_port(&client, &server, Offset::None);
    assert_eq!(matched.identities, [(1, 0xa), (2, 0xb)].into());
    assert!(matched.client_alone.is_empty() && matched.server_alone.is_empty());
}

#[test]
fn a_port_used_again_goes_by_time() {
    let client = [opened(2, 4000, 50), opened(1, 4000, 10)];
    let server = [accepted(0xb, 4000, 51), accepted(0xa, 4000, 12)];
    let expected = [(1, 0xa), (2, 0xb)].into();
    assert_eq!(identities(&client, &server, Offset::None), expected);
}

#[test]
fn a_lost_accept_leaves_its_connection_alone_and_no_other() {
    let client = [opened(1, 4000, 10), opened(2, 4000, 50)];
    let matched = match_by_port(&client, &[accepted(0xb, 4000, 51)], Offset::None);
    assert_eq!(matched.identities, [(2, 0xb)].into());
    assert_eq!(matched.client_alone, [client[0]]);
}

#[test]
fn another_clients_connection_from_the_same_port_leaves_it_open() {
    let server = [accepted(0xa, 4000, 12), accepted(0xb, 4000, 14)];
    let matched = match_by_port(&[opened(1, 4000, 10)], &server, Offset::None);
    assert!(matched.identities.is_empty() && matched.ambiguous.contains(&1));
    assert_eq!(matched.server_alone, server);
}

#[test]
fn clocks_may_be_apart_even_when_ports_are_used_again() {
    const SECOND: u64 = 1_000_000_000;
    let client = [
        opened(1, 4000, 1_000 * SECOND),
        opened(2, 4000, 1_002 * SECOND),
        opened(3, 4001, 1_003 * SECOND),
    ];
    // The server's clock is 990 s behind; the second accept of port 4000 lags least.
    let server = [
        accepted(0xa, 4000, 10 * SECOND + 700),
        accepted(0xb, 4000, 12 * SECOND + 90),
        accepted(0xc, 4001, 13 * SECOND + 400),
    ];
    let rough = rough_offset(&client, &server).unwrap();
    assert_eq!(rough, -990_000_000_000 + 90);
    let expected = [(1, 0xa), (2, 0xb), (3, 0xc)].into();
    assert_eq!(
        identities(&client, &server, Offset::Roughly(rough)),
        expected
    );
    // An accept that was lost does not make the other connection of its port take its place.
    let server = [server[1], server[2]];
    let rough = rough_offset(&client, &server).unwrap();
    let expected = [(2, 0xb), (3, 0xc)].into();
    assert_eq!(
        identities(&client, &server, Offset::Roughly(rough)),
        expected
    );
}
