//! Forgets what root's Nix remembers as missing from one substituter of its configuration. SQLite itself does it
//! (`sqlite3`), under its own locks, and never while somebody writes.
//!
//! A library in the helper would be larger than the helper. The program gets numbers of caches, and nothing of what
//! was asked.

use std::{
    io::{self, ErrorKind},
    ops::ControlFlow,
    path::Path,
    process::Command,
    time::Duration,
};

use data_encoding::HEXUPPER;
use rustix::{
    fs::{Access, access},
    io::Errno,
};

use super::{
    child::{self, ChildError},
    open::walk,
};
use crate::{helper::wire::Answer, nix::disk_cache, program::Stream};

/// So long SQLite may take: a few thousand rows go in milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than it says, in bytes: a line for each cache that Nix has ever asked.
const MAX_SAID: usize = 256 << 10;

/// Why what is remembered is remembered yet.
#[derive(Debug, thiserror::Error)]
enum ForgetError {
    /// It is not root's, or can't be opened.
    #[error(transparent)]
    File(#[from] io::Error),
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
    if is_closed(directory) {
        return Answer::Failed(format!(
            "{}: this process may not write there",
            directory.display()
        ));
    }
    let mut all = 0;
    for file in disk_cache::databases(directory) {
        match forget_in(&file, &is_it) {
            Ok(count) => all += count,
            Err(error) => return Answer::Failed(format!("{}: {error}", file.display())),
        }
    }
    Answer::Done(all.to_string().into_bytes())
}

/// Whether nobody may write to `directory`, as far as this process sees it.
pub(super) fn is_closed(directory: &Path) -> bool {
    access(directory, Access::WRITE_OK) == Err(Errno::ROFS)
}

fn forget_in(file: &Path, is_it: impl Fn(&str) -> bool) -> Result<u64, ForgetError> {
    // SQLite goes by the name: nobody but root may have put another thing there.
    match walk(file).map_err(io::Error::from) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    }
    let known = sqlite(file, "SELECT id, hex(url) FROM BinaryCaches;")?;
    let caches = known.lines().filter_map(cache);
    let caches: Vec<_> = caches
        .filter(|(_, url)| is_it(url))
        .map(|(number, _)| number.to_string())
        .collect();
    if caches.is_empty() {
        return Ok(0);
    }
    // Numbers alone: nothing of the question, nor of the file, is in the statement.
    let count = sqlite(
        file,
        &format!(
            "DELETE FROM NARs WHERE present = 0 AND cache IN ({}); SELECT changes();",
            caches.join(", ")
        ),
    )?;
    let nothing = || ForgetError::Refused("it does not say how many".to_owned());
    count.trim().parse().map_err(|_| nothing())
}

/// The number and the URL of a cache, as SQLite prints them.
fn cache(line: &str) -> Option<(u64, String)> {
    let (number, url) = line.split_once('|')?;
    let url = HEXUPPER.decode(url.as_bytes()).ok()?;
    Some((number.parse().ok()?, String::from_utf8(url).ok()?))
}

/// What SQLite prints of `statement`.
fn sqlite(file: &Path, statement: &str) -> Result<String, ForgetError> {
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    let mut command = Command::new("sqlite3");
    // Root's own settings of it are for people.
    command.args(["-batch", "-bail", "-init", "/dev/null"]);
    command.arg(file).arg(statement);
    let status = child::run(&mut command, PATIENCE, None, |stream, chunk| {
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
    })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&said).into_owned());
    }
    let complaints = String::from_utf8_lossy(&complaints);
    let why = complaints.lines().next().unwrap_or("it does not say why");
    Err(ForgetError::Refused(why.to_owned()))
}
