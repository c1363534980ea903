//! What Nix's disk cache remembers of a binary cache: the paths that it did not have, and those that it had.
//!
//! For an hour (`narinfo-cache-negative-ttl`) Nix does not ask a cache again for a path that it lacked,
//! and builds it, though the cache may have it by now. For thirty days (`narinfo-cache-positive-ttl`) it does not ask
//! again for one that the cache had, and goes for its NAR, which may be gone.
//!
//! Source: src/libstore/nar-info-disk-cache.cc. The file is an SQLite database; version 6 of its
//! tables came with Nix 2.7, 7 with 2.31 and a write-ahead log, 8 with 2.35. `sqlite` reads as much of it as this takes,
//! without taking a lock: where somebody writes at that moment nothing is said.

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod schema;
mod sqlite;

use std::{
    env, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use self::{
    schema::Table,
    sqlite::{Database, Row, Value},
};
use super::narinfo::StorePath;
use crate::files::Files;

/// So many misses are told; who asks for them asks for fewer.
const MAX_MISSES: usize = 16;
/// So many hits are told.
const MAX_HITS: usize = 256;
/// So many rows are looked at for them, the last ones first.
const MAX_LATEST: usize = 4096;
/// So many spellings of one cache's URL are told apart.
const MAX_SPELLINGS: usize = 16;
/// Nix's default of `narinfo-cache-negative-ttl`, in seconds (src/libstore/include/nix/store/globals.hh).
pub const DEFAULT_NEGATIVE_TTL: u64 = 3600;
/// Nix's default of `narinfo-cache-positive-ttl`, in seconds.
pub const DEFAULT_POSITIVE_TTL: u64 = 30 * 24 * 3600;

/// A path that Nix believes to be in a cache: what it goes by in place of the narinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Without the store directory.
    pub path: String,
    /// Of the NAR.
    pub url: String,
    /// Of the NAR.
    pub compression: String,
    /// The bytes at `url`.
    pub file_size: Option<u64>,
    /// The bytes unpacked.
    pub nar_size: u64,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum DiskCacheError {
    /// It is not there, or not for us to read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not an SQLite database, or a broken one.
    #[error("not a database that can be read: {0}")]
    Format(&'static str),
    /// A transaction is under way, or was left half done.
    #[error("it is being written")]
    Busy,
    /// A table or column that Nix's has is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
}

/// Where the disk cache of root's Nix, which nix-daemon's is, may be: `getCacheDir` in
/// src/libutil/users.cc. Another user can look only where root's home is by custom.
pub fn directory() -> PathBuf {
    let named = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let of_root = || {
        if rustix::process::geteuid().is_root() {
            named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))
        } else {
            None
        }
    };
    of_root()
        .unwrap_or_else(|| "/root/.cache".into())
        .join("nix")
}

/// All the files of it that may be there: the databases, their journals and write-ahead logs.
pub fn files() -> impl Iterator<Item = PathBuf> {
    databases(&directory())
        .into_iter()
        .flat_map(|database| ["", "-journal", "-wal"].map(|end| beside(&database, end)))
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut file = database.as_os_str().to_owned();
    file.push(end);
    file.into()
}

/// Each version of the tables has a file of its own.
pub(crate) fn databases(directory: &Path) -> [PathBuf; 3] {
    [6, 7, 8].map(|version| directory.join(format!("binary-cache-v{version}.sqlite")))
}

/// The hashes of the paths that Nix believes missing in the caches whose URLs `is_it` knows, because
/// it asked for them after `since`, in seconds of `CLOCK_REALTIME`: the last ones first, at most 16.
///
/// # Errors
/// [`DiskCacheError`]: then nothing is known.
pub fn misses(
    files: &dyn Files,
    directory: &Path,
    is_it: impl Fn(&str) -> bool,
    since: u64,
) -> Result<Vec<String>, DiskCacheError> {
    misses_in(files, &newest(files, directory)?, is_it, since)
}

fn misses_in(
    files: &dyn Files,
    file: &Path,
    is_it: impl Fn(&str) -> bool,
    since: u64,
) -> Result<Vec<String>, DiskCacheError> {
    let mut found = Vec::new();
    scan(files, file, is_it, since, usize::MAX, |narinfo| {
        if !narinfo.is_present {
            found.push(narinfo.hash);
        }
        found.len() < MAX_MISSES
    })?;
    Ok(found)
}

/// Whether Nix believes the path with this `hash` missing in the caches whose URLs `is_it` knows, because it asked for it
/// after `since`, however much it asked for later.
///
/// # Errors
/// [`DiskCacheError`]: then it is not known.
pub fn is_missed(
    files: &dyn Files,
    directory: &Path,
    is_it: impl Fn(&str) -> bool,
    since: u64,
    hash: &str,
) -> Result<bool, DiskCacheError> {
    let newest = newest(files, directory)?;
    let mut is_missed = false;
    scan(files, &newest, is_it, since, usize::MAX, |asked| {
        is_missed = asked.hash == hash && !asked.is_present;
        asked.hash != hash
    })?;
    Ok(is_missed)
}

