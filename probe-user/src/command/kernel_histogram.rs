//! `probe-user kernel-histogram`: which buckets the kernel puts values into. For tests, which hold it
//! against another implementation of the layout.

use std::io::{self, Read as _};

use anyhow::{Context as _, ensure};
use cli::outln;
use serde_json::json;

use probes::self_test::kernel_histogram;

/// Reads values from stdin, 8 bytes each, least significant first; prints buckets and sum as JSON.
pub fn run() -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .context("cannot read values from stdin")?;
    let (values, rest) = bytes.as_chunks::<8>();
    ensure!(
        rest.is_empty(),
        "stdin: {} bytes are no whole number of 8-byte values",
        bytes.len()
    );
    let values: Vec<u64> = values
        .iter()
        .map(|value| u64::from_le_bytes(*value))
        .collect();
    let histogram = kernel_histogram(&values)?;
    outln!(
        "{}",
        json!({ "buckets": histogram.buckets, "sum": histogram.sum })
    );
    Ok(())
}
