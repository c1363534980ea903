//! What the running nix-daemon has loaded.
//!
//! nix-daemon reads nix.conf, and what that includes, once, at its start, and forks without reading
//! them again (`daemonLoop` in src/nix/unix/daemon.cc): what changes later is in force only after a
//! restart. The machines files are read anew by each build hook, so they don't count here.
//!
//! As long as offloadd runs it knows what was in the files when nix-daemon started, and compares
//! that ([`Observer`]). What changed before offloadd's own start is judged by times (`rule`).
//!
//! NixOS makes `/etc/static` anew with each switch, and store files are of 1970: a time is the last thing to go by.

mod facts;
mod generation;
mod process;
mod rule;

use std::{
    collections::BTreeMap,
    env, future,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::process::{PidfdFlags, pidfd_open};
use tokio::{io::unix::AsyncFd, time::sleep};

#[cfg(any(test, feature = "fuzz"))]
pub(super) use self::process::fuzz;
use self::{facts::Content, process::Process};
use super::NixConf;
use crate::clock::Now;

/// When the next one is looked for after one has ended. systemd starts it at once where somebody
/// restarts it, and the socket, which systemd holds, does not change then; else with the next client.
const LOOK_AGAIN: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// What is known of the running nix-daemon. It reads nix.conf once, at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// When it started, in microseconds of `CLOCK_REALTIME`; `None` where it does not run, or nothing
    /// is known of it.
    pub started: Option<u64>,
    /// The file that has changed since, if one has.
    pub stale: Option<Stale>,
    /// What it has read.
    pub read: Read,
}

/// What nix-daemon has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Read {
    /// What stands there now, as far as is known.
    #[default]
    Written,
    /// This.
    Before(Before),
    /// Something else, and nobody knows what.
    Unknown,
}

/// What stood in files before; `None` of one that was not there.
pub type Before = BTreeMap<PathBuf, Option<Arc<str>>>;

/// A file that changed after nix-daemon had read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The file as nix-daemon names it.
    pub file: PathBuf,
    /// When it changed, in microseconds of `CLOCK_REALTIME`.
    pub changed: u64,
}

/// Where the system keeps what is looked at.
#[derive(Clone, Debug)]
pub struct Places {
    /// proc(5).
    pub proc: PathBuf,
    /// Where NixOS's generations are: `system-42-link`.
    pub profiles: PathBuf,
    /// What a generation has as its `etc`.
    pub etc: PathBuf,
    /// Where nothing ever changes.
    pub store: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            profiles: "/nix/var/nix/profiles".into(),
            etc: "/etc".into(),
            store: "/nix/store".into(),
        }
    }
}

/// Follows nix-daemon from one start to the next.
#[derive(Debug)]
pub struct Observer {
    places: Places,
    seen: Option<Seen>,
    /// How often one was looked for since the last one ended.
    looked: usize,
}

/// A nix-daemon, and what it has read.
#[derive(Debug)]
struct Seen {
    process: Process,
    /// Readable once it has ended; `None` where the kernel gives out none.
    end: Option<AsyncFd<OwnedFd>>,
    /// What was in its files when it read them; `None` where they had changed before they were seen.
    read: Option<Vec<(PathBuf, Content)>>,
    stale: Option<Stale>,
    /// What that comes to beside what stands in the files now.
    now: Read,
}

impl Default for Observer {
    fn default() -> Self {
        Self::of(Places::default())
    }
}

impl Observer {
    /// Looks at other places than the system's own.
    pub fn of(places: Places) -> Self {
        Self {
            places,
            seen: None,
            looked: LOOK_AGAIN.len(),
        }
    }

    /// Looks at the nix-daemon that reads `conf`; `files` is that and all that it includes.
    pub fn look(&mut self, conf: &Path, files: &[PathBuf]) -> Loaded {
        let now = Now::read();
        let is_there = |seen: &Seen| seen.process.is_there(&self.places.proc);
        if !self.seen.as_ref().is_some_and(is_there) {
            self.seen = self.find(conf, &now);
        }
        let Some(seen) = &mut self.seen else {
            return Loaded::default();
        };
        seen.judge(files, &self.places, &now);
        Loaded {
            started: Some(seen.process.started),
            stale: seen.stale.clone(),
            read: seen.now.clone(),
        }
    }

