//! What this machine's Nix has other machines build now, as far as anybody may see it.
//!
//! Nix's build hook holds a lock on a file of `current-load` for each build that it has handed out, and sets the file's time
//! when it takes it (src/nix/build-remote/build-remote.cc). The kernel tells who holds it; the hook's parent is the process of
//! nix-daemon that wants the result, and holds a lock beside each path of the store that is being made
//! (src/libstore/unix/pathlocks.cc). Names of files and of locks are everybody's to see; nothing is opened.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    future::pending,
    io::{self, ErrorKind},
    os::{linux::fs::MetadataExt, unix::fs::DirEntryExt},
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt;
use inotify::{EventMask, Inotify, WatchMask};
use tokio::{task::spawn_blocking, time::sleep};

use crate::{Printable, snapshot::Target};

/// Several slots are taken or left at once.
const GATHER: Duration = Duration::from_millis(300);
/// What happens where there are slots.
const SLOTS: WatchMask = WatchMask::CREATE
    .union(WatchMask::ATTRIB)
    .union(WatchMask::CLOSE)
    .union(WatchMask::DELETE_SELF);
/// So many builds are told, at the most.
const MOST: usize = 256;
/// The length of a hash in the name of a path of the store, with its dash.
const HASH: usize = 33;

/// The builds that were handed out; nothing where that can't be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Builds(Option<Vec<Build>>);

/// A build that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Build {
    /// The builder's URI, as the name of a file has it.
    pub(super) builder: String,
    /// Since when, in microseconds of `CLOCK_REALTIME`.
    pub(super) since: u64,
    /// What it makes, `hello-2.12.1`, where that can be seen.
    pub(super) name: Option<Printable>,
}

impl Builds {
    #[cfg(test)]
    pub(super) fn of(builds: Vec<Build>) -> Self {
        Self(Some(builds))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Build> {
        self.0.iter().flatten()
    }

    /// Those on a builder; `None` where none can be seen.
    pub(super) fn on(&self, target: &Target) -> Option<Vec<&Build>> {
        let builds = self.0.as_ref()?;
        let uri = escaped(&target.uri);
        let base = |uri: &str| uri.split('?').next().unwrap_or_default().to_owned();
        // A newer Nix writes the parameters anew: where none is the same letter by letter, the rest decides.
        let exact: Vec<&Build> = builds.iter().filter(|build| build.builder == uri).collect();
        if !exact.is_empty() {
            return Some(exact);
        }
        let is_on = |build: &&Build| base(&build.builder) == base(&uri);
        Some(builds.iter().filter(is_on).collect())
    }
}

/// Calls `tell` with what there is, and again whenever a slot is taken or left. Never where that is nobody else's to see.
pub(super) async fn follow(tell: impl AsyncFn(Builds)) -> Infallible {
    let places = Places::default();
    let slots = places.slots();
    loop {
        let events = match made(&slots).await {
            Ok(()) => watch(&slots, SLOTS),
            Err(error) => Err(error),
        };
        let mut events = match events {
            Ok(events) => events,
            // It went in this moment.
            Err(error) if error.kind() == ErrorKind::NotFound && !slots.exists() => continue,
            Err(_) => pending().await,
        };
        loop {
            let places = places.clone();
            let read = spawn_blocking(move || read(&places)).await;
            tell(Builds(read.ok().and_then(Result::ok))).await;
            let mut goes_on = false;
            while let Some(Ok(event)) = events.next().await {
                // To list the directory is an event too.
                if event.name.is_some() && !event.mask.contains(EventMask::ISDIR) {
                    goes_on = true;
                    break;
                }
                if event.mask.contains(EventMask::IGNORED) {
                    break;
                }
            }
            if !goes_on {
                break;
            }
            sleep(GATHER).await;
        }
    }
}

/// Until `directory` is there, which Nix makes for the first build that it hands out.
async fn made(directory: &Path) -> io::Result<()> {
    if directory.exists() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(directory);
    let mut events = watch(parent, WatchMask::CREATE | WatchMask::MOVED_TO)?;
    while !directory.exists() {
        let event = events.next().await;
        event.ok_or(ErrorKind::UnexpectedEof)??;
    }
    Ok(())
}

fn watch(directory: &Path, events: WatchMask) -> io::Result<inotify::EventStream<Vec<u8>>> {
    let inotify = Inotify::init()?;
    inotify.watches().add(directory, events)?;
    inotify.into_event_stream(vec![0; 4096])
}

/// Where Nix and the kernel have it.
#[derive(Clone, Debug)]
struct Places {
    state: PathBuf,
    store: PathBuf,
    proc: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        let from =
            |name, default| std::env::var_os(name).map_or(PathBuf::from(default), PathBuf::from);
        Self {
            state: from("NIX_STATE_DIR", "/nix/var/nix"),
            store: from("NIX_STORE_DIR", "/nix/store"),
            proc: "/proc".into(),
        }
    }
}

impl Places {
    fn slots(&self) -> PathBuf {
        self.state.join("current-load")
    }
}

/// A slot that is taken.
struct Slot {
    builder: String,
    since: u64,
    /// The hook.
    holder: u32,
}

