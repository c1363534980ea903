//! Forgets what root's Nix remembers as missing from one substituter of its configuration. SQLite itself does it
//! (`sqlite3`), under its own locks, and never while somebody writes.

use std::{fmt::Write as _, ops::ControlFlow, path::Path, process::Command, time::Duration};

use super::{
    child::{self, ChildError},
    open::{Roots, walk},
};
use crate::{
    helper::wire::Answer,
    nix::disk_cache::{self, DiskCacheError},
    program::Stream,
};

/// So long SQLite may take: a few thousand rows go in milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than it says, in bytes.
const MAX_SAID: usize = 4096;

/// Why what is remembered is remembered yet.
#[derive(Debug, thiserror::Error)]
enum ForgetError {
    /// It can't be read.
    #[error(transparent)]
    Cache(#[from] DiskCacheError),
    /// SQLite can't be run.
    #[error("sqlite3: {0}")]
    Program(#[from] ChildError),
    /// SQLite refuses.
    #[error("sqlite3: {0}")]
    Refused(String),
}

/// Deletes the rows of misses of the substituter that `is_it` knows from each version of the disk cache in `directory`:
/// how many there were.
pub(super) fn forget(directory: &Path, is_it: impl Fn(&str) -> bool) -> Answer {
    let mut all = 0;
    for file in disk_cache::databases(directory) {
        match forget_in(&file, &is_it) {
            Ok(count) => all += count,
            Err(error) => return Answer::Failed(format!("{}: {error}", file.display())),
        }
    }
    Answer::Done(all.to_string().into_bytes())
}

fn forget_in(file: &Path, is_it: impl Fn(&str) -> bool) -> Result<u64, ForgetError> {
    let caches = match disk_cache::numbers(&Roots, file, is_it) {
        Err(DiskCacheError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(0);
        }
        found => found?,
    };
    let Some((first, others)) = caches.split_first() else {
        return Ok(0);
    };
    // SQLite goes by the name: nobody but root may have put another thing there.
    walk(file).map_err(|error| DiskCacheError::Io(error.into()))?;
    // Numbers alone: nothing of the question, nor of the file, is in the statement.
    let mut numbers = first.to_string();
    for number in others {
        let _ = write!(numbers, ", {number}");
    }
    let statement =
        format!("DELETE FROM NARs WHERE present = 0 AND cache IN ({numbers}); SELECT changes();");
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    let mut command = Command::new("sqlite3");
    // Root's own settings of it are for people.
    command.args(["-batch", "-bail", "-init", "/dev/null"]);
    command.arg(file).arg(statement);
    let ended = child::run(&mut command, PATIENCE, None, |stream, chunk| {
        let into = match stream {
            Stream::Output => &mut said,
            Stream::Error => &mut complaints,
        };
        into.extend_from_slice(chunk);
        if into.len() > MAX_SAID {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let status = ended?;
    let count = String::from_utf8_lossy(&said).trim().parse();
    match count {
        Ok(count) if status.success() => Ok(count),
        _ => {
            let complaints = String::from_utf8_lossy(&complaints);
            let why = complaints.lines().next().unwrap_or("it does not say why");
            Err(ForgetError::Refused(why.to_owned()))
        }
    }
}
