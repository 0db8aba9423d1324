//! docs/environment.md names the environment variables that the sources read, all of them and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::command::root;

/// What is written before the name of a variable that is read. A name that stands elsewhere is found by its prefix.
const READS: [&str; 6] = [
    "env::var(",
    "env::var_os(",
    "getenv(",
    "variable(c",
    "env = ",
    "variable ",
];
/// Beginnings of names that are ours whatever is done with them.
const OURS: [&str; 2] = ["READHOOK_", "HOOKPROBE_"];
/// Files whose variables count.
const SOURCES: [&str; 5] = ["rs", "c", "h", "yaml", "hcl"];

/// The variables that a source reads.
fn read_by(text: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (position, before) in READS.iter().flat_map(|read| text.match_indices(*read)) {
        let argument = &text[position + before.len()..];
        let quoted = argument.strip_prefix('"').and_then(up_to_quote);
        let constant = word(argument);
        let value = || {
            let (_, value) = text.split_once(&format!("const {constant}: &str = \""))?;
            up_to_quote(value)
        };
        let name = match (before, quoted) {
            (_, Some(name)) => Some(name),
            // The declaration of getenv's wrapper, and words of prose.
            ("env = " | "variable " | "variable(c", None) => None,
            // The wrapper's own call.
            ("getenv(", None) if argument.starts_with("name.") => None,
            _ => Some(value().ok_or_else(|| {
                anyhow::anyhow!(
                    "{before}{constant}: its name is no literal, so nobody can look it up"
                )
            })?),
        };
        found.extend(name.map(str::to_owned));
    }
    if text.contains("parse_default_env()") {
        found.insert("RUST_LOG".to_owned());
    }
    // Constants, and what a compose file puts in.
    for (position, begin) in text.match_indices('"').chain(text.match_indices("${")) {
        let behind = &text[position + begin.len()..];
        let name = word(behind);
        let is_whole = behind[name.len()..].starts_with(['"', ':', '}']);
        if is_whole && OURS.iter().any(|ours| name.starts_with(ours)) {
            found.insert(name.to_owned());
        }
    }
    found.retain(|name| is_name(name));
    Ok(found)
}

fn up_to_quote(text: &str) -> Option<&str> {
    text.split_once('"').map(|(name, _)| name)
}

/// The identifier that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.ends_with('_')
        && text
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

/// Adds what the sources below a folder read.
fn collect(folder: &Path, found: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours =
            !name.to_string_lossy().starts_with('.') && name != "target" && name != "runs";
        if is_ours && entry.file_type()?.is_dir() {
            collect(&path, found)?;
        }
        let is_source = SOURCES
            .iter()
            .any(|it| path.extension().is_some_and(|ext| ext == *it));
        // This file names what it looks for.
        if is_source && !path.ends_with("environment_tests.rs") {
            let of_file = read_by(&fs::read_to_string(&path)?)
                .map_err(|error| error.context(path.display().to_string()))?;
            found.extend(of_file);
        }
    }
    Ok(())
}

/// The names in the first column of the document's table.
fn documented() -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/environment.md"))?;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    Ok(rows
        .filter_map(|row| row.split_once('|'))
        .flat_map(|(names, _)| names.split(|c: char| "`, ".contains(c)))
        .filter(|name| is_name(name))
        .map(str::to_owned)
        .collect())
}

#[test]
fn the_document_names_every_variable_that_is_read() {
    let mut read = BTreeSet::new();
    collect(root(), &mut read).unwrap();
    let documented = documented().unwrap();
    let missing: Vec<_> = read.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/environment.md lacks {missing:?}");
    let gone: Vec<_> = documented.difference(&read).collect();
    assert!(
        gone.is_empty(),
        "nothing reads {gone:?} of docs/environment.md"
    );
}

#[test]
fn reads_of_every_kind_are_found() {
    let found = |text: &str| read_by(text).unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(found("std::env::var_os(\"A_B\")"), ["A_B"]);
    assert_eq!(found("char *path = getenv(\"A_B\");"), ["A_B"]);
    assert_eq!(found("variable(c\"A_B\")"), ["A_B"]);
    assert_eq!(found("#[arg(long, env = \"A_B\")]"), ["A_B"]);
    assert_eq!(found("const A: &str = \"A_B\"; env::var(A)"), ["A_B"]);
    assert_eq!(found("image: sut:${HOOKPROBE_TAG:-dev}"), ["HOOKPROBE_TAG"]);
    assert_eq!(
        found("pub const ARM: &str = \"HOOKPROBE_ARM\";"),
        ["HOOKPROBE_ARM"]
    );
    assert_eq!(found("\"READHOOK_MODE must be off\""), [""; 0]);
    assert!(
        read_by("env::var(name)").is_err(),
        "a name that cannot be told"
    );
}
