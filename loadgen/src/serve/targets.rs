//! Where the command line lets requests go.

use std::str::FromStr;

use anyhow::{bail, ensure};

use crate::target::http_url;

/// URLs that begin alike: the same host and port, and a path of whole segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// As given.
    text: String,
    place: Place,
}

/// Host, port and path of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
        let (uri, authority, port) = http_url(url)?;
        let path = uri.path();
        // A server may take these for the folder above, which is not below what was allowed.
        let lower = path.to_ascii_lowercase().replace("%2e", ".");
        let lower = lower.replace("%2f", "/").replace("%5c", "/");
        if lower
            .split(['/', '\\'])
            .any(|segment| matches!(segment, "." | ".."))
        {
            bail!("\"{url}\" has a path with . or .. in it");
        }
        Ok(Self {
            host: authority.host().to_ascii_lowercase(),
            port,
            path: path.to_owned(),
        })
    }
}

impl FromStr for Allowed {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
        let place: Place = url.parse()?;
        ensure!(
            !url.contains('?'),
            "\"{url}\" has a query; URLs are allowed by host and path"
        );
        Ok(Self {
            text: url.to_owned(),
            place,
        })
    }
}

impl Allowed {
    /// As given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether requests may go to this URL by this rule. An error if it is none.
    pub fn covers(&self, url: &str) -> anyhow::Result<bool> {
        let Place { host, port, path } = url.parse()?;
        let allowed = self.place.path.trim_end_matches('/');
        let below = path
            .strip_prefix(allowed)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        Ok(below && host == self.place.host && port == self.place.port)
    }
}

#[cfg(test)]
mod tests;
