//! The hook libraries that probes are attached to, each once.
//!
//! A probe is in the file, so it fires for every process that has mapped it, in whatever container. Attached to once
//! more for another container of the same image, it would count twice. What is one file is told by its pages:
//! [`probes::discover::page`].

use std::io;

use anyhow::Context as _;

use probes::Probes;
use probes::discover::elf::UsdtSite;
use probes::discover::page::Page;
use probes::discover::sites::LoadedHook;
use probes::running::AttachedHook;

/// Number of an attached library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LibraryId(pub u64);

/// The attached libraries.
#[derive(Debug, Default)]
pub struct Libraries {
    attached: Vec<Library>,
    /// How many were attached to, over all time.
    pub attaches: u64,
}

#[derive(Debug)]
struct Library {
    id: LibraryId,
    page: Page,
    sites: Vec<UsdtSite>,
    /// Detaches when it goes.
    _attached: AttachedHook,
}

impl Libraries {
    /// Attaches to a hook, unless it is attached to already.
    pub fn attach(&mut self, probes: &Probes, hook: &LoadedHook) -> anyhow::Result<LibraryId> {
        let site = hook.sites.first().context("a hook without sites")?;
        let page = Page::of(&hook.reachable, site.offset)
            .with_context(|| format!("cannot map {}", hook.path.display()))?;
        if let Some(id) = self.find(&page, &hook.sites)? {
            return Ok(id);
        }
        let attached = probes.attach_hook(hook)?;
        self.attaches += 1;
        let id = LibraryId(self.attaches);
        self.attached.push(Library {
            id,
            page,
            sites: hook.sites.clone(),
            _attached: attached,
        });
        Ok(id)
    }

    fn find(&self, page: &Page, sites: &[UsdtSite]) -> anyhow::Result<Option<LibraryId>> {
        // One file has the same sites wherever it is seen.
        for library in self
            .attached
            .iter()
            .filter(|library| library.sites == sites)
        {
            let is_same = library.page.is(page);
            if is_same.context("cannot tell whether two libraries are one file")? {
                return Ok(Some(library.id));
            }
        }
        Ok(None)
    }

    /// Detaches from what nobody uses any more.
    pub fn keep(&mut self, is_used: impl Fn(LibraryId) -> bool) {
        self.attached.retain(|library| is_used(library.id));
    }
}

/// Whether an error says that the process has ended meanwhile.
pub fn has_ended(error: &anyhow::Error) -> bool {
    let is_not_found = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| {
            error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
        })
    };
    error.chain().any(is_not_found)
}
