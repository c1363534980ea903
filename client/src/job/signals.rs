//! What the bus tells of jobs, unasked.

use std::pin::Pin;

use futures_util::{
    Stream, StreamExt,
    stream::{self, select},
};
use zbus::{Connection, MatchRule, Message, MessageStream, message::Type};

use crate::{Printable, names};

/// One signal.
pub(super) enum News {
    /// A job printed a line.
    Printed { path: String, line: Printable },
    /// A property of a job changed.
    Changed { path: String },
    /// The daemon left the bus.
    Left,
}

/// The signals of all jobs (the name of one is not known before it is running), and the going of
/// the daemon.
pub(super) struct Signals(Pin<Box<dyn Stream<Item = News> + Send>>);

impl Signals {
    /// From here on nothing is missed.
    pub(super) async fn listen(connection: &Connection) -> zbus::Result<Self> {
        let jobs = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(names::BUS_NAME)
            .path_namespace(format!("{}/job", names::ROOT_PATH))
            .build()?;
        let jobs = MessageStream::for_match_rule(jobs, connection, None).await?;
        let owner =
            MessageStream::for_match_rule(names::owner_changes()?, connection, None).await?;
        // The end of either is the end of the connection.
        let news = select(
            jobs.map(|message| message.ok().map(|message| of_job(&message)))
                .chain(stream::iter([None])),
            owner
                .map(|message| message.ok().map(|message| of_owner(&message)))
                .chain(stream::iter([None])),
        );
        let news = news.take_while(|item| {
            let goes_on = item.is_some();
            async move { goes_on }
        });
        Ok(Self(Box::pin(
            news.filter_map(|item| async move { item.flatten() }),
        )))
    }

    /// The next one; `None` at the end of the connection.
    pub(super) async fn next(&mut self) -> Option<News> {
        self.0.next().await
    }
}

fn of_job(message: &Message) -> Option<News> {
    let header = message.header();
    let path = header.path()?.to_string();
    match (header.interface()?.as_str(), header.member()?.as_str()) {
        (names::JOB, "Output") => {
            let line = message.body().deserialize().ok()?;
            Some(News::Printed { path, line })
        }
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => Some(News::Changed { path }),
        _ => None,
    }
}

/// Whether the daemon left; another that took its place knows nothing of the job.
fn of_owner(message: &Message) -> Option<News> {
    let body = message.body();
    let (_, old, _): (String, String, String) = body.deserialize().ok()?;
    (!old.is_empty()).then_some(News::Left)
}
