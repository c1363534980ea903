//! The file that node_exporter reads (`--collector.textfile.directory`).
//!
//! It is written with the checks, and so wakes nobody. Who reads it finds it whole. It goes with the daemon, lest what
//! was ready once look ready for ever; what a daemon that was killed leaves is told by `node_textfile_mtime_seconds`.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use offload_client::Snapshot;
use tokio::sync::watch;

use super::{Metrics, exposition::Format};
use crate::clock::Now;

/// While nothing changes it is not written more often.
const REST: Duration = Duration::from_secs(15);

/// The file.
#[derive(Debug)]
pub struct Textfile {
    path: PathBuf,
    metrics: Metrics,
    /// Whether it was told that it can't be written.
    told: bool,
}

impl Textfile {
    /// To be written to `path`.
    pub fn new(path: PathBuf, metrics: Metrics) -> Self {
        Self {
            path,
            metrics,
            told: false,
        }
    }

    /// Keeps it true until the monitor is gone.
    pub async fn follow(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        let mut written: Option<(Duration, Arc<Snapshot>)> = None;
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let now = Now::read().boot;
            let is_due = written.as_ref().is_none_or(|(at, old)| {
                now.saturating_sub(*at) >= REST || snapshot.is_news_to(old)
            });
            if is_due {
                self.write().await;
                written = Some((now, snapshot));
            }
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    async fn write(&mut self) {
        let text = self.metrics.read().await.write(Format::Prometheus);
        let path = self.path.clone();
        // A disk takes its time: nothing waits for it here.
        let wrote = tokio::task::spawn_blocking(move || put(&path, &text)).await;
        match wrote.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) if self.told => {
                self.told = false;
                tracing::info!("{}: metrics are written again", self.path.display());
            }
            Ok(()) => {}
            Err(error) if !self.told => {
                self.told = true;
                tracing::warn!("{}: no metrics are written: {error}", self.path.display());
            }
            Err(_) => {}
        }
    }
}

impl Drop for Textfile {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{}: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

/// Beside it first, by a name that node_exporter passes over, and for everybody to read.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o644))?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_it_finds_it_whole_whoever_that_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offloadd.prom");
        for text in ["offloadd_state 1\n", "offloadd_state 0\n"] {
            put(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
