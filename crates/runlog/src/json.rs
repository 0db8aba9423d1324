//! Reading and writing the JSON files of a run.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::file;

/// Writes `value` to `path`, replacing what was there. The file is complete or not there: the text
/// goes to a file beside it first.
pub fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })?;
    text.push(b'\n');
    file::replace(path, &text).map_err(Error::io(path))
}

/// Reads a value of type `T` from `path`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = File::open(path).map_err(Error::io(path))?;
    serde_json::from_reader(BufReader::new(file)).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

/// Reads a value of type `T` that says in `schema` which version of its shape it has.
pub fn read_version<T: DeserializeOwned>(path: &Path, schema: &str) -> Result<T> {
    let value: serde_json::Value = read(path)?;
    let found = value.get("schema").and_then(serde_json::Value::as_str);
    if found != Some(schema) {
        let found = found.unwrap_or("none");
        return Err(Error::format(
            path,
            format!(
                "has the schema \"{found}\", and this version reads \"{schema}\": use the version of \
                 hookprobe that wrote it"
            ),
        ));
    }
    serde_json::from_value(value).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn values_replace_each_other_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for value in [vec![1, 2], vec![3]] {
            write(&path, &value).unwrap();
            assert_eq!(read::<Vec<i32>>(&path).unwrap(), value);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = read::<String>(&path).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().ends_with("a.json"), "{error}");
        assert!(source.contains("line 1"), "{source}");
    }

    #[test]
    fn another_version_is_refused_by_name() {
        #[derive(Debug, serde::Deserialize)]
        struct Shape {
            value: i32,
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let error = |text: &str| {
            fs::write(&path, text).unwrap();
            read_version::<Shape>(&path, "shape/1")
                .unwrap_err()
                .to_string()
        };
        let other = error(r#"{"schema": "shape/2", "worth": 3}"#);
        assert!(
            other.contains("\"shape/2\"") && other.contains("\"shape/1\""),
            "{other}"
        );
        assert!(error("[1]").contains("none"));
        fs::write(&path, r#"{"schema": "shape/1", "value": 3}"#).unwrap();
        assert_eq!(read_version::<Shape>(&path, "shape/1").unwrap().value, 3);
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
