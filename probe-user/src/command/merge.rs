//! `probe-user merge`: adds up what agents and traces of several nodes have seen.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use runlog::RunDirectory;
use web::access::{read_token_file, token_in};

use crate::agent::fetch::{fetch, is_address};
use crate::agent::rules::Named;
use crate::command::End;
use crate::command::options::Output;
use crate::show;
use verdict::merge::{Input, merge as add_up, read};

/// Options of `merge`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  probe-user merge --token-file token http://node-1:9464 http://node-2:9464
  curl -H \"Authorization: Bearer $TOKEN\" http://node-1:9464/v1/arms > node-1.json
  probe-user merge node-1.json node-2.json
  probe-user merge --json node-*.json > all.json        a merge can be merged again
  probe-user merge hooked=a/trace.json hooked=b/trace.json    traces, as one arm

Histograms are added bucket by bucket: the result is that of all values. Exit code 4 if a ledger does not balance.")]
pub struct MergeArguments {
    /// Answer of an agent at /v1/arms, output of trace --json or merge --json, or the folder of a trace; an agent's
    /// address, http://HOST:PORT. With a name, what a trace is of [default: its executable's file name], or the only
    /// arm to take
    #[arg(value_name = "[ARM=]SOURCE", required = true)]
    sources: Vec<Named<String>>,

    /// File whose first line is the token that agents ask for
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    output: Output,
}

/// Merges.
pub async fn merge(arguments: MergeArguments) -> anyhow::Result<End> {
    let token = arguments.token_file.as_deref().map(token).transpose()?;
    let mut inputs: Vec<Input> = Vec::new();
    for source in &arguments.sources {
        let origin = source.value();
        let text = if is_address(origin) {
            fetch(origin, token.as_deref()).await
        } else {
            of_file(Path::new(origin))
        };
        let input = text.and_then(|text| read(&text, origin, source.given_name()));
        inputs.push(input.with_context(|| origin.clone())?);
    }
    let merged = add_up(inputs)?;
    arguments.output.print(&merged, show::merge::print)?;
    Ok(if merged.usable {
        End::Complete
    } else {
        eprintln!("probe-user: a ledger does not balance: do not use the figures of its arm");
        End::NotUsable
    })
}

fn token(file: &Path) -> anyhow::Result<String> {
    let text = read_token_file(file)?;
    Ok(token_in(&text, &format!("--token-file {}", file.display()))?.to_owned())
}

/// The longest file that is read: many times what the largest agent says.
const MAX_FILE: u64 = 256 << 20;

fn of_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = if path.is_dir() {
        RunDirectory::existing(path).trace()
    } else {
        path.to_owned()
    };
    let length = fs::metadata(&file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    ensure!(
        length <= MAX_FILE,
        "has {length} bytes: that is no answer of an agent"
    );
    fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}
