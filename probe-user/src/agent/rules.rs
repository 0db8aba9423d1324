//! Which arm a process belongs to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use probes::discover::container::Home;

/// The environment variable by which a process says what arm it is of.
pub const ARM_VARIABLE: &str = "HOOKPROBE_ARM";
/// The longest name of an arm: it is a label of metrics.
const MAX_NAME: usize = 64;

/// A value that an option gives, and the arm's name if one is given with it: `VALUE` or `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    name: Option<String>,
    value: T,
}

impl<T> Named<T> {
    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The name, if one was given.
    pub fn given_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn name(&self, otherwise: impl FnOnce(&T) -> String) -> String {
        self.name.clone().unwrap_or_else(|| otherwise(&self.value))
    }
}

impl<T: FromStr<Err: std::fmt::Display>> FromStr for Named<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What stands before "=" and cannot be a name is a part of the value, as of a path.
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if is_arm_name(name) => (Some(name.to_owned()), value),
            _ => (None, text),
        };
        let value = value.parse().map_err(|error: T::Err| error.to_string())?;
        Ok(Self { name, value })
    }
}

/// The start of a container's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(String);

impl FromStr for IdPrefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_prefix =
            (4..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_prefix {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("expected 4 to 64 hexadecimal digits of a container's id")
        }
    }
}

/// What there is to know of a process.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The value of [`ARM_VARIABLE`].
    pub variable: Option<OsString>,
    /// Its executable, as it sees the path.
    pub executable: PathBuf,
    /// Its container and pod.
    pub home: Home,
    /// TCP ports of interest that it listens on.
    pub ports: Vec<u16>,
}

/// What is watched besides processes that ask for it.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Executables.
    pub executables: Vec<Named<PathBuf>>,
    /// TCP ports.
    pub ports: Vec<Named<u16>>,
    /// Containers.
    pub containers: Vec<Named<IdPrefix>>,
    /// Pods, by UID.
    pub pods: Vec<Named<String>>,
}

/// A name that no arm may have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{ARM_VARIABLE} is no name of an arm: 1 to {MAX_NAME} letters, digits, \".\", \"_\" and \"-\" are"
)]
pub struct BadName;

impl Rules {
    /// The arm of a process, if it is of one. What the process says itself comes first.
    pub fn arm_of(&self, facts: &Facts) -> Result<Option<String>, BadName> {
        if let Some(name) = &facts.variable {
            let name = name.to_str().filter(|name| is_arm_name(name));
            return name.map(|name| Some(name.to_owned())).ok_or(BadName);
        }
        let by_executable = || {
            let rule = self.executables.iter();
            let rule = { rule }.find(|rule| rule.value == facts.executable)?;
            Some(rule.name(|path| name_of_executable(path)))
        };
        let by_port = || {
            let rule = { self.ports.iter() }.find(|rule| facts.ports.contains(&rule.value))?;
            Some(rule.name(|port| format!("port-{port}")))
        };
        let by_container = || {
            let container = &facts.home.container;
            let rule =
                { self.containers.iter() }.find(|rule| container.starts_with(&rule.value.0))?;
            Some(rule.name(|prefix| prefix.0.clone()))
        };
        let by_pod = || {
            let is_meant = |rule: &&Named<String>| {
                !rule.value.is_empty() && rule.value.eq_ignore_ascii_case(&facts.home.pod)
            };
            let rule = self.pods.iter().find(is_meant)?;
            Some(rule.name(Clone::clone))
        };
        Ok(by_executable()
            .or_else(by_port)
            .or_else(by_container)
            .or_else(by_pod))
    }

    /// The ports of interest.
    pub fn wanted_ports(&self) -> Vec<u16> {
        self.ports.iter().map(|rule| rule.value).collect()
    }
}

fn name_of_executable(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let allowed = |byte: char| if is_of_name(byte) { byte } else { '_' };
    name.chars().map(allowed).take(MAX_NAME).collect()
}

fn is_arm_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.chars().all(is_of_name)
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&character)
}

#[cfg(test)]
mod tests;
