//! What was learnt and is kept over a restart: where a target was found, and how builders have proved themselves. A small
//! file of JSON in the directory that systemd has for it (`StateDirectory=`).
//!
//! Nothing of it is believed. Where a target was found is where it is looked for first, and it has to prove who it is;
//! a proof keeps the next one off for its week, and makes nothing ready.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, ErrorKind, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use offload_client::{Kind, Printable};
use serde::{Deserialize, Serialize};

use crate::{file, net::Station, proof::Proofs, target::TargetId};

/// The version of the file.
const VERSION: u32 = 1;
/// A thousand targets take a quarter of that, in bytes.
const MAX_SIZE: u64 = 1 << 20;
const NAME: &str = "state.json";

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learnt {
    /// Where each target was found, where that is none of its own addresses.
    pub found: BTreeMap<TargetId, IpAddr>,
    /// Where each builder was seen by its hardware address, while it proved its host key.
    pub stations: BTreeMap<TargetId, Station>,
    /// How builders have proved themselves.
    pub proofs: Proofs,
}

/// Where it is kept.
#[derive(Debug)]
pub struct State {
    /// Nowhere, where there is no directory for it.
    directory: Option<PathBuf>,
    /// What the file has.
    kept: Learnt,
    /// Whether it was told that it can't be written.
    told: bool,
}

/// As it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    #[serde(default)]
    found: Named<IpAddr>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    stations: Named<Station>,
    #[serde(default)]
    proofs: Named<crate::proof::Proof>,
}

/// By the kind of a target, and its name.
type Named<T> = BTreeMap<String, BTreeMap<String, T>>;

impl State {
    /// In the directory that systemd names in `STATE_DIRECTORY`.
    pub fn from_environment() -> Self {
        let directory = env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty());
        Self::open(directory.map(PathBuf::from))
    }

    /// In `directory`. A file that is damaged is told, and as if it were not there.
    pub fn open(directory: Option<PathBuf>) -> Self {
        let mut state = Self {
            directory,
            kept: Learnt::default(),
            told: false,
        };
        if let Some(path) = state.path() {
            match file::read(&path, MAX_SIZE).and_then(|bytes| read(&bytes)) {
                Ok(learnt) => state.kept = learnt,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(
                    "{}: {error}; what was learnt before is lost, and learnt anew",
                    path.display()
                ),
            }
        }
        state
    }

    /// What is kept.
    pub fn learnt(&self) -> &Learnt {
        &self.kept
    }

    /// Keeps that instead, where it is something else, or could not be written.
    pub fn keep(&mut self, learnt: Learnt) {
        if learnt == self.kept && !self.told {
            return;
        }
        self.kept = learnt;
        match self.write() {
            Ok(()) => self.told = false,
            Err(error) if !self.told => {
                self.told = true;
                tracing::warn!("what was learnt can't be kept: {error}");
            }
            Err(_) => {}
        }
    }

    /// Beside it first: who reads it finds the one or the other, whole.
    fn write(&self) -> io::Result<()> {
        let Some(path) = self.path() else {
            return Ok(());
        };
        let beside = path.with_extension("json.new");
        let written = self.write_to(&beside);
        let kept = written.and_then(|()| fs::rename(&beside, &path));
        if kept.is_err() {
            // On a disk that is full, half a file is room that somebody else could use.
            let _ = fs::remove_file(&beside);
        }
        kept
    }

    fn write_to(&self, beside: &Path) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(beside)?;
        serde_json::to_writer(&mut file, &written(&self.kept))?;
        file.write_all(b"\n")?;
        file.sync_data()
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(NAME))
    }
}

