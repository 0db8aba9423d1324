//! The bytes that are read: requests of real programs, and blocks of uploads (`corpus/README.md`).

use anyhow::Context as _;

/// The hook's list.
const WORDS: &str = include_str!("../../../hook/keywords.txt");

macro_rules! kept {
    ($($name:literal $(. $extension:literal)?),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../corpus/", $name $(, ".", $extension)?)).as_slice())),*]
    };
}

/// All of them, by name.
const KEPT: [(&str, &[u8]); 16] = kept![
    "body-gzip",
    "body-text",
    "chromium-1"."http",
    "chromium-8"."http",
    "chromium-11"."http",
    "chromium-12"."http",
    "chromium-13"."http",
    "curl-form-1"."http",
    "curl-json-1"."http",
    "locust-1"."http",
    "locust-2"."http",
    "locust-3"."http",
    "node-1"."http",
    "curl-1"."http",
    "wget-1"."http",
    "wrk-1"."http",
];

/// Name of the request of 160 bytes.
pub const SHORT: &str = "locust-1";
/// Stands for all requests of 100 bytes to 2 KiB.
pub const REQUESTS: &str = "requests";

/// What is read, one after the other: the message of a name, or all requests.
pub fn messages(name: &str, without_words: bool) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut messages: Vec<Vec<u8>> = if name == REQUESTS {
        let requests = KEPT.iter().filter(|(name, _)| !name.starts_with("body-"));
        let in_range = requests.filter(|(_, bytes)| (100..=2_048).contains(&bytes.len()));
        in_range.map(|(_, bytes)| bytes.to_vec()).collect()
    } else {
        let found = KEPT.iter().find(|(known, _)| *known == name);
        let (_, bytes) = found.with_context(|| format!("the corpus has no {name}"))?;
        vec![bytes.to_vec()]
    };
    if without_words {
        for message in &mut messages {
            spoil_words(message);
        }
    }
    Ok(messages)
}

/// Changes the last byte of each word of the list that occurs, until none does. Everything else, and so
/// everything that nearly matches, stays.
fn spoil_words(message: &mut [u8]) {
    // A changed byte may be part of another word.
    while words().any(|word| spoil(message, word)) {}
}

/// Changes the last byte of a word wherever it occurs. Returns whether it has.
fn spoil(message: &mut [u8], word: &[u8]) -> bool {
    let ends: Vec<usize> = (word.len()..=message.len())
        .filter(|end| message[..*end].ends_with(word))
        .collect();
    for end in &ends {
        let byte = &mut message[end - 1];
        *byte = if byte.is_ascii_alphabetic() {
            *byte ^ 0x20
        } else {
            byte.wrapping_add(1)
        };
    }
    !ends.is_empty()
}

fn words() -> impl Iterator<Item = &'static [u8]> {
    let words = WORDS.lines().map(str::as_bytes);
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_a_word(bytes: &[u8]) -> bool {
        words().any(|word| bytes.windows(word.len()).any(|window| window == word))
    }

    #[test]
    fn every_message_matches_as_it_is_and_not_without_words() {
        for (name, bytes) in KEPT {
            assert!(has_a_word(bytes), "{name}");
            let spoilt = &messages(name, true).unwrap()[0];
            assert!(!has_a_word(spoilt), "{name}");
            assert_eq!(spoilt.len(), bytes.len());
            let changed = spoilt.iter().zip(bytes).filter(|(a, b)| a != b).count();
            assert!(changed * 5 < bytes.len(), "{name}: {changed} bytes changed");
        }
    }

    #[test]
    fn the_sizes_are_those_that_the_bench_states() {
        assert_eq!(messages(SHORT, false).unwrap()[0].len(), 160);
        assert_eq!(messages("body-text", false).unwrap()[0].len(), 16_384);
        assert_eq!(messages("body-gzip", false).unwrap()[0].len(), 16_384);
        assert_eq!(messages(REQUESTS, false).unwrap().len(), 13);
        assert!(messages("nonsense", false).is_err());
    }
}
