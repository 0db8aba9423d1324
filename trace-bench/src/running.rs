//! An observer that runs.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use bench_kit::running::Running;

use crate::observer::Observer;

/// Starts an observer, and waits until it has attached.
pub fn start(observer: &Observer) -> anyhow::Result<Running> {
    if let Some(folder) = &observer.folder {
        empty(folder)?;
    }
    Running::start(&observer.command, observer.says_when_attached)
}

/// Removes a folder with all that is in it, and makes it anew.
fn empty(folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder)
        .and_then(|()| fs::create_dir(folder))
        .with_context(|| format!("cannot empty {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::{Owner, Proof};

    #[test]
    fn an_observer_finds_its_folder_empty() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("records");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("old"), "").unwrap();
        let script = format!(
            "trap 'exit 0' INT; echo attached; ls {}; while :; do sleep 0.01; done",
            folder.display()
        );
        let observer = Observer {
            name: "shell".to_owned(),
            owner: Owner::Peer,
            proof: Proof::None,
            command: ["sh", "-c", &script].map(Into::into).into(),
            folder: Some(folder),
            says_when_attached: "attached",
        };
        let running = start(&observer).unwrap();
        assert_eq!(running.stop().unwrap(), "attached\n");
    }
}