fn read(bytes: &[u8]) -> io::Result<Learnt> {
    let written: Written = serde_json::from_slice(bytes)?;
    if written.version != VERSION {
        let text = format!(
            "it is of version {}, and {VERSION} is known",
            written.version
        );
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    Ok(Learnt {
        found: by_target(written.found)?,
        stations: by_target(written.stations)?,
        proofs: by_target(written.proofs)?.into_iter().collect(),
    })
}

fn by_target<T>(named: Named<T>) -> io::Result<BTreeMap<TargetId, T>> {
    let mut all = BTreeMap::new();
    for (kind, targets) in named {
        let known = [Kind::Cache, Kind::Builder].into_iter();
        let kind = known.clone().find(|known| known.as_str() == kind);
        let kind = kind.ok_or(ErrorKind::InvalidData)?;
        all.extend(targets.into_iter().map(|(name, value)| {
            let name = Printable::from(name);
            (TargetId { kind, name }, value)
        }));
    }
    Ok(all)
}

fn written(learnt: &Learnt) -> Written {
    fn named<'a, T: Clone + 'a>(all: impl Iterator<Item = (&'a TargetId, &'a T)>) -> Named<T> {
        let mut named = Named::new();
        for (id, value) in all {
            let of_kind: &mut BTreeMap<_, _> = named.entry(id.kind.to_string()).or_default();
            of_kind.insert(id.name.to_string(), value.clone());
        }
        named
    }
    Written {
        version: VERSION,
        found: named(learnt.found.iter()),
        stations: named(learnt.stations.iter()),
        proofs: named(learnt.proofs.iter()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn learnt() -> Learnt {
        let mut proofs = Proofs::default();
        proofs.ended(&TargetId::builder("desktop"), "a1", 7, 3, true);
        let found = [
            (TargetId::cache("desk/top"), "192.0.2.9".parse().unwrap()),
            (TargetId::builder("desktop"), "2001:db8::9".parse().unwrap()),
        ];
        let station = serde_json::json!({
            "mac": "02:00:00:00:00:06",
            "link": { "network": "192.0.2.0/24", "router": "02:00:00:00:00:01" },
        });
        let station = serde_json::from_value(station).unwrap();
        Learnt {
            found: found.into(),
            stations: [(TargetId::builder("desktop"), station)].into(),
            proofs,
        }
    }

    #[test]
    fn what_was_learnt_is_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let open = || State::open(Some(directory.path().to_owned()));
        let mut state = open();
        assert_eq!(state.learnt(), &Learnt::default());
        state.keep(learnt());
        assert_eq!(open().learnt(), &learnt());
        let file = directory.path().join(NAME);
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        // It is not written where nothing is new.
        fs::remove_file(&file).unwrap();
        state.keep(learnt());
        assert!(!file.exists());
    }

    #[test]
    fn a_file_that_is_damaged_or_of_another_time_is_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        State::open(Some(directory.path().to_owned())).keep(learnt());
        let whole = fs::read_to_string(&file).unwrap();
        for damaged in [
            "",
            "{",
            "null",
            "[]",
            &whole[..whole.len() / 2],
            &whole.replace("\"version\":1", "\"version\":2"),
            &whole.replace("builder", "bulider"),
            &whole.replace("192.0.2.9", "desktop.example"),
            &whole.replace("02:00:00:00:00:06", "ff:ff:ff:ff:ff:ff"),
            &whole.replace("192.0.2.0/24", "192.0.2.0/33"),
            &whole.replace("192.0.2.9", "192.0.2.9; rm"),
            &" ".repeat(2 << 20),
        ] {
            fs::write(&file, damaged).unwrap();
            let mut state = State::open(Some(directory.path().to_owned()));
            assert_eq!(state.learnt(), &Learnt::default(), "{damaged:.100}");
            state.keep(learnt());
            assert_eq!(fs::read_to_string(&file).unwrap(), whole);
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_when_there_is_room_again() {
        let directory = tempfile::tempdir().unwrap();
        let open = || State::open(Some(directory.path().to_owned()));
        let in_the_way = directory.path().join("state.json.new");
        fs::create_dir(&in_the_way).unwrap();
        let mut state = open();
        state.keep(learnt());
        assert_eq!(open().learnt(), &Learnt::default());
        fs::remove_dir(&in_the_way).unwrap();
        state.keep(learnt());
        assert_eq!(open().learnt(), &learnt());
    }

    #[test]
    fn without_a_directory_nothing_is_kept_and_nothing_breaks() {
        let mut state = State::open(None);
        state.keep(learnt());
        assert_eq!(state.learnt(), &learnt());
        let mut state = State::open(Some("/nonexistent/offloadd".into()));
        state.keep(learnt());
    }
}
