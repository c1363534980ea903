//! Whether ssh would read a key's file.

use std::{
    fs::{Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Component, Path},
};

use rustix::{fs::OFlags, process::geteuid};

use super::KeyError;

/// No private key is as large: a bound for whatever the path may name.
pub(super) const MAX_SIZE: u64 = 64 * 1024;

/// Whether systemd put the file there for this process alone (systemd.exec(5), "CREDENTIALS"). It
/// belongs to root, and an access control list lets the unit's user read it: what the mode shows for
/// the group is that list's mask, and nobody else can even enter the folder.
pub(super) fn is_credential(path: &Path, own: Option<&Path>) -> bool {
    let climbs = |path: &Path| path.components().any(|part| part == Component::ParentDir);
    let own = own.filter(|own| own.is_absolute() && own.parent().is_some());
    let mut folders = [Path::new("/run/credentials")].into_iter().chain(own);
    !climbs(path) && folders.any(|folder| path.starts_with(folder))
}

pub(super) fn read(path: &Path, is_credential: bool) -> Result<String, KeyError> {
    // Without waiting: the path may name a pipe that nobody writes to.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    if !is_credential {
        permitted(&metadata)?;
    }
    let size = readable(&metadata)?;
    // One byte more, so that the end is seen without asking for more room.
    let mut text = String::with_capacity(size + 1);
    file.take(MAX_SIZE + 1)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => KeyError::NotAKey("not text".into()),
            _ => KeyError::Io(error),
        })?;
    if text.len() as u64 > MAX_SIZE {
        Err(KeyError::TooLarge)
    } else {
        Ok(text)
    }
}

/// The size of what can be a key, in bytes: at most [`MAX_SIZE`].
fn readable(metadata: &Metadata) -> Result<usize, KeyError> {
    if !metadata.is_file() {
        return Err(KeyError::NotAFile);
    }
    if metadata.len() > MAX_SIZE {
        Err(KeyError::TooLarge)
    } else {
        Ok(metadata.len() as usize)
    }
}

/// Holds the file against OpenSSH's rule: only its owner may read it, which is asked of files that
/// belong to whoever runs ssh: this process, or root, as which the nix-daemon does.
pub(super) fn permitted(metadata: &Metadata) -> Result<(), KeyError> {
    let is_judged = metadata.uid() == 0 || metadata.uid() == geteuid().as_raw();
    match metadata.mode() & 0o777 {
        mode if is_judged && metadata.is_file() && mode & 0o077 != 0 => {
            Err(KeyError::TooOpen(mode))
        }
        _ => Ok(()),
    }
}
