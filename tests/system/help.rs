//! What the programs say of themselves fits a screen, and its examples are of commands and options that exist.

use std::collections::BTreeSet;

use anyhow::Context as _;

use crate::Test;
use crate::kit::{Kit, fail, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "help::of_a_program_fits_a_screen_and_has_examples",
        needs: &[Need::NoOtherKernel],
        run: programs_fit,
    },
    Test {
        name: "help::of_a_command_fits_a_screen_in_short",
        needs: &[Need::NoOtherKernel],
        run: commands_fit,
    },
    Test {
        name: "help::commands_that_have_moved_say_where",
        needs: &[Need::NoOtherKernel],
        run: moved,
    },
    Test {
        name: "help::examples_are_of_what_there_is",
        needs: &[Need::NoOtherKernel],
        run: examples_hold,
    },
];

/// The programs with a command line.
pub const PROGRAMS: [&str; 3] = ["probe-user", "loadgen", "sut"];
const COLUMNS: usize = 80;
const PROGRAM_LINES: usize = 40;
const COMMAND_LINES: usize = 50;

/// What a program says on 80 columns.
pub fn help(kit: &Kit, program: &str, words: &[&str]) -> anyhow::Result<String> {
    let mut command = kit.command(program);
    command.args(words).env("COLUMNS", COLUMNS.to_string());
    Ok(String::from_utf8(succeed(&mut command)?.stdout)?)
}

/// The commands of a program and all that these have: the words that call each, and what it says of itself. The first is
/// the program.
pub fn all_commands(kit: &Kit, program: &str) -> anyhow::Result<Vec<(Vec<String>, String)>> {
    let mut found = vec![(Vec::new(), help(kit, program, &["--help"])?)];
    let mut next = 0;
    while let Some((words, text)) = found.get(next).cloned() {
        for command in commands(&text) {
            let words = [words.as_slice(), &[command.to_owned()]].concat();
            let text = help(kit, program, &[as_str(&words), vec!["--help"]].concat())?;
            found.push((words, text));
        }
        next += 1;
    }
    Ok(found)
}

/// The commands that a help lists, but for `help` itself.
pub fn commands(help: &str) -> Vec<&str> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    list.filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect()
}

/// The examples of a help, which stand in lines of their own.
fn examples(help: &str) -> impl Iterator<Item = &str> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    lines.take_while(|line| !line.is_empty())
}

/// The long options that a text names.
pub fn options(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| c.is_whitespace() || "[]<>|,;:=.`".contains(c))
        .filter(|word| word.len() > 2 && word.starts_with("--"))
        .collect()
}

fn fits(help: &str, lines: usize) -> anyhow::Result<()> {
    ensure!(
        help.lines().count() <= lines,
        "more than {lines} lines: {help}"
    );
    let wide = help.lines().find(|line| line.chars().count() > COLUMNS);
    ensure!(wide.is_none(), "too wide: {wide:?}");
    Ok(())
}

fn programs_fit(kit: &Kit) -> anyhow::Result<()> {
    for program in PROGRAMS {
        let help = help(kit, program, &["--help"])?;
        fits(&help, PROGRAM_LINES).context(program)?;
        let own = examples(&help).filter(|line| line.contains(program));
        ensure!(own.count() >= 2, "{program} has no examples: {help}");
    }
    Ok(())
}

fn commands_fit(kit: &Kit) -> anyhow::Result<()> {
    for program in PROGRAMS {
        for (words, _) in &all_commands(kit, program)?[1..] {
            let help = short_help(kit, program, words)?;
            fits(&help, COMMAND_LINES).with_context(|| format!("{program} {words:?}"))?;
        }
    }
    Ok(())
}

fn examples_hold(kit: &Kit) -> anyhow::Result<()> {
    for program in PROGRAMS {
        let all = all_commands(kit, program)?;
        let mut texts = vec![all[0].1.clone()];
        for (words, _) in &all[1..] {
            texts.push(short_help(kit, program, words)?);
        }
        for example in texts.iter().flat_map(|text| examples(text)) {
            // Some are of other programs, and some go on in a second line.
            let mut words = example
                .split_whitespace()
                .skip_while(|word| *word != program);
            if words.next().is_none() {
                continue;
            }
            let words: Vec<&str> = words.collect();
            let (called, known) = all
                .iter()
                .filter(|(called, _)| words.starts_with(&as_str(called)))
                .max_by_key(|(called, _)| called.len())
                .context("the program itself is always called")?;
            ensure!(
                commands(known).is_empty(),
                "{example}: {called:?} has no such command"
            );
            // After "--" stands another program's command line.
            let own = example.split(" -- ").next().unwrap_or_default();
            let own = options(own);
            let known = options(known);
            let unknown: Vec<_> = own.difference(&known).collect();
            ensure!(unknown.is_empty(), "{example}: no option {unknown:?}");
        }
    }
    Ok(())
}

fn as_str(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// What a command says of itself with `-h`.
fn short_help(kit: &Kit, program: &str, words: &[String]) -> anyhow::Result<String> {
    help(kit, program, &[as_str(words), vec!["-h"]].concat())
}

/// Whatever options they get: nothing of them is done.
fn moved(kit: &Kit) -> anyhow::Result<()> {
    let listed = help(kit, "probe-user", &["--help"])?;
    for (former, now) in [
        ("a-a", "probe-user validate a-a"),
        ("calibrate", "probe-user validate probes"),
        ("compare", "probe-user report RUN RUN"),
        ("truth", "probe-user validate truth"),
    ] {
        ensure!(!commands(&listed).contains(&former), "{former} is listed");
        for options in [
            &[][..],
            &["--help"],
            &["--json", "runs/a", "runs/b"],
            &["--no-such-option", "--", "-x"],
        ] {
            let mut command = kit.command("probe-user");
            command.arg(former).args(options);
            fail(&mut command, 2, &[former, now])?;
        }
    }
    Ok(())
}
