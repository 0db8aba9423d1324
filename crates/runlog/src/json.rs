//! Reading and writing the JSON files of a run.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use crate::error::Source;
use crate::error::{Error, Result};
use crate::file;

/// Writes `value` to `path`, replacing what was there. The file is complete or not there: the text
/// goes to a file beside it first.
pub fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| Error::Json {
        path: path.to_owned(),
        source: source.into(),
    })?;
    text.push(b'\n');
    file::replace(path, &text).map_err(Error::io(path))
}

/// A type that JSON is parsed into. Its parser is long: those of the shapes below are compiled here once, and not anew in
/// each program.
pub trait Shape: Sized {
    /// Parses the value of a text. An error names the field that it is about.
    fn from_value(value: Value) -> std::result::Result<Self, Source>;
}

/// The shape of a JSON file. One rule for all: a file says in `schema` which version of its shape it has, and each version
/// of hookprobe reads one. Another is an error that names the file and both.
pub trait Versioned: Shape {
    /// The version that is read; `None` where any is.
    const SCHEMA: Option<&'static str>;
}

/// As it stands in the file.
impl Shape for Value {
    fn from_value(value: Value) -> std::result::Result<Self, Source> {
        Ok(value)
    }
}

impl Versioned for Value {
    const SCHEMA: Option<&'static str> = None;
}

/// Shapes, with the version of those that are files.
macro_rules! shapes {
    ($($module:ident::$shape:ident $(: $schema:ident)?,)*) => {
        $(
            impl Shape for crate::$module::$shape {
                fn from_value(value: Value) -> std::result::Result<Self, Source> {
                    shape(value)
                }
            }

            $(impl Versioned for crate::$module::$shape {
                const SCHEMA: Option<&'static str> = Some(crate::$module::$schema);
            })?
        )*
    };
}

shapes! {
    agent_run::AgentRun: SCHEMA,
    agent_run::Announcement,
    agent_run::ClockReading,
    agent_run::Finish,
    agent_run::LogBytes,
    analysis::Analysis: SCHEMA,
    load_api::SessionRequest,
    load_api::StartRequest,
    manifest::Manifest: SCHEMA,
    micro::MicroReport: SCHEMA,
    summary::LoadSummary: SCHEMA,
    trace::Trace: SCHEMA,
    trial::TrialCounts: SCHEMA,
    truth::Blind: BLIND_SCHEMA,
}

/// Reads a value of type `T` from `path`. An error names the field that it is about.
pub fn read<T: Versioned>(path: &Path) -> Result<T> {
    let value = value(path)?;
    let found = value.get("schema").and_then(Value::as_str);
    if let Some(schema) = T::SCHEMA
        && found != Some(schema)
    {
        let found = found.unwrap_or("none");
        return Err(Error::format(
            path,
            format!(
                "has the schema \"{found}\", and this version reads \"{schema}\": use the version of \
                 hookprobe that wrote it"
            ),
        ));
    }
    T::from_value(value).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

/// Parses a shape, for [`Shape::from_value`].
pub fn shape<T: DeserializeOwned>(value: Value) -> std::result::Result<T, Source> {
    Ok(serde_path_to_error::deserialize(value)?)
}

fn value(path: &Path) -> Result<Value> {
    let file = File::open(path).map_err(Error::io(path))?;
    serde_json::from_reader(BufReader::new(file)).map_err(|error| Error::Json {
        path: path.to_owned(),
        source: error.into(),
    })
}

#[cfg(test)]
mod tests;
