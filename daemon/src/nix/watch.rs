//! Notices when one of Nix's files changes, is created, removed or replaced anywhere along its
//! path, without a thread and without polling.
//!
//! On NixOS `/etc/nix/nix.conf` is a symlink to `/etc/static/nix/nix.conf`, `/etc/static` one into
//! the store that is swapped at every switch. A watch on the file itself would see none of that, so
//! each directory on the way is watched for the one name in it that matters (`chain`). Folders that only root may look
//! into are watched by an inotify that the helper makes (`roots`).

mod chain;
mod roots;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use futures_util::StreamExt;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::time::{sleep, timeout};

pub(crate) use self::chain::directories;
pub use self::roots::Roots;

/// A rewrite is over once nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(100);
/// A file that is written without a pause is reported all the same.
const LONGEST: Duration = Duration::from_secs(1);
/// How often the paths are walked until walking finds what is already watched.
const MAX_WALKS: usize = 8;
/// Holds some dozen events; a single one with the longest name takes 272 bytes.
const BUFFER: usize = 4096;

/// Watches a set of files that may or may not exist.
pub struct Watcher {
    events: EventStream<[u8; BUFFER]>,
    watches: Watches,
    files: Vec<PathBuf>,
    /// What is watched, by directory.
    directories: BTreeMap<PathBuf, WatchDescriptor>,
    /// The names that matter in each of them.
    names: HashMap<WatchDescriptor, BTreeSet<OsString>>,
    /// A change was seen and not yet reported: outlives a dropped [`Watcher::changed`].
    dirty: bool,
}

impl Watcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// Where the system gives out no more inotify instances.
    pub fn new() -> io::Result<Self> {
        let events = Inotify::init()?.into_event_stream([0; BUFFER])?;
        Ok(Self {
            watches: events.watches(),
            events,
            files: Vec::new(),
            directories: BTreeMap::new(),
            names: HashMap::new(),
            dirty: false,
        })
    }

    /// Watches `files` and nothing else: one whose last part begins with `*` stands for all whose names end so. Says whether anything is watched that was not before: read
    /// the files (again) then, because a change before this call went unseen.
    pub fn set(&mut self, files: &[PathBuf]) -> bool {
        self.files = files.to_vec();
        self.rewalk()
    }

    /// Waits for a change. A burst of changes, such as a rewrite, is reported once, when it is over,
    /// but after a second at the latest. May be dropped and called again without losing a change.
    ///
    /// # Errors
    /// Where the system no longer delivers events.
    pub async fn changed(&mut self) -> io::Result<()> {
        while !self.dirty {
            self.next().await?;
        }
        until_quiet(async || self.next_change().await).await?;
        self.dirty = false;
        // Whatever was created or switched meanwhile may lead elsewhere now.
        self.rewalk();
        Ok(())
    }

    /// Whether it says when `name` in `directory` changes.
    fn covers(&self, directory: &Path, name: &OsStr) -> bool {
        let watch = self.directories.get(directory);
        let names = watch.and_then(|watch| self.names.get(watch));
        names.is_some_and(|names| names.contains(name))
    }

    /// Whether it says when `directory` is moved or removed.
    fn stays(&self, directory: &Path) -> bool {
        self.directories.contains_key(directory)
    }

    /// Waits for the next event that matters.
    async fn next_change(&mut self) -> io::Result<()> {
        while !self.next().await? {}
        Ok(())
    }

    /// Takes in one event; says whether it matters.
    async fn next(&mut self) -> io::Result<bool> {
        let event = match self.events.next().await {
            Some(event) => event?,
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let matters = matters(&event, self.names.get(&event.wd));
        self.dirty |= matters;
        if event.mask.contains(EventMask::IGNORED) {
            self.forget(&event.wd);
        } else if matters && changes_the_way(event.mask) {
            self.rewalk();
        }
        Ok(matters)
    }

    /// The kernel has dropped this watch.
    fn forget(&mut self, gone: &WatchDescriptor) {
        self.names.remove(gone);
        self.directories.retain(|_, watch| watch != gone);
    }

    /// Walks the paths and watches what they lead through, until another walk finds nothing new:
    /// what changes after its directory is watched is reported, what changed before is walked over.
    fn rewalk(&mut self) -> bool {
        let mut grown = false;
        for _ in 0..MAX_WALKS {
            let wanted = chain::directories(&self.files);
            if !self.watch(&wanted) {
                break;
            }
            grown = true;
        }
        grown
    }

    /// Makes `wanted` what is watched; says whether a directory or name is new.
    fn watch(&mut self, wanted: &chain::Directories) -> bool {
        let mut grown = false;
        let mut directories = BTreeMap::new();
        let mut names: HashMap<WatchDescriptor, BTreeSet<OsString>> = HashMap::new();
        for (directory, wanted) in wanted {
            // Asking again for what is watched gives the same watch, or a new one where another
            // directory has taken the place; two paths to one directory share a watch.
            let Some(watch) = self.add(directory, wanted.is_empty()) else {
                continue;
            };
            let before = self.names.get(&watch);
            grown |= before.is_none_or(|before| !wanted.is_subset(before));
            names
                .entry(watch.clone())
                .or_default()
                .extend(wanted.iter().cloned());
            directories.insert(directory.clone(), watch);
        }
        for watch in self.names.keys().filter(|watch| !names.contains_key(watch)) {
            // Fails where the directory is gone, and the watch with it.
            let _ = self.watches.remove(watch.clone());
        }
        self.directories = directories;
        self.names = names;
        grown
    }

    fn add(&mut self, directory: &Path, merely_stays: bool) -> Option<WatchDescriptor> {
        // Another path to the same directory may have asked for more.
        let mask = mask(merely_stays) | WatchMask::MASK_ADD;
        match self.watches.add(directory, mask) {
            Ok(watch) => Some(watch),
            Err(error) => {
                let known = self.directories.contains_key(directory);
                if !known && error.kind() != io::ErrorKind::NotFound {
                    tracing::debug!(directory = %directory.display(), %error, "not watched");
                }
                None
            }
        }
    }
}

