//! The files: which ones there are, and what they hold.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    error::{Location, Problems},
    raw::{Fragment, Origin},
    shape::shape,
    toml,
};
use crate::file;

/// The file that is read where `--config` names none.
pub const DEFAULT_FILE: &str = "/etc/offloadd/config.toml";
/// Beside the file: drop-ins, read in the order of their names.
const DROP_INS: &str = "config.d";
/// The longest file that is read, in bytes.
const MAX_SIZE: u64 = 1024 * 1024;

/// What the configuration was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The files that were read, in order: a later one overrides an earlier one.
    pub read: Vec<PathBuf>,
}

impl Files {
    /// The files that a change may concern, whether they exist or not: `*.toml` stands for all whose names end so.
    pub(super) fn to_watch(file: &Path) -> Vec<PathBuf> {
        vec![file.to_owned(), folder(file).join(DROP_INS).join("*.toml")]
    }
}

/// Reads `file` and its drop-ins. It may be missing, unless it was asked for (`explicit`).
pub(super) fn read(
    file: &Path,
    explicit: bool,
    problems: &mut Problems,
) -> (Vec<Fragment>, Vec<PathBuf>) {
    let mut paths = vec![file.to_owned()];
    let drop_ins = folder(file).join(DROP_INS);
    match list(&drop_ins) {
        Ok(names) => paths.extend(names),
        Err(error) if is_absent(&error) => {}
        Err(error) => problems.source(
            Location::File(drop_ins, None),
            format!("can't be read: {error}"),
        ),
    }
    let mut fragments = Vec::new();
    let mut read = Vec::new();
    for path in paths {
        let text = match content(&path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) && path == file && !explicit => continue,
            Err(error) => {
                let hint = if is_absent(&error) && path == file {
                    "; --config must name a file that exists"
                } else {
                    ""
                };
                let message = format!("can't be read: {error}{hint}");
                problems.source(Location::File(path, None), message);
                continue;
            }
        };
        read.push(path.clone());
        if let Some(raw) = toml::read(&path, &text, problems) {
            fragments.push(shape(Origin::File(path), raw, problems));
        }
    }
    (fragments, read)
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The drop-ins, sorted. Hidden files are those that editors and package managers leave behind.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn content(path: &Path) -> io::Result<String> {
    let bytes = file::read(path, MAX_SIZE).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            io::Error::other(format!("it is longer than {MAX_SIZE} bytes"))
        }
        _ => error,
    })?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}
