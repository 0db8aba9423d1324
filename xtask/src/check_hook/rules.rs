//! What the file of a preloaded library must be like, and why.

use std::collections::BTreeSet;

use object::elf::{R_AARCH64_TLS_TPREL, R_X86_64_TPOFF64};

use crate::check_hook::facts::Facts;
use crate::check_hook::lists::Lists;

/// The libraries that it asks for. glibc has both, since 2.34 with nothing in the first; musl takes either
/// name for itself.
const NEEDED: [&str; 2] = ["libdl.so.2", "libc.so.6"];

/// The oldest glibc that it is for: that of RHEL 7 and of the wheels named `manylinux2014`.
const OLDEST_GLIBC: [u32; 2] = [2, 17];

const SITES: [&str; 3] = ["readhook:accepted", "readhook:closed", "readhook:read_done"];

/// Bytes that the file may have. It is read at the start of every program; a formatter or an allocator that
/// has crept in shows here first.
const MOST_BYTES: usize = 256 * 1024;

/// What holds for one library alone.
#[derive(Debug)]
pub struct Rules {
    lists: Lists,
    /// Whether it has the sites.
    has_sites: bool,
    /// Whether it has storage of its own in each thread. It must be static then, which `dlopen` need not allocate, and be
    /// placed by the loader.
    has_storage: bool,
}