/// Each event wakes the daemon, whether it matters or not, so only those are asked for that
/// may: of a directory that merely has to stay where it is, none about what is in it.
pub(crate) fn mask(merely_stays: bool) -> WatchMask {
    let mut mask = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF | WatchMask::ONLYDIR;
    if !merely_stays {
        mask |= WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE
            | WatchMask::MOVE;
    }
    mask
}

/// Comes back when no change comes any more, but after a second at the latest. `next` waits for another.
async fn until_quiet(mut next: impl AsyncFnMut() -> io::Result<()>) -> io::Result<()> {
    let mut longest = pin!(sleep(LONGEST));
    loop {
        tokio::select! {
            biased;
            () = &mut longest => return Ok(()),
            more = timeout(QUIET, next()) => match more {
                Ok(more) => more?,
                Err(_quiet) => return Ok(()),
            },
        }
    }
}

/// Whether an event of a directory in which `names` are watched is about one of them, or about where it is.
fn matters(event: &EventOwned, names: Option<&BTreeSet<OsString>>) -> bool {
    if event.mask.contains(EventMask::Q_OVERFLOW) {
        return true;
    }
    let Some(names) = names else {
        return false;
    };
    match &event.name {
        Some(name) => names.iter().any(|watched| stands_for(watched, name)),
        None => event
            .mask
            .intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT),
    }
}

/// Whether `watched` is `name`, or all that end as it does.
fn stands_for(watched: &OsStr, name: &OsStr) -> bool {
    let end = watched.as_bytes().strip_prefix(b"*");
    watched == name || end.is_some_and(|end| name.as_bytes().ends_with(end))
}

/// The links that `file`'s path leads through, but for those in the store, which never change.
pub(super) fn links(file: &Path) -> Vec<PathBuf> {
    let directories = chain::directories(&[file.to_owned()]);
    let names = directories
        .iter()
        .flat_map(|(directory, names)| names.iter().map(|name| directory.join(name)));
    names.filter(|path| path.is_symlink()).collect()
}

/// Whether the event may mean that a path leads elsewhere.
fn changes_the_way(mask: EventMask) -> bool {
    !mask.contains(EventMask::CLOSE_WRITE)
}

#[cfg(test)]
mod tests;
