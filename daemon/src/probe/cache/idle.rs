//! A kept connection between two checks.

use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::link::{Link, Resting};
use crate::{clock::Stopwatch, report::Closed, target::TargetId};

/// A connection at rest, watched by a task of its own that only the peer's bytes wake.
///
/// Dropping it closes the connection: without the other end of `recall` the task ends.
pub(super) struct Idle {
    recall: oneshot::Sender<()>,
    watcher: JoinHandle<Option<Resting>>,
}

impl Idle {
    /// Lays `link` by. Where the peer closes it, `closed` is told, once.
    pub(super) fn new(link: Link, target: TargetId, closed: mpsc::Sender<Closed>) -> Self {
        let (recall, recalled) = oneshot::channel();
        Self {
            recall,
            watcher: tokio::spawn(watch(link.rest(), recalled, target, closed)),
        }
    }

    /// Takes the connection back; `None` where the peer has closed it.
    pub(super) async fn recall(self) -> Option<Link> {
        // The watcher may have ended; the join says so as well.
        let _ = self.recall.send(());
        let resting = self.watcher.await.ok().flatten()?;
        resting.wake().await.ok()
    }
}

async fn watch(
    mut link: Option<Resting>,
    recalled: oneshot::Receiver<()>,
    target: TargetId,
    closed: mpsc::Sender<Closed>,
) -> Option<Resting> {
    let resting = Stopwatch::start();
    select! {
        // First what we want ourselves: a close that comes with it is the check's to find. Where
        // nobody is there to take the link, it closes here.
        biased;
        _ = recalled => link,
        () = ended(&mut link) => {
            let idle = resting.elapsed();
            // Where the queue is full, the next check will find it out.
            let _ = closed.try_send(Closed { target, idle });
            None
        }
    }
}

async fn ended(link: &mut Option<Resting>) {
    if let Some(link) = link {
        link.ended().await;
    }
}
