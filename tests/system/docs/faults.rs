//! The tests of the documentation can fail: each of these pages is wrong, and must be found to be.

use std::path::Path;

use anyhow::bail;

use super::commands::Workshop;
use super::links;
use super::markdown::Page;
use super::repository::Repository;
use crate::kit::Kit;

/// Links that hold, in a file `docs/page.md`.
const RIGHT: &str = "\
# A `page` of ours, and more

[up](../README.md) [here](agent.md) [image](../docs/) ![a](../hook/keywords.txt) [self](#a-page-of-ours-and-more)
[outside](https://example.com/#x) `docs/agent.md` `deploy/token` `either/or`
[second](#twice-1)

## Twice

## Twice
";

/// A wrong line, and what must be said about it.
const WRONG_LINKS: [(&str, &str); 8] = [
    ("[a](no-such.md)", "there is no docs/no-such.md"),
    (
        "![a](plots/no-such.svg)",
        "there is no docs/plots/no-such.svg",
    ),
    ("[a](../../elsewhere.md)", "leads out of the repository"),
    ("[a](#no-such)", "no heading is #no-such"),
    ("[a](agent.md#no-such)", "no heading is #no-such"),
    ("[a](#twice-2)", "no heading is #twice-2"),
    (
        "[a](../Cargo.toml#members)",
        "only Markdown files have anchors",
    ),
    ("`tests/system/no_such.rs`", "no such file"),
];

pub fn wrong_links_are_found(_: &Kit) -> anyhow::Result<()> {
    let repository = Repository::open()?;
    let file = Path::new("docs/page.md");
    let faults = links::faults(&repository, file, &Page::parse(RIGHT));
    ensure!(faults.is_empty(), "right links: {faults:?}");
    for (wrong, expected) in WRONG_LINKS {
        let text = format!("{RIGHT}\n{wrong}\n");
        let line = text.lines().count();
        let faults = links::faults(&repository, file, &Page::parse(&text));
        let place = format!("docs/page.md:{line}: ");
        ensure!(
            matches!(&faults[..], [fault] if fault.starts_with(&place) && fault.contains(expected)),
            "{wrong} on line {line}: {faults:?}"
        );
    }
    Ok(())
}

/// Blocks in which nothing is wrong.
const RIGHT_BLOCKS: &str = "\
# Right

```sh
value=1     # is there in the next block
```

- In a list:

  ```sh needs=servers
  test $value = 1
  curl -fs http://127.0.0.1:8081/ |
      grep -q World
  ```

```sh checked-as=long,containers
cargo xtask bench-join --help
cargo clippy -p loadgen
docker build --file deploy/images/Dockerfile --target sut .
```

```text
false
```
";

/// A wrong block, and what must be said about it. It begins on line 3.
const WRONG_BLOCKS: [(&str, &str); 23] = [
    ("sh\ntrue\nfalse", "line 5: exit code 1: false"),
    ("sh\nfalse | true", "line 4: exit code 1"),
    ("sh\necho $unknown", "line 4: unknown: unbound variable"),
    (
        "sh\nno-such-program",
        "line 4: no-such-program: command not found",
    ),
    ("sh\nprobe-user report --no-such-option", "--no-such-option"),
    ("sh\nprobe-user validate probes --rounds many", "many"),
    ("sh\n# nothing", "page.md:3: has no command"),
    ("sh needs=no-such\ntrue", "need_no-such: command not found"),
    ("sh wants=redis\ntrue", "neither needs=… nor checked-as=…"),
    ("sh checked-as=no-such\ntrue", "no reason is \"no-such\""),
    (
        "sh checked-as=cloud\ntrue",
        "nothing is checked-as=cloud in it",
    ),
    ("console\ntrue", "commands are ```sh"),
    ("sh\ncargo xtask", "does not say checked-as=long"),
    (
        "sh checked-as=long\ncargo xtask no-such-task",
        "no-such-task",
    ),
    (
        "sh checked-as=long\ncargo xtask bench-join --no-such-option",
        "--no-such-option",
    ),
    (
        "sh checked-as=long\ncargo xtask bench --no-such-option",
        "--no-such-option",
    ),
    (
        "sh checked-as=long\ncargo clippy -p no-such",
        "no package is no-such",
    ),
    (
        "sh checked-as=long\ncargo test -p system-tests -- no-such::",
        "no test is no-such::",
    ),
    (
        "sh checked-as=long\ncargo xtask bench-load --no-such-option",
        "--no-such-option",
    ),
    (
        "sh checked-as=tracer\nbpftrace -p 1 -e usdt:./target/release/readhook.so:readhook:no_such",
        "has no probe readhook:no_such",
    ),
    (
        "sh checked-as=containers\ndocker build --file deploy/images/Dockerfile --target no-such .",
        "no target no-such",
    ),
    (
        "sh checked-as=cluster\nkubectl apply -k deploy/kubernetes/bases",
        "has no kustomization.yaml",
    ),
    (
        "powershell\ndocker compose -f deploy/no-such.yaml up",
        "there is no deploy/no-such.yaml",
    ),
];

pub fn wrong_commands_are_found(kit: &Kit) -> anyhow::Result<()> {
    let repository = Repository::open()?;
    let workshop = Workshop::new(kit, &repository)?;
    let faults = |text: &str| match workshop.check(Path::new("page.md"), &Page::parse(text)) {
        Ok(Some(checked)) => Ok((
            checked.faults.join("\n"),
            checked.row.blocks,
            checked.row.lines,
        )),
        Ok(None) => bail!("no commands were found in:\n{text}"),
        Err(error) => Ok((format!("{error:#}"), 0, 0)),
    };
    let (right, blocks, lines) = faults(RIGHT_BLOCKS)?;
    // Each half of the pipeline has a line.
    ensure!(
        right.is_empty() && blocks == 3 && lines == 7,
        "right blocks: {blocks} blocks, {lines} lines: {right}"
    );
    for (block, expected) in WRONG_BLOCKS {
        let (fault, ..) = faults(&format!("# Wrong\n\n```{block}\n```\n"))?;
        ensure!(fault.contains(expected), "{block}: {fault:?}");
    }
    Ok(())
}
