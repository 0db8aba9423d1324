//! What the kernel's table of TCP sockets says, so that a test can await what a server does with its connections.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};

use anyhow::Context as _;

use crate::kit::wait_for;

const LISTENS: &str = "0A";
const TIME_WAIT: &str = "06";

/// A row of the table of IPv4 sockets.
struct Socket {
    local: String,
    remote: String,
    state: String,
    unread: u64,
}

fn sockets() -> anyhow::Result<Vec<Socket>> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    table.lines().skip(1).map(socket).collect()
}

fn socket(row: &str) -> anyhow::Result<Socket> {
    let mut fields = row.split_whitespace().skip(1).map(str::to_owned);
    let mut field = || fields.next().context("a field is missing");
    let [local, remote, state, queues] = [field()?, field()?, field()?, field()?];
    let (_, unread) = queues.split_once(':').context("no queues")?;
    Ok(Socket {
        local,
        remote,
        state,
        unread: u64::from_str_radix(unread, 16)?,
    })
}

/// An address as the table has it: the address as it lies in memory, the port as a number.
fn written(address: SocketAddr) -> anyhow::Result<String> {
    let SocketAddr::V4(address) = address else {
        anyhow::bail!("{address} is not in the table");
    };
    let bytes = u32::from_ne_bytes(SocketAddrV4::ip(&address).octets());
    Ok(format!("{bytes:08X}:{:04X}", address.port()))
}

/// Waits until the other end, which is on this machine, has read all that has arrived there. What is sent over loopback
/// has arrived when the call that sends it returns, but for a rare moment in which the kernel is behind. Whether it was
/// acknowledged would tell, but the kernel takes its time for that.
pub fn wait_until_read(stream: &TcpStream) -> anyhow::Result<()> {
    let near = written(stream.local_addr()?)?;
    let far = written(stream.peer_addr()?)?;
    wait_for("what was sent to be read", || {
        let is_waiting =
            |socket: &Socket| socket.local == far && socket.remote == near && socket.unread > 0;
        Ok(!sockets()?.iter().any(is_waiting))
    })
}

/// Waits until a server has closed all its connections, and so has read their ends.
pub fn wait_until_closed(port: u16) -> anyhow::Result<()> {
    let port = format!(":{port:04X}");
    wait_for("the server to close its connections", || {
        let is_open = |socket: &Socket| {
            socket.local.ends_with(&port) && ![LISTENS, TIME_WAIT].contains(&socket.state.as_str())
        };
        Ok(!sockets()?.iter().any(is_open))
    })
}
