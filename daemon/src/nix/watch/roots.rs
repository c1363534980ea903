//! Notices changes in folders that only root may look into.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsString,
    io,
};

use futures_util::StreamExt;
use inotify::{EventStream, Inotify};
use rustix::fs::inotify::remove_watch;

use super::{BUFFER, Watcher, matters, until_quiet};
use crate::helper::Helper;

/// An inotify that root has made for this process: what root's Nix and ssh read is watched by it, and nobody has to stay
/// for that.
pub struct Roots {
    events: EventStream<[u8; BUFFER]>,
    /// The names that matter in each directory, by the number of its watch.
    names: HashMap<i32, BTreeSet<OsString>>,
    /// A change was seen and not yet reported: outlives a dropped [`Roots::changed`].
    dirty: bool,
}

impl Roots {
    /// Has the helper make one, for what none of `own` watches. `None` where there is no helper.
    ///
    /// # Errors
    /// It can't be asked, or can't watch.
    pub async fn ask(own: &[&Watcher]) -> io::Result<Option<Self>> {
        match Helper::of_this_machine() {
            Some(helper) => Self::of(helper, own).await.map(Some),
            None => Ok(None),
        }
    }

    pub(crate) async fn of(helper: Helper, own: &[&Watcher]) -> io::Result<Self> {
        let asked = tokio::task::spawn_blocking(move || helper.watch());
        let (watched, inotify) = asked.await.map_err(io::Error::other)??;
        let mut names = HashMap::new();
        for directory in watched {
            let path = &directory.path;
            let is_new = |name: &OsString| !own.iter().any(|own| own.covers(path, name));
            let new: BTreeSet<_> = directory.names.into_iter().filter(is_new).collect();
            if new.is_empty() && own.iter().any(|own| own.stays(path)) {
                // It would tell the same again.
                remove_watch(&inotify, directory.number)?;
            } else {
                names.insert(directory.number, new);
            }
        }
        Ok(Self {
            events: Inotify::from(inotify).into_event_stream([0; BUFFER])?,
            names,
            dirty: false,
        })
    }

    /// Waits for a change, as [`Watcher::changed`]. What was made or moved meanwhile is not watched: another one is to be
    /// asked for.
    ///
    /// # Errors
    /// Where the system no longer delivers events.
    pub async fn changed(&mut self) -> io::Result<()> {
        if !self.dirty {
            self.next_change().await?;
        }
        until_quiet(async || self.next_change().await).await?;
        self.dirty = false;
        Ok(())
    }

    async fn next_change(&mut self) -> io::Result<()> {
        loop {
            let event = match self.events.next().await {
                Some(event) => event?,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            let names = self.names.get(&event.wd.get_watch_descriptor_id());
            if matters(&event, names) {
                self.dirty = true;
                return Ok(());
            }
        }
    }
}
