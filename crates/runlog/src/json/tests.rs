use std::fs;
use std::path::PathBuf;

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
struct Values {
    value: Vec<i32>,
}

impl Shape for Values {
    fn from_value(value: Value) -> std::result::Result<Self, Source> {
        shape(value)
    }
}

impl Versioned for Values {
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
        read::<Values>(&path).unwrap_err().to_string()
    };
    let other = error(r#"{"schema": "shape/2", "worth": 3}"#);
    for part in ["a.json", "\"shape/2\"", "\"shape/1\""] {
        assert!(other.contains(part), "{other}");
    }
    assert!(error("[1]").contains("none"));
    let (_folder, path) = file(r#"{"schema": "shape/1", "value": [3]}"#);
    assert_eq!(read::<Values>(&path).unwrap().value, [3]);
}

#[test]
fn a_value_that_is_not_known_is_named_with_its_field() {
    let (_folder, path) = file(r#"{"schema": "shape/1", "value": [3, "four"]}"#);
    let error = said(&read::<Values>(&path).unwrap_err());
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