/// What Nix believes to be in the caches whose URLs `is_it` knows, because they had it when it asked after `since`: the
/// last ones first, at most 256. Those with a hundred references and more are left out.
///
/// # Errors
/// [`DiskCacheError`]: then nothing is known.
pub fn hits(
    files: &dyn Files,
    directory: &Path,
    is_it: impl Fn(&str) -> bool,
    since: u64,
) -> Result<Vec<Hit>, DiskCacheError> {
    hits_in(files, &newest(files, directory)?, is_it, since)
}

fn hits_in(
    files: &dyn Files,
    file: &Path,
    is_it: impl Fn(&str) -> bool,
    since: u64,
) -> Result<Vec<Hit>, DiskCacheError> {
    let mut found = Vec::new();
    scan(files, file, is_it, since, MAX_LATEST, |narinfo| {
        if narinfo.is_present {
            found.extend(narinfo.hit());
        }
        found.len() < MAX_HITS
    })?;
    Ok(found)
}

/// A row of what was asked of one of the caches.
struct Asked<'a> {
    hash: String,
    is_present: bool,
    table: &'a Table,
    values: &'a [Value<'a>],
}

impl Asked<'_> {
    fn hit(&self) -> Option<Hit> {
        let value = |name| self.values.get(self.table.column(name).ok()?);
        let text = |name| match value(name) {
            Some(Value::Text(text)) => std::str::from_utf8(text).ok().map(str::to_owned),
            _ => None,
        };
        let path = format!("{}-{}", self.hash, text("namePart")?);
        StorePath::parse_base_name(&path).ok()?;
        Some(Hit {
            path,
            url: text("url")?,
            compression: text("compression")?,
            file_size: value("fileSize").and_then(Value::unsigned),
            nar_size: value("narSize").and_then(Value::unsigned)?,
        })
    }
}

/// Calls `each` with what was asked after `since` of the caches whose URLs `is_it` knows, the last first, until it has
/// enough or `most` rows were looked at.
fn scan(
    files: &dyn Files,
    file: &Path,
    is_it: impl Fn(&str) -> bool,
    since: u64,
    most: usize,
    mut each: impl FnMut(Asked<'_>) -> bool,
) -> Result<(), DiskCacheError> {
    let database = Database::open(files, file)?;
    let caches = caches(&database, is_it)?;
    let table = Table::find(&database, "NARs")?;
    let [cache, hash, time, present] = [
        table.column("cache")?,
        table.column("hashPart")?,
        table.column("timestamp")?,
        table.column("present")?,
    ];
    let mut rows = 0;
    // A row that is written gets the highest number, so that the last ones come first.
    database.rows(table.root, &mut |row: &Row<'_>| {
        if rows == most {
            return ControlFlow::Break(());
        }
        rows += 1;
        // What does not fit in a page has references, so it is no miss.
        let Some(values) = row.values() else {
            return ControlFlow::Continue(());
        };
        let number = |at: usize| values.get(at).and_then(Value::unsigned);
        match number(time) {
            Some(asked) if asked > since => {}
            _ => return ControlFlow::Break(()),
        }
        let is_its = number(cache).is_some_and(|cache| caches.contains(&cache));
        if is_its
            && let Some(is_present @ (0 | 1)) = number(present)
            && let Some(Value::Text(hash)) = values.get(hash)
            && let Some(hash) = hash_part(hash)
            && !each(Asked {
                hash,
                is_present: is_present == 1,
                table: &table,
                values: &values,
            })
        {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    // What was read while somebody wrote is not worth having.
    database.is_unchanged()
}

/// The file that Nix wrote last.
fn newest(files: &dyn Files, directory: &Path) -> Result<PathBuf, DiskCacheError> {
    let files = databases(directory).into_iter().filter_map(|path| {
        let changed = |path: &Path| files.open(path)?.metadata()?.modified();
        match changed(&path) {
            // What was written last may be in the log alone.
            Ok(own) => Some(Ok((
                changed(&beside(&path, "-wal")).map_or(own, |log| own.max(log)),
                path,
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(error)),
        }
    });
    let files = files.collect::<io::Result<Vec<_>>>()?;
    let newest = files.into_iter().max();
    let (_, path) = newest.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
    Ok(path)
}

/// The numbers of the caches with such a URL: Nix has one for each spelling.
fn caches(database: &Database, is_it: impl Fn(&str) -> bool) -> Result<Vec<u64>, DiskCacheError> {
    let table = Table::find(database, "BinaryCaches")?;
    let url = table.column("url")?;
    // `id` is another name of the row's number (an "integer primary key").
    table.column("id")?;
    let mut found = Vec::new();
    database.rows(table.root, &mut |row: &Row<'_>| {
        if let Some(values) = row.values()
            && let Some(Value::Text(url)) = values.get(url)
            && std::str::from_utf8(url).is_ok_and(&is_it)
        {
            found.extend(u64::try_from(row.number));
        }
        if found.len() < MAX_SPELLINGS {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(found)
}

/// It becomes part of a URL, so it has to be what it should be.
fn hash_part(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    StorePath::parse_base_name(&format!("{text}-x")).ok()?;
    Some(text.to_owned()).filter(|text| !text.contains('-'))
}

#[cfg(test)]
mod tests;