impl Rules {
    /// The rules for a library of ours, or for a hook of any other name.
    pub fn of(name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            lists: Lists::kept(name)?,
            has_sites: name != "back",
            has_storage: name == "back",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What is wrong with it.
    pub faults: Vec<String>,
}

/// Looks at everything.
pub fn check(facts: &Facts, rules: &Rules) -> Vec<Finding> {
    let lists = &rules.lists;
    vec![
        yes(
            "kind",
            "library for x86-64 or arm64",
            facts.is_library,
            "is no library for x86-64 or arm64",
        ),
        imports(facts, lists),
        none(
            "weak imports",
            &facts.weak_imports,
            "is a weak import, which start files bring along",
        ),
        none(
            "versions",
            &facts.version_needs,
            "is asked for; other C libraries do not have it",
        ),
        needed(facts),
        none(
            "search paths",
            &facts.search_paths,
            "is searched for libraries",
        ),
        exports(facts, lists),
        none(
            "indirect functions",
            &facts.indirect,
            "runs while the program is half loaded",
        ),
        relocations(facts, rules),
        not(
            "text relocations",
            facts.text_relocations,
            "the loader would write to code",
        ),
        not(
            "executable stack",
            facts.executable_stack,
            "the program's stack would become executable",
        ),
        not(
            "writable code",
            facts.writable_code != 0,
            "a segment is writable and executable",
        ),
        yes("read-only tables", "RELRO", facts.relro, "RELRO is missing"),
        yes(
            "binding",
            "at load time",
            facts.bind_now,
            "symbols would be bound inside of read, not async-signal-safe",
        ),
        yes(
            "unloading",
            "stays loaded",
            facts.stays_loaded,
            "fork would call a handler that is gone",
        ),
        storage(facts, rules),
        sites(facts, rules),
        size(facts),
    ]
}

fn finding(what: &'static str, found: String, faults: Vec<String>) -> Finding {
    Finding {
        what,
        found,
        faults,
    }
}

fn yes(what: &'static str, found: &str, holds: bool, fault: &str) -> Finding {
    let faults = if holds {
        Vec::new()
    } else {
        vec![fault.to_owned()]
    };
    finding(
        what,
        if holds {
            found.to_owned()
        } else {
            "no".to_owned()
        },
        faults,
    )
}

fn not(what: &'static str, is_so: bool, fault: &str) -> Finding {
    yes(what, "none", !is_so, fault)
}

fn none(what: &'static str, found: &[String], fault: &str) -> Finding {
    let faults = found.iter().map(|name| format!("{name} {fault}")).collect();
    let found = if found.is_empty() {
        "none".to_owned()
    } else {
        found.len().to_string()
    };
    finding(what, found, faults)
}

fn imports(facts: &Facts, lists: &Lists) -> Finding {
    let mut faults = Vec::new();
    for symbol in &facts.imports {
        match lists.imports.get(symbol) {
            None => faults.push(format!(
                "{symbol} is imported and not in {}/imports.txt",
                lists.folder
            )),
            Some(import) if import.glibc[..] > OLDEST_GLIBC[..] => {
                faults.push(format!("{symbol} is newer than glibc 2.17"));
            }
            Some(import) if !NEEDED.contains(&import.library.as_str()) => {
                faults.push(format!(
                    "{symbol} is from {}, which is not asked for",
                    import.library
                ));
            }
            Some(_) => {}
        }
    }
    let newest = facts
        .imports
        .iter()
        .filter_map(|symbol| lists.imports.get(symbol))
        .map(|import| &import.glibc)
        .max();
    let newest = newest.map_or_else(String::new, |version| {
        let parts: Vec<String> = version.iter().map(u32::to_string).collect();
        format!(", in glibc since {}", parts.join("."))
    });
    finding(
        "imports",
        format!("{}{newest}", facts.imports.len()),
        faults,
    )
}

fn needed(facts: &Facts) -> Finding {
    let mut faults = Vec::new();
    if facts.needed != NEEDED {
        faults.push(format!("asks for {:?}, not for {NEEDED:?}", facts.needed));
    }
    finding("libraries", facts.needed.join(", "), faults)
}

fn exports(facts: &Facts, lists: &Lists) -> Finding {
    let exported: BTreeSet<String> = facts.exports.iter().cloned().collect();
    let extra = exported.difference(&lists.exports).map(|symbol| {
        format!(
            "{symbol} is exported and not in {}/exports.txt",
            lists.folder
        )
    });
    let missing = lists
        .exports
        .difference(&exported)
        .map(|symbol| format!("{symbol} is not exported"));
    finding(
        "exports",
        facts.exports.join(", "),
        extra.chain(missing).collect(),
    )
}

fn storage(facts: &Facts, rules: &Rules) -> Finding {
    if rules.has_storage {
        return yes(
            "thread storage",
            "static",
            facts.thread_storage,
            "dlopen would allocate it at first use, perhaps in a signal handler",
        );
    }
    not(
        "thread storage",
        facts.thread_storage,
        "dlopen allocates it at first use, perhaps in a signal handler",
    )
}

fn relocations(facts: &Facts, rules: &Rules) -> Finding {
    let mut faults = Vec::new();
    if facts.packed_relocations {
        faults.push("DT_RELR: loaders before glibc 2.36 and musl 1.2.4 do not know it".to_owned());
    }
    // Where static storage of a thread lies is such an address, too.
    let is_plain =
        |kind: &u32| rules.has_storage && [R_X86_64_TPOFF64, R_AARCH64_TLS_TPREL].contains(kind);
    let odd: BTreeSet<u32> = facts.odd_relocations.iter().copied().collect();
    let odd: BTreeSet<u32> = odd.into_iter().filter(|kind| !is_plain(kind)).collect();
    faults.extend(odd.iter().map(|kind| format!("relocations of type {kind}")));
    let found = if faults.is_empty() {
        "plain addresses"
    } else {
        "others"
    };
    finding("relocations", found.to_owned(), faults)
}

fn sites(facts: &Facts, rules: &Rules) -> Finding {
    let sites = if rules.has_sites { &SITES[..] } else { &[] };
    let mut names: Vec<&str> = facts.notes.iter().map(|note| note.name.as_str()).collect();
    names.sort_unstable();
    let mut faults = Vec::new();
    if names != sites {
        faults.push(format!("the notes are {names:?}, not {sites:?}"));
    }
    let outside = |names: &[String], what: &str| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{name}: its {what}"))
            .collect()
    };
    faults.extend(outside(
        &facts.sites_outside_code,
        "site does not lie in code",
    ));
    faults.extend(outside(
        &facts.semaphores_outside_data,
        "semaphore does not lie in writable memory",
    ));
    finding("probe sites", names.join(", "), faults)
}

fn size(facts: &Facts) -> Finding {
    let mut faults = Vec::new();
    if facts.size > MOST_BYTES {
        faults.push(format!("the file has more than {MOST_BYTES} bytes"));
    }
    finding("size", format!("{} bytes", facts.size), faults)
}

#[cfg(test)]
mod tests;
