//! Ports for servers that must be told one.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

/// The least one that is looked at: below are those of services.
const FIRST: u16 = 10_000;

/// Those that were given out, held until this process ends. A UDP socket of the same number is in the way of no TCP
/// server, but another program of tests, which looks for it too, cannot have it.
static GIVEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A TCP port that nobody uses, and that nobody gets but who is given it here: as long as there are others, it is none of
/// those that the kernel gives to connections and to servers that ask for any.
pub fn free_port() -> anyhow::Result<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut limits = range.split_whitespace().map(str::parse);
    let mut limit = || {
        limits
            .next()
            .context("a limit is missing")?
            .context(range.clone())
    };
    let kernels = limit()?..=limit()?;
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let beyond = (FIRST..=u16::MAX).filter(|port| !kernels.contains(port));
    for port in beyond.chain(kernels.clone()) {
        let Ok(hold) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            given.push(hold);
            return Ok(port);
        }
    }
    anyhow::bail!("no free TCP port")
}
