//! The snapshot whenever it changes, without polling.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, select},
};
use tokio::{runtime::Handle, sync::watch as channel, task::AbortHandle, time::timeout};
use zbus::{Connection, MatchRule, MessageStream, message::Type};

use crate::{Snapshot, names, read};

/// How long the daemon may take to answer before it counts as not there, and is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The snapshot now, and again after each change; `None` while no daemon is running.
///
/// It follows the daemon's name across restarts, and starts no daemon. Several signals that come
/// together make one item, and so do several changes that come while nobody polls: the newest one is
/// what there is. What every check changes (latency, times, details) is current in each item but
/// makes none. It ends when the connection does.
///
/// To be polled within tokio's runtime; anywhere else it ends at once.
pub fn watch(
    connection: &Connection,
) -> impl Stream<Item = Option<Snapshot>> + Send + Unpin + use<> {
    let first = State::New(connection.clone());
    Box::pin(stream::unfold(first, |state| async {
        let mut running = match state {
            State::New(connection) => Running::start(connection)?,
            State::Running(running) => running,
        };
        running.news.changed().await.ok()?;
        let item = running.news.borrow_and_update().clone();
        Some((item.map(Arc::unwrap_or_clone), State::Running(running)))
    }))
}

enum State {
    New(Connection),
    Running(Running),
}

/// The task that follows the daemon. It reads the connection's queue whether or not the stream is
/// polled, because a queue that nobody reads would in the end hold up the whole connection.
struct Running {
    news: channel::Receiver<Option<Arc<Snapshot>>>,
    task: AbortHandle,
}

impl Running {
    fn start(connection: Connection) -> Option<Self> {
        let (sender, news) = channel::channel(None);
        let task = Handle::try_current().ok()?.spawn(async move {
            // An error here is the end of the connection: the sender goes, and the stream ends.
            let _ = follow(&connection, &sender).await;
        });
        Some(Self {
            news,
            task: task.abort_handle(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    connection: &Connection,
    news: &channel::Sender<Option<Arc<Snapshot>>>,
) -> zbus::Result<()> {
    // Listen first, read then: a change between the two is heard.
    let mut signals = signals(connection).await?;
    let mut first = true;
    loop {
        // What is queued by now happened before the snapshot that is read next.
        while let Some(signal) = signals.next().now_or_never() {
            if signal.is_none() {
                return Ok(());
            }
        }
        let (snapshot, stale) = read_beside(connection, &mut signals).await;
        let snapshot = snapshot.map(Arc::new);
        news.send_if_modified(|last| {
            let changed = match (last.as_deref(), snapshot.as_deref()) {
                (Some(last), Some(snapshot)) => snapshot.is_news_to(last),
                (last, snapshot) => last.is_some() != snapshot.is_some(),
            };
            let changed = changed || first;
            *last = snapshot;
            changed
        });
        first = false;
        match stale {
            Signals::Quiet => {
                if signals.next().await.is_none() {
                    return Ok(());
                }
            }
            Signals::Came => {}
            Signals::Ended => return Ok(()),
        }
    }
}

enum Signals {
    Quiet,
    Came,
    Ended,
}

/// Reads the snapshot, and goes on taking signals off the queue meanwhile.
async fn read_beside(
    connection: &Connection,
    signals: &mut (impl Stream<Item = ()> + Unpin),
) -> (Option<Snapshot>, Signals) {
    let mut reading = std::pin::pin!(timeout(PATIENCE, read::snapshot_if_running(connection)));
    let mut came = Signals::Quiet;
    loop {
        tokio::select! {
            // Whatever the error: there is nobody who could tell.
            answer = &mut reading => return match answer {
                Ok(snapshot) => (snapshot.ok(), came),
                Err(_) => (None, Signals::Came),
            },
            signal = signals.next() => match signal {
                Some(()) => came = Signals::Came,
                None => return (None, Signals::Ended),
            },
        }
    }
}

/// Everything the daemon says when something changed, and the coming and going of its name.
async fn signals(connection: &Connection) -> zbus::Result<Pin<Box<dyn Stream<Item = ()> + Send>>> {
    let owner = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .add_arg(names::BUS_NAME)
        .build()?;
    let objects = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(names::BUS_NAME)
        .path_namespace(names::ROOT_PATH)
        .build()?;
    let owner = MessageStream::for_match_rule(owner, connection, None).await?;
    let objects = MessageStream::for_match_rule(objects, connection, None).await?;
    // The end of either is the end of the connection.
    let mark = |stream: MessageStream| stream.map(|_| Some(())).chain(stream::iter([None]));
    let ends = select(mark(owner), mark(objects)).take_while(|item| {
        let goes_on = item.is_some();
        async move { goes_on }
    });
    Ok(Box::pin(ends.map(|_| ())))
}
