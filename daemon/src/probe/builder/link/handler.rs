//! What russh calls back on a connection.

use std::{sync::Arc, time::Duration};

use offload_client::Printable;
use russh::{
    client::{self, ChannelOpenHandle, DisconnectReason, Msg},
    keys::PublicKeyOrCertificate,
};
use tokio::sync::watch;

use super::{
    super::{
        host_key::{HostKeys, Refusal, Seen, seen_as},
        proposal::Proposal,
    },
    End, Heard, Listener, MAX_WORDS, Phase,
};
use crate::{clock::Now, report::Closed};

/// What russh calls back: it answers nothing but the host key, and lets nothing in.
pub(super) struct Handler {
    pub(super) host_keys: Arc<HostKeys>,
    pub(super) proposal: watch::Receiver<Option<Proposal>>,
    pub(super) heard: watch::Sender<Heard>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) listener: Listener,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    HostKey(Box<Refusal>),
    #[error("{0}")]
    Unmatched(String),
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

impl Handler {
    /// How long the connection has lain idle; `None` while it is used or when its end is ours.
    fn idle(&self) -> Option<Duration> {
        match self.phase.has_changed() {
            Ok(_) => match *self.phase.borrow() {
                Phase::Idle(since) => Some(since.elapsed()),
                Phase::Busy => None,
            },
            Err(_) => None,
        }
    }
}

/// Dropping the handle of a channel that the server wants to open refuses it.
macro_rules! refuse {
    ($($name:ident($($type:ty),*);)*) => {
        $(async fn $name(
            &mut self,
            _: russh::Channel<Msg>,
            $(_: $type,)*
            _refused: ChannelOpenHandle,
            _: &mut client::Session,
        ) -> Result<(), Fault> {
            Ok(())
        })*
    };
}

impl client::Handler for Handler {
    type Error = Fault;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        let proposal = self.proposal.borrow().clone();
        let unmatched = proposal
            .as_ref()
            .and_then(|proposal| proposal.unmatched(&self.host_keys));
        if let Some(why) = unmatched {
            return Err(Fault::Unmatched(why));
        }
        let wanted = proposal
            .as_ref()
            .and_then(|proposal| proposal.host_key(&self.host_keys));
        let alone: PublicKeyOrCertificate = key.public_key().into();
        let seen = match wanted.filter(|_| !self.host_keys.is_pinned) {
            None => key,
            Some(name) => match seen_as(key, name) {
                Some(Seen::Whole) => key,
                Some(Seen::WithoutCertificate) => &alone,
                None => {
                    let refusal = self.host_keys.not_seen(key, name);
                    return Err(Fault::HostKey(Box::new(refusal)));
                }
            },
        };
        let basis = self
            .host_keys
            .judge(seen, Now::read())
            .map_err(|refusal| Fault::HostKey(Box::new(refusal)))?;
        let proved = (key.public_key(), basis);
        self.heard.send_modify(|heard| heard.proved = Some(proved));
        Ok(true)
    }

    async fn auth_banner(&mut self, text: &str, _: &mut client::Session) -> Result<(), Fault> {
        let text = Printable::excerpt(text.as_bytes(), MAX_WORDS);
        self.heard.send_modify(|heard| heard.auth_banner = text);
        Ok(())
    }

    async fn disconnected(&mut self, why: DisconnectReason<Fault>) -> Result<(), Fault> {
        let end = match &why {
            DisconnectReason::ReceivedDisconnect(info) => End::said(info),
            DisconnectReason::Error(Fault::Ssh(error)) => End::of(error),
            DisconnectReason::Error(Fault::HostKey(_) | Fault::Unmatched(_)) => {
                End::of(&russh::Error::Disconnect)
            }
        };
        self.heard.send_modify(|heard| heard.end = Some(end));
        if let Some(idle) = self.idle() {
            // Where the monitor is that far behind, its next check finds the connection closed.
            let _ = self.listener.closed.try_send(Closed {
                target: self.listener.target.clone(),
                idle,
            });
        }
        Ok(())
    }

    refuse! {
        server_channel_open_session();
        server_channel_open_agent_forward();
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_x11(&str, u32);
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
    }
}
