//! `cargo xtask bench-load`: our load generator beside others, on nginx on the loopback address.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use crate::command::{Stages, is_installed};
use crate::{bench, build, setup};

/// What is measured and measured beside, and the Debian packages that have it.
const PROGRAMS: [(&str, &str); 3] = [
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("python3", "python3"),
];

/// Options of `bench-load`.
#[derive(Args, Debug)]
pub struct BenchLoadArguments {
    /// Rounds; in each, every generator meets every load once
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,

    /// Measure beside wrk alone, which needs no build
    #[arg(long)]
    quick: bool,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    /// Further options of load-bench, after "--"
    #[arg(last = true, value_name = "OPTION")]
    words: Vec<OsString>,
}

/// Builds, and measures.
pub fn bench_load(arguments: &BenchLoadArguments, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    build::prepare(stages)?;
    bench::build("load-bench", stages)?;
    let mut words = words(arguments);
    stages.run("peers", || {
        bench::install(&PROGRAMS);
        ensure!(
            is_installed("nginx"),
            "nginx is the server that is loaded, and cannot be installed here"
        );
        if !arguments.quick {
            words.extend(peers());
        }
        Ok(())
    })?;
    // As root for the probes; without, fidelity is left out by name.
    stages.run("bench-load", || bench::measure("load-bench", &words))
}

/// The options that are handed on.
fn words(arguments: &BenchLoadArguments) -> Vec<OsString> {
    let mut words = bench::words(arguments.rounds, arguments.json);
    if arguments.quick {
        words.extend(["--only", "wrk"].map(OsString::from));
    }
    words.extend(arguments.words.iter().cloned());
    words
}

/// The others that are no Debian packages. The bench names those that it does not get.
fn peers() -> Vec<OsString> {
    let mut words = Vec::new();
    for (option, program) in [("--oha", setup::oha()), ("--locust", setup::locust())] {
        match program {
            Ok(program) => words.extend([option.into(), program.into_os_string()]),
            Err(error) => eprintln!("  without {}: {error:#}", option.trim_start_matches('-')),
        }
    }
    words
}
