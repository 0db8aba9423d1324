//! Reading and writing the JSON files of a run.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, Source};
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

/// What is read from a JSON file. The rule for all of them: a file says in `schema` which version of its shape it has,
/// and each version of hookprobe reads one. Another is an error that names the file and both.
pub trait Versioned: DeserializeOwned {
    /// The version that is read; `None` where any is.
    const SCHEMA: Option<&'static str>;
}

/// As it stands in the file.
impl Versioned for serde_json::Value {
    const SCHEMA: Option<&'static str> = None;
}

/// The files of a run that are read again.
macro_rules! versioned {
    ($($module:ident::$shape:ident: $schema:ident,)*) => {
        $(impl Versioned for crate::$module::$shape {
            const SCHEMA: Option<&'static str> = Some(crate::$module::$schema);
        })*
    };
}

versioned! {
    agent_run::AgentRun: SCHEMA,
    analysis::Analysis: SCHEMA,
    manifest::Manifest: SCHEMA,
    micro::MicroReport: SCHEMA,
    summary::LoadSummary: SCHEMA,
    trace::Trace: SCHEMA,
    truth::Blind: BLIND_SCHEMA,
}

/// Reads a value of type `T` from `path`. An error names the field that it is about.
pub fn read<T: Versioned>(path: &Path) -> Result<T> {
    let json = |source: Source| Error::Json {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(Error::io(path))?;
    let value: serde_json::Value =
        serde_json::from_reader(BufReader::new(file)).map_err(|error| json(error.into()))?;
    let found = value.get("schema").and_then(serde_json::Value::as_str);
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
    serde_path_to_error::deserialize(value).map_err(|error| json(error.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    /// An error with its source.
    fn said(error: &Error) -> String {
        let source = std::error::Error::source(error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    #[derive(Debug, serde::Deserialize)]
    struct Shape {
        value: Vec<i32>,
    }

    impl Versioned for Shape {
        const SCHEMA: Option<&'static str> = Some("shape/1");
    }

    #[test]
    fn values_replace_each_other_whole() {
        let (folder, path) = file("[1, 2");
        let broken = said(&read::<Value>(&path).unwrap_err());
        assert!(
            broken.contains("a.json") && broken.contains("line 1"),
            "{broken}"
        );
        for value in [vec![1, 2], vec![3]] {
            write(&path, &value).unwrap();
            assert_eq!(read::<Value>(&path).unwrap(), Value::from(value));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let error = |text: &str| {
            let (_folder, path) = file(text);
            read::<Shape>(&path).unwrap_err().to_string()
        };
        let other = error(r#"{"schema": "shape/2", "worth": 3}"#);
        for part in ["a.json", "\"shape/2\"", "\"shape/1\""] {
            assert!(other.contains(part), "{other}");
        }
        assert!(error("[1]").contains("none"));
        let (_folder, path) = file(r#"{"schema": "shape/1", "value": [3]}"#);
        assert_eq!(read::<Shape>(&path).unwrap().value, [3]);
    }

    #[test]
    fn a_value_that_is_not_known_is_named_with_its_field() {
        let (_folder, path) = file(r#"{"schema": "shape/1", "value": [3, "four"]}"#);
        let error = said(&read::<Shape>(&path).unwrap_err());
        for part in ["a.json", "value[1]", "\"four\""] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn every_shape_is_refused_in_another_version() {
        fn refused<T: Versioned>() {
            let (_folder, path) = file(r#"{"schema": "hookprobe/of-tomorrow/9"}"#);
            let Err(error) = read::<T>(&path) else {
                panic!("{:?} was read", T::SCHEMA);
            };
            let error = error.to_string();
            for part in ["a.json", "hookprobe/of-tomorrow/9", T::SCHEMA.unwrap()] {
                assert!(error.contains(part), "{error}");
            }
        }
        refused::<crate::agent_run::AgentRun>();
        refused::<crate::analysis::Analysis>();
        refused::<crate::manifest::Manifest>();
        refused::<crate::micro::MicroReport>();
        refused::<crate::summary::LoadSummary>();
        refused::<crate::trace::Trace>();
        refused::<crate::truth::Blind>();
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("a.json");
        fs::create_dir(&in_the_way).unwrap();
        assert!(write(&in_the_way, &1).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
