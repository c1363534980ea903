//! What Nix's disk cache remembers of a path: an SQLite database of root's, or of who owns the store.
//!
//! Source: src/libstore/nar-info-disk-cache.cc, `getCacheDir` in src/libutil/users.cc.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Serialize;
use tokio::{process::Command, time::timeout};

use crate::cli::output::now_realtime_usec;

const PATIENCE: Duration = Duration::from_secs(5);

/// What is remembered; ages in seconds.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(super) enum Memory {
    /// Nix asked, and it was there.
    Hit { age: u64 },
    /// It was not.
    Miss { age: u64 },
    /// Nix has not asked.
    Nothing,
    /// Not for us to read.
    Hidden,
    /// Not without `sqlite3`, or not now.
    Unread,
}

/// What is remembered of the path with this hash, in the substituter with this URL.
pub(super) async fn of(store: &str, url: &str, hash: &str) -> Memory {
    let Some(directory) = directory(store) else {
        return Memory::Hidden;
    };
    match newest(&directory) {
        Ok(Some(database)) => query(&database, url, hash).await.unwrap_or(Memory::Unread),
        Ok(None) => Memory::Nothing,
        Err(_) => Memory::Hidden,
    }
}

/// Whether two URLs name one substituter to Nix, which keeps no parameters there.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let base = |url: &str| {
        let base = url.split('?').next().unwrap_or_default();
        base.trim_end_matches('/').to_owned()
    };
    base(one) == base(other)
}

/// That of the one who asks caches here: root, or who owns a store without a daemon.
fn directory(store: &str) -> Option<PathBuf> {
    let me = rustix::process::geteuid();
    let is_mine = fs::metadata(store).is_ok_and(|found| found.uid() == me.as_raw());
    if !is_mine && !me.is_root() {
        return Some("/root/.cache/nix".into());
    }
    let named = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    Some(cache?.join("nix"))
}

/// The database that was written last: each version of the tables has a file of its own.
fn newest(directory: &Path) -> std::io::Result<Option<PathBuf>> {
    let files = match fs::read_dir(directory) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in files.flatten() {
        let name = entry.file_name();
        let is_it = name
            .to_str()
            .is_some_and(|name| name.starts_with("binary-cache-v") && name.ends_with(".sqlite"));
        if is_it {
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    Ok(found.into_iter().max().map(|(_, path)| path))
}

/// Nothing where it can't be read.
async fn query(database: &Path, url: &str, hash: &str) -> Option<Memory> {
    // A hash has but letters and digits: see `hash_part`.
    let query = format!(
        "select n.present, n.timestamp, c.url from NARs n join BinaryCaches c on c.id = n.cache \
         where n.hashPart = '{hash}' order by n.timestamp desc"
    );
    let mut command = Command::new("sqlite3");
    command
        .args(["-batch", "-readonly", "-separator", " "])
        .arg(database)
        .arg(query)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    if !output.status.success() {
        return None;
    }
    let rows = String::from_utf8_lossy(&output.stdout);
    let now = now_realtime_usec() / 1_000_000;
    Some(
        rows.lines()
            .find_map(|row| read(row, url, now))
            .unwrap_or(Memory::Nothing),
    )
}

/// A row, of the substituter with this URL: `0 1700000000 http://192.0.2.6:5000`.
fn read(row: &str, url: &str, now: u64) -> Option<Memory> {
    let mut words = row.splitn(3, ' ');
    let present = words.next()?;
    let age = now.saturating_sub(words.next()?.parse().ok()?);
    let is_its = is_same(words.next()?, url);
    is_its.then_some(match present {
        "0" => Memory::Miss { age },
        _ => Memory::Hit { age },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_hit_or_a_miss_of_one_substituter() {
        let url = "http://192.0.2.6:5000/?priority=10";
        let row = |row| read(row, url, 1_700_000_060);
        assert_eq!(
            row("0 1700000000 http://192.0.2.6:5000"),
            Some(Memory::Miss { age: 60 })
        );
        assert_eq!(
            row("1 1700000060 http://192.0.2.6:5000"),
            Some(Memory::Hit { age: 0 })
        );
        assert_eq!(row("1 1700000060 http://192.0.2.7:5000"), None);
        assert_eq!(row("nonsense"), None);
    }
}
