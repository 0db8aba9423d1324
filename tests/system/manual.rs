//! Manual pages and completions, which the programs write themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::Test;
use crate::help::{PROGRAMS, all_commands, commands, help, options};
use crate::kit::{Kit, fail, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "manual::each_command_has_a_page_with_its_options",
        needs: &[Need::NoOtherKernel],
        run: pages,
    },
    Test {
        name: "manual::man_renders_the_pages_without_a_warning",
        needs: &[
            Need::NoOtherKernel,
            Need::Program("man"),
            Need::Program("groff"),
        ],
        run: pages_render,
    },
    Test {
        name: "manual::bash_completes_commands_and_options",
        needs: &[Need::NoOtherKernel, Need::Program("bash")],
        run: bash_completes,
    },
    Test {
        name: "manual::a_folder_that_cannot_be_written_is_an_error",
        needs: &[Need::NoOtherKernel],
        run: cannot_be_written,
    },
];

/// Has all programs write their manual.
fn write(kit: &Kit, prefix: &Path) -> anyhow::Result<()> {
    for program in PROGRAMS {
        succeed(kit.command(program).arg("--write-manual").arg(prefix))?;
    }
    Ok(())
}

fn pages_in(prefix: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = fs::read_dir(prefix.join("share/man/man1"))?;
    folder.map(|entry| Ok(entry?.path())).collect()
}

fn pages(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    write(kit, folder.path())?;
    let mut expected = 0;
    for program in PROGRAMS {
        let all = all_commands(kit, program)?;
        expected += all.len();
        for (words, help) in all {
            let name = [&[program.to_owned()], words.as_slice()].concat().join("-");
            let page = folder.path().join(format!("share/man/man1/{name}.1"));
            let page = fs::read_to_string(page).with_context(|| name.clone())?;
            // In a page a hyphen that is to stay one has a backslash.
            let page = page
                .replace("\\-", "-")
                .replace("\\fR", " ")
                .replace("\\fB", " ");
            for heading in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
                ensure!(page.contains(heading), "{name} has no {heading}");
            }
            ensure!(
                page.contains(".SH EXAMPLES") == help.contains("\nExamples:\n"),
                "{name}: examples"
            );
            let (listed, _) = help.split_once("\nExamples:").unwrap_or((&help, ""));
            let missing: Vec<_> = options(listed)
                .difference(&options(&page))
                .copied()
                .collect();
            ensure!(missing.is_empty(), "{name} says nothing of {missing:?}");
        }
    }
    // Commands that no help shows have none.
    let found = pages_in(folder.path())?.len();
    ensure!(found == expected, "{found} pages, not {expected}");
    Ok(())
}

fn pages_render(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    write(kit, folder.path())?;
    for page in pages_in(folder.path())? {
        let mut man = Command::new("man");
        man.args(["--warnings", "--encoding=UTF-8", "--local-file"])
            .arg(&page)
            .env("LC_ALL", "C.UTF-8");
        let shown = succeed(&mut man)?;
        let warnings = String::from_utf8_lossy(&shown.stderr);
        ensure!(warnings.is_empty(), "{}: {warnings}", page.display());
        let text = String::from_utf8_lossy(&shown.stdout);
        ensure!(text.contains("SYNOPSIS"), "{}: {text}", page.display());
    }
    Ok(())
}

/// What bash offers for the last of the words, by the function that the completions of their program install.
fn offered(completions: &Path, words: &str) -> anyhow::Result<Vec<String>> {
    let script = r#"
        source "$1"
        COMP_WORDS=($2)
        [[ $2 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        function=$(complete -p "${COMP_WORDS[0]}" | sed 's/.*-F \([^ ]*\).*/\1/')
        "$function" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"])
        .arg(completions)
        .arg(words);
    let said = String::from_utf8(succeed(&mut bash)?.stdout)?;
    Ok(said.lines().map(str::to_owned).collect())
}

fn bash_completes(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    write(kit, folder.path())?;
    let completions = |program: &str| {
        let folder = folder.path().join("share/bash-completion/completions");
        folder.join(format!("{program}.bash"))
    };
    for program in PROGRAMS {
        succeed(Command::new("bash").arg("-n").arg(completions(program)))?;
    }
    for (words, expected) in [
        ("probe-user bench --no-p", &["--no-probes"][..]),
        ("probe-user bench --order d", &["duet"]),
        ("probe-user ana", &["analyze"]),
        ("probe-user val", &["validate"]),
        ("probe-user validate truth --del", &["--delays"]),
        // Moved, and not to be called any more.
        ("probe-user com", &[]),
        ("loadgen re", &["request"]),
        ("loadgen run --think-", &["--think-time"]),
        ("sut --thr", &["--threads"]),
        // Hidden, and not for people.
        ("probe-user micro-w", &[]),
        ("probe-user bench --sequence", &[]),
    ] {
        let program = words.split(' ').next().unwrap_or_default();
        let mut found = offered(&completions(program), words)?;
        found.retain(|word| !word.is_empty());
        ensure!(found == expected, "{words}: {found:?}");
    }
    let programs = offered(&completions("probe-user"), "probe-user ")?;
    for command in commands(&help(kit, "probe-user", &["--help"])?) {
        ensure!(programs.iter().any(|one| one == command), "{programs:?}");
    }
    Ok(())
}

fn cannot_be_written(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let file = folder.path().join("file");
    fs::write(&file, "")?;
    for program in PROGRAMS {
        let mut command = kit.command(program);
        command.arg("--write-manual").arg(&file);
        let path = file.display().to_string();
        fail(&mut command, 1, &["cannot write the manual to", &path])?;
    }
    Ok(())
}
