//! The hook's scanner (`hook/fuzz`).

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{Fuzzer, dictionary, write};
use crate::command::root;

/// The fuzzer. Guard pages see what reads too far, so no sanitizer slows it down.
pub const SCANNER: Fuzzer = Fuzzer {
    name: "scan",
    folder: "hook/fuzz",
    write_seeds,
    write_dictionary,
    sanitizer: "none",
};

/// Lists and haystacks to begin with, in addition to the hook's list and real requests.
const LISTS: [(&[u8], &[u8]); 6] = [
    (b"beta\nalpha\n", b"alpha beta"),
    (b"alphabet\nalpha\n\r\n\nal\r\n", b"alphabe"),
    (b"zz\nq\nr\n", b"..r.q"),
    (
        b"aab\naaab\nab\n",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    ),
    (
        b"\xff\xfe\n\x00\x00\n\x80",
        b"\x00\xff\x00\xfe\xff\xff\xfe\x80",
    ),
    (b"", b""),
];

/// Inputs as `hook/fuzz/src/lib.rs` has them: 1 and a haystack for the hook's list, or 0 and a list.
fn write_seeds(folder: &Path) -> anyhow::Result<()> {
    let corpus = root().join("bench/corpus");
    let files = fs::read_dir(&corpus).with_context(|| corpus.display().to_string())?;
    for file in files {
        let path = file?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "http")
        {
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            write(
                &folder.join(path.file_name().unwrap_or_default()),
                &[&[1], &bytes],
            )?;
        }
    }
    for (number, (list, haystack)) in LISTS.iter().enumerate() {
        let length = u16::try_from(list.len())?.to_le_bytes();
        write(
            &folder.join(format!("list-{number}")),
            &[&[0], &length, list, haystack],
        )?;
    }
    Ok(())
}

/// The words of the hook's list, as libFuzzer reads them.
fn write_dictionary(path: &Path) -> anyhow::Result<()> {
    let list = root().join("hook/keywords.txt");
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let words = text.lines().filter(|word| !word.is_empty());
    write(path, &[dictionary(words).as_bytes()])
}
