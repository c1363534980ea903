//! What the daemon says of its own accord: every signal, in order, with its contents.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    num::NonZeroUsize,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use offload_client::{
    names::{BUS_NAME, ROOT_PATH},
    snapshot::Details,
    wire,
};
use zbus::{
    Connection, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant, connection,
    fdo::PeerProxy, message::Type,
};

use crate::{Error, Result, error::Context};

/// As many may wait unread; then the bus would have to.
const QUEUE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// One signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The object that sent it.
    pub path: String,
    /// What it says.
    pub content: Content,
}

/// What a signal says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// `PropertiesChanged`.
    Changed {
        /// Whose properties.
        interface: String,
        /// Those that came with their values.
        values: Details,
        /// Those that came without.
        invalidated: Vec<String>,
    },
    /// `InterfacesAdded`: the object, and the interfaces with their properties.
    Added(String, BTreeMap<String, Details>),
    /// `InterfacesRemoved`: the object and the interfaces.
    Removed(String, Vec<String>),
    /// The Manager's `StateChanged`: old, new, reason.
    Verdict(String, String, String),
    /// Anything else, by interface and member.
    Other(String),
}

/// Listens for the signals of the daemon's objects.
#[derive(Debug)]
pub struct Signals {
    connection: Connection,
    stream: MessageStream,
}

impl Signals {
    /// Listens from now on, on a connection of its own. The daemon need not be there yet.
    ///
    /// # Errors
    /// When the bus is not there.
    pub async fn listen(bus: &str) -> Result<Self> {
        let connected = connection::Builder::address(bus).build().await;
        let connection = connected.map_err(io::Error::other).context(bus)?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .path_namespace(ROOT_PATH)
            .build();
        let rule = rule.map_err(io::Error::other).context("a match rule")?;
        let stream = MessageStream::for_match_rule(rule, &connection, Some(QUEUE)).await;
        Ok(Self {
            stream: stream.map_err(io::Error::other).context("the signals")?,
            connection,
        })
    }

    /// Waits for a signal that fits. It and those that came before it are taken away, and returned.
    ///
    /// # Errors
    /// [`Error::Late`], naming `what` and telling what came instead.
    pub async fn until(
        &mut self,
        deadline: Duration,
        what: &str,
        fits: impl Fn(&Signal) -> bool,
    ) -> Result<Vec<Signal>> {
        let mut seen = Vec::new();
        let found = async {
            while let Some(message) = self.stream.next().await {
                let signal = read(message).context("a signal")?;
                let found = fits(&signal);
                seen.push(signal);
                if found {
                    return Ok(());
                }
            }
            Err(Error::Gone("the bus"))
        };
        match tokio::time::timeout(deadline, found).await {
            Ok(found) => found.map(|()| seen),
            Err(_) => Err(Error::Late {
                what: format!("{what}; what came was {seen:#?}"),
                within: deadline,
            }),
        }
    }

    /// Waits for the verdict over everything to become `state`; returns what came up to then.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn until_verdict(&mut self, deadline: Duration, state: &str) -> Result<Vec<Signal>> {
        let what = format!("the verdict {state}");
        let fits = |signal: &Signal| matches!(&signal.content, Content::Verdict(_, new, _) if new == state);
        self.until(deadline, &what, fits).await
    }

    /// Takes away what the daemon has sent by now. A peer's messages stay in their order: what was
    /// sent before the answer to a question is there when the answer is.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn rest(&mut self) -> Result<Vec<Signal>> {
        let peer = PeerProxy::new(&self.connection, BUS_NAME, ROOT_PATH).await;
        let peer = peer.map_err(io::Error::other).context("the daemon")?;
        let ping = peer.ping().await;
        ping.map_err(io::Error::other).context("the daemon")?;
        let mut rest = Vec::new();
        while let Some(Some(message)) = self.stream.next().now_or_never() {
            rest.push(read(message).context("a signal")?);
        }
        Ok(rest)
    }
}

impl Signal {
    /// The value that it gives to `property` of the object at `path`, as text.
    pub fn value(&self, path: &str, property: &str) -> Option<String> {
        match &self.content {
            Content::Changed { values, .. } if self.path == path => {
                values.get(property).map(ToString::to_string)
            }
            _ => None,
        }
    }

    /// Whether it makes `property` of the object at `path` this word.
    pub fn sets(&self, path: &str, property: &str, word: &str) -> bool {
        self.value(path, property).as_deref() == Some(word)
    }
}

type Properties = HashMap<String, OwnedVariant>;

fn read(message: zbus::Result<Message>) -> io::Result<Signal> {
    let message = message.map_err(io::Error::other)?;
    let header = message.header();
    let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
    let member = text(header.member().map(|member| member.as_str()));
    let interface = text(header.interface().map(|interface| interface.as_str()));
    let body = message.body();
    let content = match member.as_str() {
        "PropertiesChanged" => {
            let body = body.deserialize::<(String, Properties, Vec<String>)>();
            body.map(|(interface, values, invalidated)| Content::Changed {
                interface,
                values: wire::details(&values),
                invalidated,
            })
        }
        "InterfacesAdded" => {
            let body = body.deserialize::<(OwnedObjectPath, HashMap<String, Properties>)>();
            body.map(|(path, interfaces)| {
                let interfaces = interfaces.into_iter();
                let details = interfaces.map(|(name, values)| (name, wire::details(&values)));
                Content::Added(path.to_string(), details.collect())
            })
        }
        "InterfacesRemoved" => body
            .deserialize::<(OwnedObjectPath, Vec<String>)>()
            .map(|(path, interfaces)| Content::Removed(path.to_string(), interfaces)),
        "StateChanged" => body
            .deserialize::<(String, String, String)>()
            .map(|(old, new, reason)| Content::Verdict(old, new, reason)),
        _ => Ok(Content::Other(format!("{interface}.{member}"))),
    };
    Ok(Signal {
        path: text(header.path().map(|path| path.as_str())),
        content: content.map_err(io::Error::other)?,
    })
}
