//! `ready` in the daemon's runtime directory: there exactly while at least one builder is ready, for
//! `ConditionPathExists=` and `PathExists=` of other units.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use offload_client::Snapshot;
use tokio::sync::watch;

/// The file. It goes when this is dropped; what a daemon that was killed has left goes when this is
/// made, so that is the first thing of a start.
#[derive(Debug)]
pub struct Flag {
    path: Option<PathBuf>,
    /// What it was set to last; nothing where that failed.
    is: Option<bool>,
    told: bool,
}

impl Flag {
    /// In the first directory of `RUNTIME_DIRECTORY` (systemd.exec(5): several stand with colons
    /// between them); does nothing without one. What an earlier daemon left there goes now.
    pub fn from_environment() -> Self {
        Self::new(env::var_os("RUNTIME_DIRECTORY").and_then(|list| {
            let first = env::split_paths(&list).next()?;
            first.is_absolute().then_some(first)
        }))
    }

    fn new(directory: Option<PathBuf>) -> Self {
        let mut flag = Self {
            path: directory.map(|directory| directory.join("ready")),
            is: None,
            told: false,
        };
        flag.set(false);
        flag
    }

    /// Keeps it true until the monitor is gone.
    pub(crate) async fn follow(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        loop {
            let ready = snapshots.borrow_and_update().has_ready_builder();
            self.set(ready);
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    fn set(&mut self, ready: bool) {
        let Some(path) = &self.path else {
            return;
        };
        if self.is == Some(ready) {
            return;
        }
        match put(path, ready) {
            Ok(()) => self.is = Some(ready),
            Err(error) => {
                self.is = None;
                if !self.told {
                    self.told = true;
                    tracing::warn!(
                        "{}: {error}; units that go by this file do not learn whether a builder is \
                         ready (systemd makes the directory for RuntimeDirectory=offloadd)",
                        path.display()
                    );
                }
            }
        }
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Makes the file be there, or not.
fn put(path: &Path, there: bool) -> io::Result<()> {
    if there {
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use offload_client::{Kind, TargetState, snapshot::Target};

    use super::*;

    fn snapshot(kind: Kind, state: TargetState) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            targets: vec![Target {
                kind,
                state,
                ..Target::default()
            }]
            .into(),
            ..Snapshot::default()
        })
    }

    /// Polls `follow` as far as it comes.
    async fn settle() {
        tokio::task::yield_now().await;
    }

    #[tokio::test]
    async fn it_is_there_exactly_while_a_builder_is_ready() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ready");
        fs::write(&file, "of a daemon that crashed").unwrap();
        let flag = Flag::new(Some(directory.path().to_owned()));
        assert!(!file.exists());

        let (sender, receiver) = watch::channel(Arc::default());
        let following = tokio::spawn(flag.follow(receiver));
        for (kind, state, expected) in [
            (Kind::Builder, TargetState::Unknown, false),
            (Kind::Builder, TargetState::Ready, true),
            (Kind::Builder, TargetState::Paused, false),
            (Kind::Cache, TargetState::Ready, false),
            (Kind::Builder, TargetState::Ready, true),
            (Kind::Builder, TargetState::Degraded, false),
            (Kind::Builder, TargetState::Ready, true),
        ] {
            sender.send(snapshot(kind, state)).unwrap();
            settle().await;
            assert_eq!(file.exists(), expected, "{kind} {state}");
        }
        // With the monitor it goes.
        drop(sender);
        following.await.unwrap();
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_told_once_and_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let later = directory.path().join("later");
        let mut flag = Flag::new(Some(later.clone()));
        flag.set(true);
        assert!(flag.told);
        flag.set(false);
        fs::create_dir(&later).unwrap();
        flag.set(true);
        assert!(later.join("ready").exists());
        drop(flag);
        assert!(!later.join("ready").exists());
    }
}
