//! Whether links within the repository hold, and paths in code spans.

use std::path::Path;

use super::markdown::Page;
use super::repository::{Repository, resolve};

/// What is wrong in a file, a line each.
pub fn faults(repository: &Repository, file: &Path, page: &Page) -> Vec<String> {
    let name = file.display();
    let links = page.links.iter().filter_map(|link| {
        let fault = link_fault(repository, file, page, &link.text)?;
        Some(format!("{name}:{}: {}: {fault}", link.line, link.text))
    });
    let is_missing = |path: &str| {
        repository.claims(path)
            && !repository.has(Path::new(path.trim_end_matches('/')))
            && !repository.ignores(path)
    };
    let spans = page
        .spans
        .iter()
        .filter(|span| is_missing(&span.text))
        .map(|span| format!("{name}:{}: {}: no such file", span.line, span.text));
    links.chain(spans).collect()
}

/// What is wrong with a link; of the outside we know nothing.
fn link_fault(repository: &Repository, file: &Path, page: &Page, target: &str) -> Option<String> {
    let scheme = target.split(['/', '#']).next().unwrap_or_default();
    if scheme.contains(':') {
        return None;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let other;
    let page = if path.is_empty() {
        page
    } else {
        let Some(found) = resolve(file, path) else {
            return Some("leads out of the repository".to_owned());
        };
        if !repository.has(&found) {
            return Some(format!("there is no {}", found.display()));
        }
        anchor?;
        if found.extension().is_none_or(|it| it != "md") {
            return Some("only Markdown files have anchors".to_owned());
        }
        match repository.page(&found) {
            Ok(read) => {
                other = read;
                &other
            }
            Err(error) => return Some(format!("{error:#}")),
        }
    };
    let anchor = anchor?;
    (!page.anchors.iter().any(|it| it == anchor)).then(|| format!("no heading is #{anchor}"))
}
