//! The lists that are kept beside each preloaded library: what it may import, and what it exports.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};

/// The lists of a library, as they stand in its folder.
macro_rules! lists_in {
    ($folder:literal) => {
        (
            $folder,
            include_str!(concat!("../../../", $folder, "/imports.txt")),
            include_str!(concat!("../../../", $folder, "/exports.txt")),
        )
    };
}

/// A symbol that a library may import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The library that has it.
    pub library: String,
    /// The release of glibc that first had it on x86-64.
    pub glibc: Version,
}

/// A release of glibc: `[2, 2, 5]`. They compare as they should.
pub type Version = Vec<u32>;

/// What is kept about a library.
#[derive(Clone, Debug)]
pub struct Lists {
    /// Its folder.
    pub folder: &'static str,
    /// What it may import, by symbol.
    pub imports: BTreeMap<String, Import>,
    /// What it exports.
    pub exports: BTreeSet<String>,
}

impl Lists {
    /// The lists that this repository has of a library; all but the bracket's are hooks.
    pub fn kept(library: &str) -> anyhow::Result<Self> {
        let (folder, imports, exports) = match library {
            "front" => lists_in!("bracket/front"),
            "back" => lists_in!("bracket/back"),
            _ => lists_in!("hook"),
        };
        Self::parse(folder, imports, exports)
    }

    fn parse(folder: &'static str, imports: &str, exports: &str) -> anyhow::Result<Self> {
        let imports = lines(imports)
            .map(|line| {
                parse_import(line).with_context(|| format!("{folder}/imports.txt: \"{line}\""))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            folder,
            imports,
            exports: lines(exports).map(str::to_owned).collect(),
        })
    }
}

fn lines(list: &str) -> impl Iterator<Item = &str> {
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn parse_import(line: &str) -> anyhow::Result<(String, Import)> {
    let mut fields = line.split_whitespace();
    let mut field = || {
        fields
            .next()
            .context("needs a symbol, a library, a version and a reason")
    };
    let (symbol, library, version) = (field()?, field()?, field()?);
    let glibc = parse_version(version).with_context(|| format!("version \"{version}\""))?;
    ensure!(fields.next().is_some(), "says no reason");
    let library = library.to_owned();
    Ok((symbol.to_owned(), Import { library, glibc }))
}

/// Reads a version such as `2.2.5`.
pub fn parse_version(text: &str) -> anyhow::Result<Version> {
    let parts = text
        .split('.')
        .map(|part| part.parse().context("is no version"));
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::LIBRARIES;

    #[test]
    fn the_kept_lists_are_well_formed_and_old_enough() {
        for library in LIBRARIES {
            let lists = Lists::kept(library).unwrap();
            assert!(lists.exports.contains("read"));
            assert_eq!(lists.imports["dlsym"].library, "libdl.so.2");
        }
    }

    #[test]
    fn an_import_without_its_reason_or_with_nonsense_is_refused() {
        for line in ["open", "open libc.so.6 2.2.5", "open libc.so.6 new because"] {
            assert!(Lists::parse("hook", line, "").is_err(), "{line}");
        }
        assert!(Lists::parse("hook", "# a comment\n\nopen libc.so.6 2.2.5 because", "").is_ok());
    }

    #[test]
    fn versions_compare_by_number() {
        let version = |text| parse_version(text).unwrap();
        assert!(version("2.2.5") < version("2.17") && version("2.17") < version("2.34"));
    }
}
