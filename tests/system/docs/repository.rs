//! The files that git knows of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::markdown::Page;
use crate::kit::succeed;

/// The repository under test.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Repository {
    /// Asks git.
    pub fn open() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut git = Command::new("git");
        // The tests run as root, and git does not trust folders of others by itself.
        git.args(["-c", "safe.directory=*", "-C"]).arg(&root).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let listed = String::from_utf8(succeed(&mut git)?.stdout)?;
        let files: BTreeSet<PathBuf> = listed
            .split_terminator('\0')
            .map(PathBuf::from)
            .filter(|file| root.join(file).is_file())
            .collect();
        ensure!(!files.is_empty(), "git knows no files here");
        let folders = files
            .iter()
            .flat_map(|file| file.ancestors().skip(1))
            .map(Path::to_owned)
            .collect();
        Ok(Self {
            root,
            files,
            folders,
        })
    }

    /// The Markdown files, by path.
    pub fn pages(&self) -> anyhow::Result<Vec<(&Path, Page)>> {
        let is_markdown = |file: &&PathBuf| file.extension().is_some_and(|it| it == "md");
        self.files
            .iter()
            .filter(is_markdown)
            .map(|file| Ok((file.as_path(), self.page(file)?)))
            .collect()
    }

    /// A Markdown file.
    pub fn page(&self, file: &Path) -> anyhow::Result<Page> {
        let text = fs::read_to_string(self.root.join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Page::parse(&text))
    }

    /// Whether it has this file or folder.
    pub fn has(&self, path: &Path) -> bool {
        self.files.contains(path) || self.folders.contains(path)
    }

    /// Whether a text is a path of something in one of its folders, be it there or not.
    pub fn claims(&self, text: &str) -> bool {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '/' | '.' | '-' | '_');
        let Some((first, rest)) = text.split_once('/') else {
            return false;
        };
        !first.is_empty()
            && !rest.is_empty()
            && text.chars().all(is_plain)
            && self.folders.contains(Path::new(first))
    }

    /// Whether git is told to leave this path alone: it is made while one works.
    pub fn ignores(&self, path: &str) -> bool {
        let mut git = Command::new("git");
        git.args(["-c", "safe.directory=*", "-C"])
            .arg(&self.root)
            .args(["check-ignore", "--quiet", "--", path]);
        succeed(&mut git).is_ok()
    }

    /// Whether one of its crates is called so.
    pub fn has_package(&self, name: &str) -> anyhow::Result<bool> {
        let line = format!("name = \"{name}\"");
        for file in self.files.iter().filter(|it| it.ends_with("Cargo.toml")) {
            let manifest = fs::read_to_string(self.root.join(file))?;
            let mut package = manifest.lines().skip_while(|it| *it != "[package]");
            if package.any(|it| it == line) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Copies its files.
    pub fn copy_to(&self, folder: &Path) -> anyhow::Result<()> {
        for path in &self.folders {
            fs::create_dir_all(folder.join(path))?;
        }
        for file in &self.files {
            fs::copy(self.root.join(file), folder.join(file))
                .with_context(|| format!("cannot copy {}", file.display()))?;
        }
        Ok(())
    }
}

/// Where a relative link in a file leads to; `None` when it leads out of the repository.
pub fn resolve(file: &Path, target: &str) -> Option<PathBuf> {
    let mut resolved = file.parent()?.to_owned();
    for component in Path::new(target).components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}
