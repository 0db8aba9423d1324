use clap::error::ErrorKind;

use super::*;

fn parse(command_line: &[&str]) -> Result<Vec<OsString>, ErrorKind> {
    let command_line = || ["xtask"].iter().chain(command_line).map(OsString::from);
    match Arguments::try_parse_from(command_line()) {
        Ok(_) => Ok(words_after_task(command_line())),
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn words_reach_the_other_program_unchanged() {
    for words in [
        &["--", "java", "Server.java", "{port}"][..],
        &["--requests=5", "--json", "--", "sut", "--help", "--", "-x"],
        &["--requests", "5"],
        &[],
    ] {
        for task in ["bench", "truth"] {
            let passed_on = parse(&[&[task], words].concat()).unwrap();
            assert_eq!(passed_on, words);
        }
    }
}

#[test]
fn each_task_has_a_line_of_the_list() {
    let list = Arguments::command()
        .term_width(80)
        .render_help()
        .to_string();
    for task in Arguments::command().get_subcommands() {
        let about = task.get_about().unwrap().to_string();
        let is_listed = |line: &str| {
            let words = line.trim().strip_prefix(task.get_name());
            words.is_some_and(|words| words.trim() == about)
        };
        assert!(list.lines().any(is_listed), "{}: {list}", task.get_name());
    }
}

#[test]
fn the_help_of_a_task_is_its_own() {
    for command_line in [["bench", "--help"], ["truth", "-h"]] {
        assert_eq!(parse(&command_line), Err(ErrorKind::DisplayHelp));
    }
}
