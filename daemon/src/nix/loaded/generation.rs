//! What a file was in NixOS's generation of some time ago.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Places, facts::usec};

/// So many entries of the directory of profiles are looked at.
const MAX_ENTRIES: usize = 4096;

/// The path of `file` in the generation that was the newest at the moment `then`, in microseconds of
/// `CLOCK_REALTIME`.
///
/// `None` where that can't be told: for files outside of `/etc`, on other systems than NixOS, and
/// where a generation that may have been the one is deleted, as the gap in their numbers shows.
pub(super) fn counterpart(file: &Path, then: u64, places: &Places) -> Option<PathBuf> {
    let inside = file.strip_prefix(&places.etc).ok()?;
    let entries = fs::read_dir(&places.profiles).ok()?;
    let links = entries.take(MAX_ENTRIES).filter_map(Result::ok);
    let mut generations: Vec<(u64, u64)> = links
        .filter_map(|entry| {
            let number = number(entry.file_name().to_str()?)?;
            // Of the link itself, which was made with the generation.
            let made = entry.metadata().ok()?;
            Some((number, usec(made.mtime(), made.mtime_nsec())))
        })
        .collect();
    generations.sort_unstable();
    let at = generations.iter().rposition(|(_, made)| *made <= then)?;
    let (number, _) = generations.get(at)?;
    let next = generations.get(at + 1);
    if next.is_some_and(|(next, _)| *next != number + 1) {
        return None;
    }
    let link = places.profiles.join(format!("system-{number}-link"));
    Some(link.join("etc").join(inside))
}

/// `system-42-link` (`makeName`, src/libstore/profiles.cc).
fn number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("system-")?.strip_suffix("-link")?;
    number.parse().ok().filter(|number| *number < u64::MAX)
}
