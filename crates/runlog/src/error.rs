//! What can go wrong with a run directory.

use std::io;
use std::path::{Path, PathBuf};

/// An error with the file that it is about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused. Why is the error's source.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for a new run has something in it.
    #[error("{}: is not empty; a run never writes over another (choose another --out)", .0.display())]
    NotEmpty(PathBuf),
    /// A JSON file does not hold what it should. Where and why is the error's source.
    #[error("{}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Source,
    },
    /// A file is not in the format that its name promises.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What another library had to say.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
