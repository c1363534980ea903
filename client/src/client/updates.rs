//! The snapshot whenever it changes, without polling.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, select},
};
use tokio::{runtime::Handle, sync::watch as channel, task::AbortHandle, time::timeout};
use zbus::{Connection, MatchRule, MessageStream, message::Type, proxy::MethodFlags};

use super::{Client, bus_back::BusBack};
use crate::{Snapshot, names};

/// How long the daemon may take to answer before it counts as not there, and is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// As [`Client::watch`] has it.
pub(super) fn updates(
    client: Client,
) -> impl Stream<Item = Option<Snapshot>> + Send + Unpin + use<> {
    Box::pin(stream::unfold(State::New(client), |state| async {
        let mut running = match state {
            State::New(client) => Running::start(client)?,
            State::Running(running) => running,
        };
        // An error: the one connection that there was has ended.
        running.news.changed().await.ok()?;
        let item = running.news.borrow_and_update().clone();
        Some((item.map(Arc::unwrap_or_clone), State::Running(running)))
    }))
}

enum State {
    New(Client),
    Running(Running),
}

/// What there is; nothing where there is no daemon.
type News = Option<Arc<Snapshot>>;

/// The task that follows the daemon. It reads the connection's queue whether or not the stream is
/// polled, because a queue that nobody reads would in the end hold up the whole connection.
struct Running {
    news: channel::Receiver<News>,
    task: AbortHandle,
}

impl Running {
    fn start(client: Client) -> Option<Self> {
        let (sender, news) = channel::channel(None);
        let task = Handle::try_current().ok()?.spawn(follow(client, sender));
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

/// Follows one daemon after the other, over one bus after the other.
async fn follow(client: Client, news: channel::Sender<News>) {
    let mut teller = Teller { news, first: true };
    let Some(bus) = client.places.clone() else {
        if let Ok(connection) = client.connection().await {
            follow_on(&connection, &mut teller).await;
        }
        return;
    };
    let mut back = BusBack::of(bus.as_ref());
    loop {
        back.trying();
        if let Ok(connection) = client.connection().await {
            back.came();
            follow_on(&connection, &mut teller).await;
            client.forget(&connection);
        }
        teller.tell(None);
        back.wait().await;
    }
}

/// Who tells those who listen, where it is news.
struct Teller {
    news: channel::Sender<News>,
    first: bool,
}

impl Teller {
    fn tell(&mut self, snapshot: Option<Snapshot>) {
        let first = std::mem::take(&mut self.first);
        self.news.send_if_modified(|last| {
            let changed = match (last.as_deref(), &snapshot) {
                (Some(last), Some(snapshot)) => snapshot.is_news_to(last),
                (last, snapshot) => last.is_some() != snapshot.is_some(),
            };
            *last = snapshot.map(Arc::new);
            changed || first
        });
    }
}

/// Follows the daemon until the connection ends.
async fn follow_on(connection: &Connection, teller: &mut Teller) {
    // Listen first, read then: a change between the two is heard.
    let Ok(mut signals) = signals(connection).await else {
        return;
    };
    loop {
        // What is queued by now happened before the snapshot that is read next.
        while let Some(signal) = signals.next().now_or_never() {
            if signal.is_none() {
                return;
            }
        }
        let (snapshot, stale) = read_beside(connection, &mut signals).await;
        let ended = matches!(stale, Signals::Ended);
        // What was read of a connection that ended is old.
        teller.tell(snapshot.filter(|_| !ended));
        match stale {
            Signals::Quiet if signals.next().await.is_some() => {}
            Signals::Came => {}
            Signals::Quiet | Signals::Ended => return,
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
    let client = Client::from(connection.clone());
    let mut reading = std::pin::pin!(timeout(PATIENCE, client.read(MethodFlags::NO_AUTO_START)));
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
    let objects = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(names::BUS_NAME)
        .path_namespace(names::ROOT_PATH)
        .build()?;
    let owner = MessageStream::for_match_rule(names::owner_changes()?, connection, None).await?;
    let objects = MessageStream::for_match_rule(objects, connection, None).await?;
    // The end of either is the end of the connection.
    let mark = |stream: MessageStream| stream.map(|_| Some(())).chain(stream::iter([None]));
    let ends = select(mark(owner), mark(objects)).take_while(|item| {
        let goes_on = item.is_some();
        async move { goes_on }
    });
    Ok(Box::pin(ends.map(|_| ())))
}
