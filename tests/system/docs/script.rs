//! The commands of a Markdown file as one script, whose lines have the numbers that they have in the file.

use std::path::Path;

use anyhow::Context as _;

use super::fence::{Fence, Language};
use super::markdown::{Block, Page};

/// The script of a file, and what it was made of.
#[derive(Debug)]
pub struct Script<'page> {
    /// The file's path.
    pub name: String,
    pub text: String,
    pub shell: Vec<(&'page Block, Fence)>,
    pub powershell: Vec<&'page Block>,
}

/// Takes the place of the first line, on which no block can begin.
const FIRST: &str = ". /mnt/harness/prelude.sh; trap 'ran $LINENO' DEBUG";

impl<'page> Script<'page> {
    pub fn of(file: &Path, page: &'page Page) -> anyhow::Result<Self> {
        let mut script = Self {
            name: file.display().to_string(),
            text: FIRST.to_owned(),
            shell: Vec::new(),
            powershell: Vec::new(),
        };
        let mut line = 1;
        for block in &page.blocks {
            let place = || format!("{}:{}", script.name, block.line);
            let fence = match Language::of(block).with_context(place)? {
                Language::Other => continue,
                Language::PowerShell => {
                    script.powershell.push(block);
                    continue;
                }
                Language::Shell(fence) => fence,
            };
            ensure!(block.line > 1, "{}: no heading above", place());
            script.text.push_str(&"\n".repeat(block.line - line));
            script.text.push_str("begin ");
            script.text.push_str(&block.line.to_string());
            for need in &fence.needs {
                script.text.push(' ');
                script.text.push_str(need);
            }
            script.text.push('\n');
            script.text.push_str(&block.text);
            line = block.line + 1 + block.text.matches('\n').count();
            script.shell.push((block, fence));
        }
        script.text.push('\n');
        Ok(script)
    }
}

/// Whether a line is one of a block's.
pub fn is_in(block: &Block, line: usize) -> bool {
    line > block.line && line <= block.line + block.text.matches('\n').count()
}
