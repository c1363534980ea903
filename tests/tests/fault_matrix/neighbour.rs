//! Who is well: a cache and a builder on a thread of their own, which no flood of this process holds up.

use std::{path::PathBuf, thread::JoinHandle, time::Duration};

use offload_client::Kind;
use offload_tests::{Laptop, bench::proc, fake::Desktop};
use offloadd::clock::Stopwatch;
use tokio::{sync::oneshot, task::JoinHandle as Task, time::sleep};

use crate::ground::{ANY, builder_entry, cache_entry, object};

pub(crate) const NAME: &str = "neighbour";
/// Five may be asked for at once, and one every two seconds.
const PAUSE: Duration = Duration::from_millis(2100);
/// How long a check of it may take, but for what the machine keeps the daemon waiting for a processor: a tenth of
/// that is usual. Who waits for another target's check waits for the bounds of [`POLL`](crate::ground::POLL).
const ITS_SECOND: Duration = Duration::from_secs(1);

/// The healthy desktop.
pub(crate) struct Neighbour {
    config: String,
    public_key: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Somebody who asks about it again and again.
pub(crate) struct Judged {
    end: oneshot::Sender<()>,
    asking: Task<Duration>,
}

impl Neighbour {
    /// Starts it; in the network namespace at this path, where one is named.
    pub(crate) fn start(namespace: Option<PathBuf>) -> Self {
        let (end, ended) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            if let Some(namespace) = namespace {
                crate::resolve::enter(&namespace);
            }
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async {
                let desktop = Desktop::start(ANY, ANY).await.unwrap();
                let key = desktop.user_key().display().to_string();
                let entries =
                    cache_entry(NAME, &desktop.cache) + &builder_entry(NAME, &desktop.ssh, &key);
                tell.send((entries, desktop.cache.public_key())).unwrap();
                let _ = ended.await;
            });
        });
        let (config, public_key) = told.recv().unwrap();
        Self {
            config,
            public_key,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// Its entries.
    pub(crate) fn config(&self) -> &str {
        &self.config
    }

    /// What signs what its cache serves.
    pub(crate) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Asks for a check of each half from now on. Each has to be well within [`ITS_SECOND`].
    pub(crate) fn judge(&self, laptop: &Laptop) -> Judged {
        let (end, mut ended) = oneshot::channel();
        let (bus, daemon) = (laptop.connection.clone(), laptop.daemon.id());
        let held_up = move || proc::held_up(daemon).unwrap();
        let asking = tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while ended.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                for kind in [Kind::Cache, Kind::Builder] {
                    let object = object(&bus, kind, NAME).await;
                    let (watch, before) = (Stopwatch::start(), held_up());
                    let state = object.check().await;
                    assert_eq!(state.unwrap(), "ready", "the healthy {kind}");
                    let took = watch.elapsed().saturating_sub(held_up() - before);
                    assert!(took < ITS_SECOND, "{took:?}: the {kind} was held up");
                    slowest = slowest.max(took);
                }
                sleep(PAUSE).await;
            }
            slowest
        });
        Judged { end, asking }
    }
}

impl Judged {
    /// No more; how long the slowest answer took.
    pub(crate) async fn end(self) -> Duration {
        let _ = self.end.send(());
        self.asking.await.unwrap()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
