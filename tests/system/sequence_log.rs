//! What sut's test mode logs: which read delivered which request.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The read that completed a request, as the server logged it.
pub struct Delivery {
    /// The client's port.
    pub port: u16,
    /// The server's clock just before.
    pub before_ns: u64,
    /// And just after: no other read of its thread fits in between.
    pub after_ns: u64,
}

/// What the server logged, by sequence number.
pub fn read_truth(path: &Path) -> anyhow::Result<BTreeMap<u64, Delivery>> {
    let text = fs::read_to_string(path)?;
    let mut deliveries = BTreeMap::new();
    for line in text.lines().skip(1) {
        let numbers: Vec<u64> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let [sequence, port, before_ns, after_ns] = numbers[..] else {
            anyhow::bail!("{line}");
        };
        let delivery = Delivery {
            port: u16::try_from(port)?,
            before_ns,
            after_ns,
        };
        let before = deliveries.insert(sequence, delivery);
        ensure!(before.is_none(), "{sequence} was delivered twice");
    }
    Ok(deliveries)
}