fn read(places: &Places) -> io::Result<Vec<Build>> {
    let mut slots = slots(places)?;
    slots.sort_by_key(|slot| slot.since);
    let locks = locks(places)?;
    let parents: Vec<Option<u32>> = slots
        .iter()
        .map(|slot| parent(places, slot.holder))
        .collect();
    let wanted = |pid: &u32| parents.contains(&Some(*pid));
    let held: BTreeMap<u64, u32> = locks
        .iter()
        .filter(|lock| wanted(&lock.pid))
        .map(|lock| (lock.inode, lock.pid))
        .collect();
    let mut outputs = if held.is_empty() {
        Vec::new()
    } else {
        outputs(places, &held)
    };
    Ok(slots
        .into_iter()
        .zip(parents)
        .map(|(slot, parent)| Build {
            name: parent.and_then(|parent| take(&mut outputs, parent, slot.since)),
            builder: slot.builder,
            since: slot.since,
        })
        .collect())
}

/// The slots that somebody holds.
fn slots(places: &Places) -> io::Result<Vec<Slot>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(places.slots())?.take(4 * MOST) {
        let entry = entry?;
        let name = entry.file_name();
        let Some((builder, number)) = name.to_str().and_then(|name| name.rsplit_once('-')) else {
            continue;
        };
        if number.parse::<u32>().is_ok() {
            files.push((builder.to_owned(), entry));
        }
    }
    let locks = if files.is_empty() {
        Vec::new()
    } else {
        locks(places)?
    };
    let mut slots = Vec::new();
    for (builder, entry) in files {
        let holder = locks.iter().find(|lock| lock.inode == entry.ino());
        if let (Some(lock), Ok(found)) = (holder, entry.metadata())
            && (lock.is_on(found.st_dev()) || is_nix(places, lock.pid))
        {
            slots.push(Slot {
                builder,
                since: microseconds(found.st_mtime(), found.st_mtime_nsec()),
                holder: lock.pid,
            });
        }
    }
    slots.truncate(MOST);
    Ok(slots)
}

/// A path that is being made.
struct Output {
    maker: u32,
    since: u64,
    name: String,
}

/// The paths of the store whose locks are among `held`. What can't be read has no name.
fn outputs(places: &Places, held: &BTreeMap<u64, u32>) -> Vec<Output> {
    let mut outputs = Vec::new();
    for entry in fs::read_dir(&places.store).into_iter().flatten().flatten() {
        let Some(maker) = held.get(&entry.ino()) else {
            continue;
        };
        let file = entry.file_name();
        let name = file.to_str().and_then(|name| name.strip_suffix(".lock"));
        if let (Some(name), Ok(found)) = (name.and_then(|name| name.get(HASH..)), entry.metadata())
        {
            outputs.push(Output {
                maker: *maker,
                since: microseconds(found.st_mtime(), found.st_mtime_nsec()),
                name: name.to_owned(),
            });
        }
    }
    outputs
}

/// The one that was begun last before the slot was taken; other outputs of it, which have longer names, go with it.
fn take(outputs: &mut Vec<Output>, maker: u32, taken: u64) -> Option<Printable> {
    let candidates = outputs
        .iter()
        .filter(|it| it.maker == maker && it.since <= taken);
    let last = candidates.map(|it| it.since).max()?;
    let same = outputs
        .iter()
        .filter(|it| it.maker == maker && it.since <= taken && last - it.since < 50_000);
    let name = same.map(|it| it.name.clone()).min_by_key(String::len)?;
    outputs.retain(|it| it.maker != maker || !it.name.starts_with(&name));
    Some(Printable::from(name))
}

/// A lock as Nix takes them (proc_locks(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lock {
    pid: u32,
    device: (u32, u32),
    inode: u64,
}

impl Lock {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(1);
        if (words.next(), words.nth(1)) != (Some("FLOCK"), Some("WRITE")) {
            return None;
        }
        let pid = words.next()?.parse().ok()?;
        let mut file = words.next()?.split(':');
        let mut hexadecimal = || u32::from_str_radix(file.next()?, 16).ok();
        let device = (hexadecimal()?, hexadecimal()?);
        let inode = file.next()?.parse().ok()?;
        Some(Self { pid, device, inode })
    }

    /// On btrfs `stat` and the kernel's table of locks name different devices: see [`is_nix`].
    fn is_on(&self, device: u64) -> bool {
        (rustix::fs::major(device), rustix::fs::minor(device)) == self.device
    }
}

fn locks(places: &Places) -> io::Result<Vec<Lock>> {
    let table = fs::read_to_string(places.proc.join("locks"))?;
    Ok(table.lines().filter_map(Lock::parse).collect())
}

fn is_nix(places: &Places, pid: u32) -> bool {
    let name = fs::read_to_string(places.proc.join(pid.to_string()).join("comm"));
    name.is_ok_and(|name| name.starts_with("nix"))
}

/// The fourth word of `/proc/PID/stat` (proc_pid_stat(5)); the second is a name in parentheses.
fn parent(places: &Places, pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(places.proc.join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn escaped(uri: &str) -> String {
    uri.replace('/', "_")
}

fn microseconds(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    seconds.saturating_mul(1_000_000) + u64::try_from(nanoseconds).unwrap_or_default() / 1_000
}

#[cfg(test)]
mod tests;
