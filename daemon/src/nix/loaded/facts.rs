//! What is to be known of a file, that [`super::rule`] judges.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Places, generation};
use crate::{
    files::Reachable,
    nix::{text, watch},
};

/// One file of nix-daemon's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// As nix-daemon names it.
    pub file: PathBuf,
    /// Of each link on the way to it that can change.
    pub links: Vec<Times>,
    /// Of the file at the end of the way; `None` where there is none.
    pub times: Option<Times>,
    /// What is in it.
    pub content: Content,
    /// What was in it in the generation that was the current one when nix-daemon started, where
    /// that is known, and makes a difference.
    pub then: Option<Content>,
}

/// When something changed, in microseconds of `CLOCK_REALTIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Its content.
    pub mtime: u64,
    /// Anything of it.
    pub ctime: u64,
    /// Whether it is in the store, where nothing changes.
    pub in_store: bool,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// It is not there.
    Missing,
    /// Only root may know.
    Unreadable,
    /// This.
    Text(Arc<str>),
}

/// Looks at `file`, which a nix-daemon has read that `started` then.
pub(super) fn collect(file: &Path, started: u64, places: &Places) -> Facts {
    let links = watch::links(file).into_iter().filter_map(|link| {
        let metadata = fs::symlink_metadata(&link).ok()?;
        Some(Times::of(&metadata, link.starts_with(&places.store)))
    });
    let links: Vec<_> = links.collect();
    let times = fs::metadata(file).ok().map(|metadata| {
        let real = fs::canonicalize(file);
        Times::of(
            &metadata,
            real.is_ok_and(|real| real.starts_with(&places.store)),
        )
    });
    let then = if links.is_empty() {
        None
    } else {
        generation::counterpart(file, started, places).map(|then| read(&then))
    };
    Facts {
        file: file.to_owned(),
        links,
        times,
        content: read(file),
        then,
    }
}

impl Times {
    fn of(metadata: &Metadata, in_store: bool) -> Self {
        Self {
            mtime: usec(metadata.mtime(), metadata.mtime_nsec()),
            ctime: usec(metadata.ctime(), metadata.ctime_nsec()),
            in_store,
        }
    }
}

/// Microseconds; 0 for what was before 1970.
pub(super) fn usec(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let rest = u64::try_from(nanoseconds).unwrap_or(0) / 1000;
    seconds.saturating_mul(1_000_000).saturating_add(rest)
}

fn read(file: &Path) -> Content {
    match text::read(&Reachable::by_this_process(), file) {
        Ok(text) => Content::Text(text.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Missing,
        Err(_) => Content::Unreadable,
    }
}
