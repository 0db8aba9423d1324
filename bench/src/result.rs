//! What every bench's result has, and how it is shown.

use std::process::ExitCode;

use serde::Serialize;

/// What could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Whether that is a fault of ours, and not the lack of a tool or of a kind of probe.
    pub is_failure: bool,
}

impl Missing {
    /// What cannot be had here.
    pub fn here(name: &str, reason: &str) -> Self {
        Self {
            name: name.to_owned(),
            reason: reason.to_owned(),
            is_failure: false,
        }
    }

    /// What an error came in the way of.
    pub fn failed(name: &str, error: &anyhow::Error, is_failure: bool) -> Self {
        Self {
            reason: format!("{error:#}"),
            is_failure,
            ..Self::here(name, "")
        }
    }
}

/// Prints a result, as JSON or as tables.
pub fn show<R: Serialize>(report: &R, as_json: bool, tables: fn(&R)) -> anyhow::Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        tables(report);
    }
    Ok(())
}

/// The exit code of a bench that has this missing.
pub fn exit_code(missing: &[Missing]) -> ExitCode {
    ExitCode::from(u8::from(missing.iter().any(|missing| missing.is_failure)))
}

/// Names what is missing.
pub fn print_missing(missing: &[Missing]) {
    for missing in missing {
        let word = if missing.is_failure {
            "FAILED"
        } else {
            "not measured"
        };
        println!("{word}: {}: {}", missing.name, missing.reason);
    }
}
