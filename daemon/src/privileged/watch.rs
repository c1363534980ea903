//! Has the kernel tell offloadd of changes in folders that only root may look into. An inotify is made here and handed
//! over: it goes on for whoever holds it, and nothing of root's has to run for that.
//!
//! What it costs: whoever has taken over offloadd learns the names of what changes where root's Nix and ssh read
//! something. A path unit would tell nobody, but knows no list of builders.

use std::os::fd::AsRawFd;

use inotify::Inotify;

use super::{open, roots::Nix};
use crate::{
    helper::wire::Watched,
    nix::watch::{directories, mask},
};

/// An inotify of the folders in which root's Nix and ssh read something, and what is watched in each of them. Where
/// others than root may exchange a folder none is watched: they could have any other of root's told of.
///
/// # Errors
/// The system gives out no more of them.
pub(super) fn watch(nix: &Nix) -> std::io::Result<(Vec<u8>, Inotify)> {
    let inotify = Inotify::init()?;
    let mut watched = Vec::new();
    for (path, names) in directories(&nix.files()) {
        let Ok(folder) = open::folder(&path) else {
            continue;
        };
        let opened = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let mut watches = inotify.watches();
        if let Ok(watch) = watches.add(opened, mask(names.is_empty())) {
            watched.push(Watched {
                number: watch.get_watch_descriptor_id(),
                path,
                names: names.into_iter().collect(),
            });
        }
    }
    Ok((Watched::encode_all(&watched), inotify))
}