    /// Returns when there is something new to look at: the nix-daemon that was seen last has ended, or
    /// its successor may be up. May be dropped and called again.
    pub async fn is_due(&mut self) {
        match (&self.seen, LOOK_AGAIN.get(self.looked)) {
            (Some(Seen { end: Some(end), .. }), _) if end.readable().await.is_ok() => {
                self.looked = 0;
            }
            (None, Some(wait)) => {
                sleep(*wait).await;
                self.looked += 1;
            }
            // What can't be waited for is looked at with the next change of a file.
            _ => future::pending().await,
        }
    }

    fn find(&self, conf: &Path, now: &Now) -> Option<Seen> {
        let process = process::find(&self.places.proc, conf, now)?;
        let end = pidfd_open(process.pid, PidfdFlags::empty()).ok();
        let end = end.and_then(watch);
        // Its number may have gone to another meanwhile.
        process.is_there(&self.places.proc).then_some(Seen {
            process,
            end,
            read: None,
            stale: None,
            now: Read::Written,
        })
    }
}

impl Seen {
    fn judge(&mut self, files: &[PathBuf], places: &Places, now: &Now) {
        let started = self.process.started;
        let facts: Vec<_> = files
            .iter()
            .map(|file| facts::collect(file, started, places))
            .collect();
        let found = facts.iter().find_map(|facts| {
            let read = self.read.as_ref();
            let read = read.and_then(|read| read.iter().find(|(file, _)| *file == facts.file));
            let changed = match read {
                Some((_, read)) => rule::changed_from(read, facts, started, now.realtime_usec),
                // One that is included only now follows a change of another.
                None if self.read.is_some() => None,
                None => rule::changed_since(started, facts),
            };
            let file = facts.file.clone();
            changed.map(|changed| Stale { file, changed })
        });
        let written = before(
            facts
                .iter()
                .map(|facts| (&facts.file, Some(&facts.content))),
        );
        let then = match &self.read {
            Some(read) => before(read.iter().map(|(file, read)| (file, Some(read)))),
            None => {
                let at_start = |facts| rule::at_start(started, facts);
                before(facts.iter().map(|facts| (&facts.file, at_start(facts))))
            }
        };
        self.now = if found.is_none() || then == written && then != Read::Unknown {
            Read::Written
        } else {
            then
        };
        if found.is_none() && self.read.is_none() {
            let read = facts.into_iter().map(|facts| (facts.file, facts.content));
            self.read = Some(read.collect());
        }
        // The first change is the one that counts: another of the same file is no news.
        let is_same = |old: &&Stale| found.as_ref().is_some_and(|new| new.file == old.file);
        if self.stale.as_ref().filter(is_same).is_none() {
            self.stale = found;
        }
    }
}

/// Of files what was in them, where it is known of all.
fn before<'a>(files: impl Iterator<Item = (&'a PathBuf, Option<&'a Content>)>) -> Read {
    let texts = files.map(|(file, content)| {
        let text = match content? {
            Content::Text(text) => Some(text.clone()),
            Content::Missing => None,
            Content::Unreadable => return None,
        };
        Some((file.clone(), text))
    });
    texts
        .collect::<Option<Before>>()
        .map_or(Read::Unknown, Read::Before)
}

/// The socket of nix-daemon (`nixDaemonSocketFile`, src/libstore/globals.cc).
pub fn socket(conf: &NixConf) -> PathBuf {
    let named = env::var_os("NIX_DAEMON_SOCKET_PATH").filter(|path| !path.is_empty());
    named.map_or_else(
        || conf.state_dir().join("daemon-socket/socket"),
        PathBuf::from,
    )
}

#[expect(
    deprecated,
    reason = "`AsyncFd::register` is for descriptors that could be closed while registered; \
              this one is owned by the AsyncFd, and this crate forbids unsafe code"
)]
fn watch(process: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::new(process).ok()
}

#[cfg(test)]
mod tests;
