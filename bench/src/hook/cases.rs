//! What is measured: which hook, on which reads, and what should come out.

use crate::hook::corpus::{REQUESTS, SHORT};
use crate::hook::workload::From;

/// What is preloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Nothing: both reads are the C library's, and their difference shows what the procedure makes of none.
    Nothing,
    /// Our hook.
    Ours {
        /// `READHOOK_MODE`.
        mode: &'static str,
        /// More variables.
        settings: &'static [(&'static str, &'static str)],
    },
    /// The paper's.
    Peer,
}

/// Who watches the hook's site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// Nobody.
    Nobody,
    /// `probe-user trace`.
    Ours,
    /// `bpftrace` with a histogram.
    Bpftrace,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it measures.
    pub name: &'static str,
    /// What is preloaded.
    pub loaded: Loaded,
    /// Descriptor that is read.
    pub from: From,
    /// What is read, by its name in the corpus.
    pub message: &'static str,
    /// Whether the words in it are spoilt.
    pub without_words: bool,
    /// Threads.
    pub threads: usize,
    /// Who watches.
    pub watcher: Watcher,
    /// The most that it may add, in ns.
    pub at_most_ns: Option<u32>,
    /// How many times more the paper's hook must add to the same reads.
    pub times_cheaper: Option<u32>,
}

/// Environment that has our hook scan without AVX2, as on a CPU that has none.
const WITHOUT_AVX2: &[(&str, &str)] = &[("READHOOK_SCANNER", "portable")];

/// A read of the 160 bytes of a connection, in one thread, by a name.
const fn of_connection(name: &'static str, loaded: Loaded) -> Case {
    Case {
        name,
        loaded,
        from: From::Connection,
        message: SHORT,
        without_words: false,
        threads: 1,
        watcher: Watcher::Nobody,
        at_most_ns: None,
        times_cheaper: None,
    }
}

const fn ours(mode: &'static str) -> Loaded {
    Loaded::Ours {
        mode,
        settings: &[],
    }
}

const fn portable(mode: &'static str) -> Loaded {
    Loaded::Ours {
        mode,
        settings: WITHOUT_AVX2,
    }
}

impl Case {
    /// Whether the other is the paper's hook on the same reads, which this one is to be held against.
    pub fn is_peer(&self, other: &Self) -> bool {
        let reads = |case: &Self| (case.from, case.message, case.without_words, case.threads);
        let is_compared = match self.loaded {
            Loaded::Ours { mode, .. } => matches!(mode, "scan" | "log"),
            _ => false,
        };
        is_compared
            && self.watcher == Watcher::Nobody
            && other.loaded == Loaded::Peer
            && reads(self) == reads(other)
    }

    const fn without_words(self) -> Self {
        Self {
            without_words: true,
            ..self
        }
    }

    const fn reads(self, message: &'static str) -> Self {
        Self { message, ..self }
    }

    const fn zero(self) -> Self {
        Self {
            from: From::Zero,
            ..self
        }
    }

    const fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    const fn watched_by(self, watcher: Watcher) -> Self {
        Self { watcher, ..self }
    }

    /// The target of the issue that this hook was made by: what it may add, in ns.
    const fn at_most(self, ns: u32) -> Self {
        Self {
            at_most_ns: Some(ns),
            ..self
        }
    }

    const fn cheaper(self, times: u32) -> Self {
        Self {
            times_cheaper: Some(times),
            ..self
        }
    }
}

/// One GB/s, for 16 KiB.
const SIXTEEN_KIB_NS: u32 = 16_384;

