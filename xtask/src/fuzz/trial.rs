//! What front and the agent read of a trial (`bracket/fuzz`).

use std::path::Path;

use super::{Fuzzer, dictionary, write};

/// The fuzzer. Nothing that it calls has unsafe code.
pub const TRIAL: Fuzzer = Fuzzer {
    name: "trial",
    folder: "bracket/fuzz",
    write_seeds,
    write_dictionary,
    sanitizer: "none",
};

/// Inputs as `bracket/fuzz/src/lib.rs` has them: 0 and a text; 1, the sizes of pieces and a stream; 2, a number and a slot.
const SEEDS: [&[u8]; 6] = [
    b"\x00seed=1 size=256 run=1 arms=off,null,on,on+1000",
    b"\x00arms=on,off  size=1048576 seed=18446744073709551615",
    b"\x01\x00\x00GET / HTTP/1.1\r\nX-Hookprobe-Salt: 00deadbeef123456\r\n\r\n",
    b"\x01\x07\xffGET / HTTP/1.1\nx-hookprobe-salt:\t0123\nX-HOOKPROBE-SALT: 0000000000000007\n",
    &[2; 73],
    &[5; 80],
];

/// What texts and requests are made of.
const WORDS: [&str; 12] = [
    "seed=",
    "size=",
    "run=",
    "arms=",
    "off",
    "null",
    "on",
    "on+",
    ",",
    "X-Hookprobe-Salt: ",
    "\r\n",
    "0123456789abcdef",
];

fn write_seeds(folder: &Path) -> anyhow::Result<()> {
    SEEDS
        .iter()
        .enumerate()
        .try_for_each(|(number, seed)| write(&folder.join(number.to_string()), &[seed]))
}

fn write_dictionary(path: &Path) -> anyhow::Result<()> {
    write(path, &[dictionary(WORDS).as_bytes()])
}
