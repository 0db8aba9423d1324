//! Holds the house that `docs/architecture.md` tells against the one that is built: its folders, and which crate may know
//! which. The compiler holds the arrows themselves; this keeps a new one from coming in unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::command::{cargo, command, output, root};

/// As many folders as a newcomer can keep in mind; `.ci` and `.cargo` aside.
const MOST_FOLDERS: usize = 13;

/// The lines of the fenced block that this word marks in `docs/architecture.md`.
fn block(word: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let opening = format!("```text {word}");
    let lines = text.lines().skip_while(|line| *line != opening).skip(1);
    let block: Vec<String> = lines
        .take_while(|line| *line != "```")
        .map(str::to_owned)
        .collect();
    assert!(
        !block.is_empty(),
        "docs/architecture.md has no block \"{opening}\""
    );
    block
}

/// Each crate of the workspace and those that it is built with, tests aside.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = [
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ];
    let said = output(cargo().args(metadata)).unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    let packages = said["packages"].as_array().unwrap();
    let name = |of: &Value| of["name"].as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|package| {
            let needed = package["dependencies"].as_array().unwrap().iter();
            let ours =
                needed.filter(|needed| needed["path"].is_string() && needed["kind"] != "dev");
            (name(package), ours.map(name).collect())
        })
        .collect()
}

#[test]
fn arrows_are_those_of_the_document() {
    let mut built = String::new();
    for (name, needed) in arrows() {
        let needed: Vec<String> = needed.into_iter().collect();
        writeln!(built, "{name:<16} -> {}", needed.join(", ")).unwrap();
    }
    let built: Vec<String> = built
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    println!("{}", built.join("\n"));
    assert_eq!(block("arrows"), built, "document, workspace");
}

#[test]
fn folders_are_those_of_the_document() {
    let tracked = output(command("git").args(["ls-files", "--cached"])).unwrap();
    let tracked = String::from_utf8(tracked.stdout).unwrap();
    let folders: BTreeSet<&str> = tracked
        .lines()
        .filter_map(|path| Some(path.split_once('/')?.0))
        .filter(|folder| !folder.starts_with('.'))
        .collect();
    let lines = block("folders");
    let told: BTreeSet<&str> = lines
        .iter()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| Some(line.split_once('/')?.0))
        .collect();
    println!("{folders:#?}");
    assert_eq!(told, folders, "document, tree");
    assert!(folders.len() <= MOST_FOLDERS, "{} folders", folders.len());
}