/// All of them, in the order of the table.
pub const CASES: &[Case] = &[
    of_connection("no hook, /dev/zero (A/A)", Loaded::Nothing).zero(),
    of_connection("no hook, 160 B (A/A)", Loaded::Nothing),
    // A descriptor that no hook tracks.
    of_connection("untracked", ours("scan")).zero().at_most(3),
    of_connection("paper: untracked", Loaded::Peer).zero(),
    // 160 bytes without a match.
    of_connection("160 B, no match", ours("scan"))
        .without_words()
        .at_most(80)
        .cheaper(20),
    of_connection("160 B, no match, no AVX2", portable("scan"))
        .without_words()
        .at_most(300),
    of_connection("paper: 160 B, no match", Loaded::Peer).without_words(),
    // With one.
    of_connection("160 B, match", ours("scan")).at_most(80),
    of_connection("160 B, match, no AVX2", portable("scan")),
    of_connection("160 B, match, log", ours("log")).cheaper(5),
    of_connection("paper: 160 B, match", Loaded::Peer),
    // The rungs.
    of_connection("rung off", ours("off")),
    of_connection("rung passthrough", ours("passthrough")),
    of_connection("rung lookup", ours("lookup")),
    // All requests, each in turn.
    of_connection("requests, no match", ours("scan"))
        .reads(REQUESTS)
        .without_words(),
    of_connection("requests, match", ours("scan")).reads(REQUESTS),
    of_connection("requests, match, log", ours("log")).reads(REQUESTS),
    of_connection("paper: requests, no match", Loaded::Peer)
        .reads(REQUESTS)
        .without_words(),
    of_connection("paper: requests, match", Loaded::Peer).reads(REQUESTS),
    // Blocks of uploads. The paper's hook sees nothing of the compressed one beyond its first NUL.
    of_connection("16 KiB text, no match", ours("scan"))
        .reads("body-text")
        .without_words()
        .at_most(SIXTEEN_KIB_NS),
    of_connection("16 KiB text, no match, no AVX2", portable("scan"))
        .reads("body-text")
        .without_words(),
    of_connection("16 KiB gzip, no match", ours("scan"))
        .reads("body-gzip")
        .without_words()
        .at_most(SIXTEEN_KIB_NS),
    of_connection("16 KiB gzip, no match, no AVX2", portable("scan"))
        .reads("body-gzip")
        .without_words(),
    of_connection("paper: 16 KiB text, no match", Loaded::Peer)
        .reads("body-text")
        .without_words(),
    // Threads, each with a connection of its own. What they take is CPU time.
    of_connection("2 threads, 160 B, no match", ours("scan"))
        .without_words()
        .threads(2),
    of_connection("2 threads, 160 B, match", ours("scan")).threads(2),
    of_connection("2 threads, 160 B, match, log", ours("log")).threads(2),
    of_connection("paper: 2 threads, no match", Loaded::Peer)
        .without_words()
        .threads(2),
    of_connection("paper: 2 threads, match", Loaded::Peer).threads(2),
    of_connection("8 threads, 160 B, no match", ours("scan"))
        .without_words()
        .threads(8),
    of_connection("8 threads, 160 B, match", ours("scan")).threads(8),
    of_connection("8 threads, 160 B, match, log", ours("log")).threads(8),
    of_connection("paper: 8 threads, no match", Loaded::Peer)
        .without_words()
        .threads(8),
    of_connection("paper: 8 threads, match", Loaded::Peer).threads(8),
    // What watching adds, of all that a read takes longer than bare and unwatched.
    of_connection("160 B, no match, seen by probe-user", ours("scan"))
        .without_words()
        .watched_by(Watcher::Ours),
    of_connection("160 B, no match, seen by bpftrace", ours("scan"))
        .without_words()
        .watched_by(Watcher::Bpftrace),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_peers_do_the_same_reads() {
        let names: HashSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        let peer_of = |name: &str| {
            let case = CASES.iter().find(|case| case.name == name).unwrap();
            let mut peers = CASES.iter().filter(|other| case.is_peer(other));
            let peer = peers.next();
            assert!(peers.next().is_none(), "{name}");
            peer.map(|peer| peer.name)
        };
        for (case, peer) in [
            ("untracked", Some("paper: untracked")),
            ("160 B, no match, no AVX2", Some("paper: 160 B, no match")),
            (
                "8 threads, 160 B, match, log",
                Some("paper: 8 threads, match"),
            ),
            ("16 KiB gzip, no match", None),
            ("no hook, 160 B (A/A)", None),
            ("rung off", None),
            ("160 B, no match, seen by bpftrace", None),
            ("paper: 160 B, match", None),
        ] {
            assert_eq!(peer_of(case), peer, "{case}");
        }
        let with_a_target = CASES.iter().filter(|case| case.times_cheaper.is_some());
        for case in with_a_target {
            assert!(peer_of(case.name).is_some(), "{}", case.name);
        }
    }
}
