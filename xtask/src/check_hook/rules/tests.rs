use super::*;
use crate::check_hook::notes::Note;

fn note(name: &str) -> Note {
    Note {
        name: name.to_owned(),
        location: 1,
        semaphore: 1,
    }
}

fn hook() -> Rules {
    Rules::of("readhook").unwrap()
}

/// A hook without a fault.
fn good() -> Facts {
    Facts {
        is_library: true,
        size: 50_000,
        needed: NEEDED.map(str::to_owned).to_vec(),
        imports: vec!["dlsym".to_owned(), "abort".to_owned()],
        exports: hook().lists.exports.into_iter().collect(),
        relro: true,
        bind_now: true,
        stays_loaded: true,
        notes: SITES.map(note).to_vec(),
        ..Facts::default()
    }
}

fn faults(facts: &Facts) -> Vec<(&'static str, Vec<String>)> {
    check(facts, &hook())
        .into_iter()
        .filter(|finding| !finding.faults.is_empty())
        .map(|finding| (finding.what, finding.faults))
        .collect()
}

#[test]
fn a_hook_without_a_fault_passes() {
    assert_eq!(faults(&good()), []);
}

#[test]
fn each_fault_is_found_where_it_is() {
    type Spoil = fn(&mut Facts);
    let spoilt: [(&str, Spoil); 20] = [
        ("kind", |facts| facts.is_library = false),
        ("imports", |facts| facts.imports.push("malloc".to_owned())),
        ("weak imports", |facts| {
            facts.weak_imports = vec!["dlsym".to_owned()];
        }),
        ("versions", |facts| {
            facts.version_needs = vec!["libc.so.6: GLIBC_2.2.5".to_owned()];
        }),
        ("libraries", |facts| {
            facts.needed.push("libgcc_s.so.1".to_owned());
        }),
        ("libraries", |facts| facts.needed.reverse()),
        ("search paths", |facts| {
            facts.search_paths.push("/lib".to_owned());
        }),
        ("exports", |facts| facts.exports.push("helper".to_owned())),
        ("exports", |facts| {
            facts.exports.retain(|symbol| symbol != "read");
        }),
        ("indirect functions", |facts| {
            facts.indirect.push("memcpy".to_owned());
        }),
        ("relocations", |facts| facts.packed_relocations = true),
        ("relocations", |facts| facts.odd_relocations.push(37)),
        ("text relocations", |facts| facts.text_relocations = true),
        ("executable stack", |facts| facts.executable_stack = true),
        ("writable code", |facts| facts.writable_code = 1),
        ("read-only tables", |facts| facts.relro = false),
        ("binding", |facts| facts.bind_now = false),
        ("unloading", |facts| facts.stays_loaded = false),
        ("thread storage", |facts| facts.thread_storage = true),
        ("size", |facts| facts.size = MOST_BYTES + 1),
    ];
    for (what, spoil) in spoilt {
        let mut facts = good();
        spoil(&mut facts);
        let found: Vec<&str> = faults(&facts).into_iter().map(|(what, _)| what).collect();
        assert_eq!(found, [what]);
    }
}

#[test]
fn a_site_that_is_missing_or_misplaced_is_a_fault() {
    let mut missing = good();
    missing.notes.pop();
    let mut misplaced = good();
    misplaced.sites_outside_code.push(SITES[0].to_owned());
    let mut read_only = good();
    read_only.semaphores_outside_data.push(SITES[1].to_owned());
    for facts in [missing, misplaced, read_only] {
        assert_eq!(faults(&facts)[0].0, "probe sites");
    }
}

#[test]
fn an_import_that_is_too_new_is_a_fault() {
    let mut rules = hook();
    rules.lists.imports.get_mut("abort").unwrap().glibc = vec![2, 34];
    let findings = check(&good(), &rules);
    let imports = findings.iter().find(|finding| finding.what == "imports");
    assert_eq!(imports.unwrap().faults, ["abort is newer than glibc 2.17"]);
}

#[test]
fn back_alone_has_storage_and_no_sites() {
    let mut facts = good();
    facts.thread_storage = true;
    facts.odd_relocations.push(R_X86_64_TPOFF64);
    facts.notes.clear();
    let found: Vec<&str> = faults(&facts).into_iter().map(|(what, _)| what).collect();
    assert_eq!(found, ["relocations", "thread storage", "probe sites"]);

    let back = Rules::of("back").unwrap();
    facts
        .imports
        .retain(|symbol| back.lists.imports.contains_key(symbol));
    facts.exports = back.lists.exports.iter().cloned().collect();
    let faults = |facts: &Facts| -> Vec<&str> {
        let findings = check(facts, &back).into_iter();
        let faulty = findings.filter(|finding| !finding.faults.is_empty());
        faulty.map(|finding| finding.what).collect()
    };
    assert_eq!(faults(&facts), [""; 0]);
    facts.thread_storage = false;
    facts.notes.push(note(SITES[0]));
    assert_eq!(faults(&facts), ["thread storage", "probe sites"]);
}
