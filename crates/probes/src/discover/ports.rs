//! Ports for servers that must be told one.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

use anyhow::bail;

/// Services have the ports below.
const FIRST: u16 = 10_000;
/// The range that the kernel hands out: ip(7), `ip_local_port_range`.
const KERNELS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// A TCP port that nobody uses now.
///
/// It lies outside of the range that the kernel hands out, unless no port is free there: the kernel may give a port of its
/// range to somebody else before the server listens. Each process begins its search at another port, so two that search
/// at once seldom find the same.
pub fn free() -> anyhow::Result<u16> {
    let kernels = fs::read_to_string(KERNELS);
    let kernels = kernels.ok().and_then(|text| parse_range(&text));
    let is_kernels = |port: &u16| kernels.as_ref().is_some_and(|range| range.contains(port));
    let (inside, outside): (Vec<u16>, Vec<u16>) = (FIRST..=u16::MAX).partition(is_kernels);
    let begin = (std::process::id() as usize).wrapping_mul(97) % outside.len().max(1);
    let (before, after) = outside.split_at(begin);
    for port in after.iter().chain(before).chain(&inside) {
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok() {
            return Ok(*port);
        }
    }
    bail!("no TCP port is free")
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    Some(first.parse().ok()?..=last.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on_and_is_none_of_the_kernels() {
        let port = free().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(free().unwrap(), port);
        let kernels = parse_range(&fs::read_to_string(KERNELS).unwrap()).unwrap();
        // The kernel may have every port from 10,000 on.
        assert!(kernels == (FIRST..=u16::MAX) || !kernels.contains(&port));
    }

    #[test]
    fn the_kernels_range_is_read_as_it_is_written() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(parse_range("32768"), None);
    }
}
