//! How a program ends, and the exit code that says so.

use std::process::ExitCode;

use crate::output;

/// How a command ended that did not fail. A failure is 1, and wrong usage 2, which is clap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It did what it was asked for.
    Complete,
    /// It was stopped early; what it had is written down, and says so.
    CutShort,
    /// It is complete, and its result is not to be used: the output says why.
    NotUsable,
}

impl End {
    /// Of a measurement that was cut short or not, and whose result is usable or not.
    pub const fn of(is_cut_short: bool, is_usable: bool) -> Self {
        match (is_cut_short, is_usable) {
            (true, _) => Self::CutShort,
            (false, true) => Self::Complete,
            (false, false) => Self::NotUsable,
        }
    }

    /// Its exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::CutShort => 3,
            Self::NotUsable => 4,
        }
    }
}

/// What `main` of a program returns. An error goes to stderr. Results that could not be printed are a failure, too.
pub fn end(program: &str, result: anyhow::Result<End>) -> ExitCode {
    match result {
        Ok(_) if output::has_failed() => ExitCode::FAILURE,
        Ok(end) => ExitCode::from(end.code()),
        Err(error) => {
            eprintln!("{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each code, and a word that its row in the document must have.
    const ROWS: [(u8, &str); 5] = [
        (End::Complete.code(), "complete, with or without a verdict"),
        (1, "error"),
        (2, "wrong usage"),
        (End::CutShort.code(), "cut short"),
        (End::NotUsable.code(), "not usable"),
    ];

    #[test]
    fn the_document_has_each_code_with_its_meaning() {
        let text = include_str!("../../../docs/run-directory.md");
        let (_, table) = text.split_once("## Exit codes\n").unwrap();
        let rows: Vec<&str> = table
            .lines()
            .skip_while(|line| !line.starts_with("|---"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .collect();
        assert_eq!(rows.len(), ROWS.len());
        for (row, (code, meaning)) in rows.iter().zip(ROWS) {
            assert!(row.starts_with(&format!("| {code} |")), "{row}");
            assert!(row.contains(meaning), "{row}");
        }
    }
}
