//! What is configured, and by whom, as it changes: the files of offloadd, of Nix and of ssh.

use std::{future::pending, io, path::PathBuf};

use crate::nix::watch::{Roots, Watcher};

/// Whose files have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// offloadd's own.
    Ours,
    /// Nix's.
    Nixs,
    /// Those that ssh goes by: keys, known hosts, its configuration.
    Sshs,
    /// Nix's or ssh's, where only root may look.
    Roots,
}

/// Follows them all.
pub(super) struct Changes {
    ours: Option<Watcher>,
    nixs: Option<Watcher>,
    sshs: Option<Watcher>,
    roots: Option<Roots>,
}

impl Changes {
    /// Follows nothing yet.
    pub(super) fn new() -> Self {
        let watcher = || Watcher::new().ok();
        let all = Self {
            ours: watcher(),
            nixs: watcher(),
            sshs: watcher(),
            roots: None,
        };
        if all.sshs.is_none() {
            tracing::warn!(
                "changed files will not be noticed (no inotify is to be had); reload offloadd after a change"
            );
        }
        all
    }

    /// Follows these of offloadd's.
    pub(super) fn follow_ours(&mut self, files: &[PathBuf]) {
        follow(&mut self.ours, files);
    }

    /// Follows these of Nix's. Says whether anything is followed that was not before, as [`Watcher::set`].
    pub(super) fn follow_nixs(&mut self, files: &[PathBuf]) -> bool {
        follow(&mut self.nixs, files)
    }

    /// Follows these of ssh's.
    pub(super) fn follow_sshs(&mut self, files: &[PathBuf]) {
        follow(&mut self.sshs, files);
    }

    /// Follows, from now on, what root's Nix and ssh read where only root may look.
    pub(super) async fn follow_roots(&mut self) {
        let own: Vec<_> = [&self.nixs, &self.sshs].into_iter().flatten().collect();
        match Roots::ask(&own).await {
            Ok(roots) => self.roots = roots,
            // The one that there is goes on.
            Err(error) => tracing::debug!(%error, "offload-helper does not watch"),
        }
    }

    /// Waits for a change. Nothing is lost when dropped.
    pub(super) async fn next(&mut self) -> Change {
        let (whose, ended) = tokio::select! {
            ended = changed(&mut self.ours) => (Change::Ours, ended),
            ended = changed(&mut self.nixs) => (Change::Nixs, ended),
            ended = changed(&mut self.sshs) => (Change::Sshs, ended),
            ended = changed_roots(&mut self.roots) => (Change::Roots, ended),
        };
        if let Err(error) = ended {
            tracing::error!("changed files are no longer noticed: {error}");
            match whose {
                Change::Ours => self.ours = None,
                Change::Nixs => self.nixs = None,
                Change::Sshs => self.sshs = None,
                Change::Roots => self.roots = None,
            }
        }
        whose
    }
}

fn follow(watcher: &mut Option<Watcher>, files: &[PathBuf]) -> bool {
    watcher.as_mut().is_some_and(|watcher| watcher.set(files))
}

/// Never, where nothing is watched.
async fn changed(watcher: &mut Option<Watcher>) -> io::Result<()> {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => pending().await,
    }
}

async fn changed_roots(roots: &mut Option<Roots>) -> io::Result<()> {
    match roots {
        Some(roots) => roots.changed().await,
        None => pending().await,
    }
}
