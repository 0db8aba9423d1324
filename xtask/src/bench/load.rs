//! What the load generator is measured beside.

use std::ffi::OsString;

use anyhow::ensure;

use crate::bench::{has, install};
use crate::command::{Stages, is_installed};
use crate::setup;

/// What is measured and measured beside, and the Debian packages that have it.
const PROGRAMS: [(&str, &str); 3] = [
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("python3", "python3"),
];

/// Installs and builds the others; returns the bench's words, with theirs.
pub fn with_peers(words: &[OsString], stages: &mut Stages) -> anyhow::Result<Vec<OsString>> {
    let mut words = words.to_vec();
    stages.run("peers", || {
        install(&PROGRAMS);
        ensure!(
            is_installed("nginx"),
            "nginx is the server that is loaded, and cannot be installed here"
        );
        if !has(&words, "--quick") {
            words.extend(built_peers());
        }
        Ok(())
    })?;
    Ok(words)
}

/// The others that are no Debian packages. The bench names those that it does not get.
fn built_peers() -> Vec<OsString> {
    let mut words = Vec::new();
    for (option, program) in [("--oha", setup::oha()), ("--locust", setup::locust())] {
        match program {
            Ok(program) => words.extend([option.into(), program.into_os_string()]),
            Err(error) => eprintln!("  without {}: {error:#}", option.trim_start_matches('-')),
        }
    }
    words
}
