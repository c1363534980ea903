//! The other end of sd_notify(3): what systemd would have been told.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{net::UnixDatagram, sync::watch, task::JoinHandle};

use crate::{Error, Result, error::Context};

/// Systemd itself takes no longer message: it ignores one (`NOTIFY_BUFFER_MAX` in its src/core/manager.c).
const MAX_DATAGRAM: usize = 4096;
/// How many messages are remembered; a test that needs more is asking something else.
const MAX_MESSAGES: usize = 10_000;

/// One datagram: `KEY=VALUE` lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Vec<(String, String)>);

impl Message {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let line = self.0.iter().find(|(name, _)| name == key);
        line.map(|(_, value)| value.as_str())
    }

    fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(
            pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }
}

/// A socket for `NOTIFY_SOCKET`, and all that came in.
#[derive(Debug)]
pub struct Notifications {
    path: PathBuf,
    messages: watch::Receiver<Vec<Message>>,
    reader: JoinHandle<()>,
}

impl Notifications {
    /// Listens on `path`.
    ///
    /// # Errors
    /// When the socket can't be bound.
    pub fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path).context(path.display())?;
        let (sender, messages) = watch::channel(Vec::new());
        Ok(Self {
            path: path.to_owned(),
            messages,
            reader: tokio::spawn(read(socket, sender)),
        })
    }

    /// The value for `NOTIFY_SOCKET`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All messages so far, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.borrow().clone()
    }

    /// What `STATUS=` said last.
    pub fn status(&self) -> Option<String> {
        let messages = self.messages.borrow();
        messages
            .iter()
            .rev()
            .find_map(|message| message.get("STATUS").map(str::to_owned))
    }

    /// Waits for a message after the first `after` of them that fits, and returns how many there
    /// were up to and with it: the `after` of what must follow.
    ///
    /// # Errors
    /// [`Error::Late`], with all that came instead.
    pub async fn wait(
        &self,
        after: usize,
        deadline: Duration,
        what: &str,
        fits: impl Fn(&Message) -> bool,
    ) -> Result<usize> {
        let position = |messages: &Vec<Message>| {
            let later = messages.iter().skip(after);
            later
                .enumerate()
                .find(|(_, message)| fits(message))
                .map(|(at, _)| after + at + 1)
        };
        let mut messages = self.messages.clone();
        let found = async {
            // The sender lives as long as `self`.
            let _ = messages
                .wait_for(|messages| position(messages).is_some())
                .await;
        };
        let _ = tokio::time::timeout(deadline, found).await;
        let seen = self.messages.borrow();
        position(&seen).ok_or_else(|| Error::Late {
            what: format!("{what}; what came was {:?}", *seen),
            within: deadline,
        })
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(socket: UnixDatagram, messages: watch::Sender<Vec<Message>>) {
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    while let Ok(length) = socket.recv(&mut buffer).await {
        if length > MAX_DATAGRAM {
            continue;
        }
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        messages.send_if_modified(|messages| {
            let room = messages.len() < MAX_MESSAGES;
            if room {
                messages.push(Message::parse(&text));
            }
            room
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_read_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let notifications = Notifications::listen(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        for message in [
            "STATUS=starting",
            "READY=1\nSTATUS=watching 2",
            "STATUS=all ready",
        ] {
            sender.send_to(message.as_bytes(), &path).await.unwrap();
        }

        let patience = Duration::from_secs(5);
        let ready = |message: &Message| message.get("READY") == Some("1");
        let at = notifications
            .wait(0, patience, "ready", ready)
            .await
            .unwrap();
        assert_eq!(at, 2);
        let any = |_: &Message| true;
        assert_eq!(
            notifications.wait(at, patience, "more", any).await.unwrap(),
            3
        );
        assert_eq!(notifications.status().as_deref(), Some("all ready"));
    }

    #[tokio::test]
    async fn a_message_that_never_comes_is_named_with_what_came() {
        let directory = tempfile::tempdir().unwrap();
        let notifications = Notifications::listen(&directory.path().join("notify")).unwrap();
        let never = notifications.wait(0, Duration::from_millis(20), "READY=1", |_| true);
        assert!(never.await.unwrap_err().to_string().contains("READY=1"));
    }
}
