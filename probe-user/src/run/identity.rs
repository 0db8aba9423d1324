//! On whose behalf we run. Under sudo that is the user who called it: servers and load generator
//! run as that user, and the files of the run belong to that user.

use std::env;
use std::fs;
use std::os::unix::fs::lchown;
use std::path::Path;

use anyhow::Context as _;

/// The user who called sudo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The user who called sudo; `None` when we were not started by sudo as root.
pub fn caller() -> Option<Caller> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let caller = Caller {
        uid: env::var("SUDO_UID").ok()?.parse().ok()?,
        gid: env::var("SUDO_GID").ok()?.parse().ok()?,
    };
    (caller.uid != 0).then_some(caller)
}

/// Gives a file or a folder to the caller. Never follows a link: in a folder of the caller's it may
/// point anywhere.
pub fn give_to_caller(path: &Path) -> anyhow::Result<()> {
    let Some(Caller { uid, gid }) = caller() else {
        return Ok(());
    };
    lchown(path, Some(uid), Some(gid))
        .with_context(|| format!("cannot give {} to user {uid}", path.display()))
}

/// Gives a folder and the files in it to the caller.
pub fn give_folder_to_caller(folder: &Path) -> anyhow::Result<()> {
    if caller().is_none() {
        return Ok(());
    }
    give_to_caller(folder)?;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        give_to_caller(&entry?.path())?;
    }
    Ok(())
}
