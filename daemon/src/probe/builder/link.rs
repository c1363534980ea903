//! One SSH connection: russh's client, what it heard of the server, and its end.

mod end;
mod handler;
mod signer;

use std::{borrow::Cow, sync::Arc, time::Duration};

use offload_client::{Printable, Reason};
use russh::{
    Channel, Disconnect, Limits, SshId,
    client::{self, AuthResult, Msg},
    keys::{Certificate, HashAlg, PrivateKeyWithHashAlg, PublicKey},
};
use tokio::sync::{mpsc, watch};

pub(super) use self::end::End;
use self::{
    handler::{Fault, Handler},
    signer::{SignError, Signer},
};
use super::{
    banner::{self, Banner},
    host_key::{Basis, HostKeys, Refusal},
    identity::Key,
    proposal,
    stream::{Cut, Duplex, Stream},
};
use crate::{clock::Stopwatch, report::Closed, target::TargetId};

/// How much of the server's own words is kept.
const MAX_WORDS: usize = 256;
/// How long a polite good-bye may take.
const GOODBYE: Duration = Duration::from_millis(250);
/// How much one packet of a program's output may carry, in bytes. russh holds each three times over,
/// and the room for the largest as long as the connection stands.
const MAX_PACKET: u32 = 8 * 1024;
/// russh exchanges new keys after that time, or after 1 GiB. A kept connection carries some hundred
/// bytes a check, so the hour that RFC 4253 recommends would only wake a sleeping machine; OpenSSH
/// has no time limit either.
const NEW_KEYS_AFTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// An SSH connection whose server proved an accepted host key. Dropping it closes it.
pub(super) struct Link {
    // Fields are dropped in this order: without `phase`, the end that follows is known as ours.
    phase: watch::Sender<Phase>,
    heard: watch::Receiver<Heard>,
    handle: client::Handle<Handler>,
    cut: Cut,
}

/// Whose the silence on a connection is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A check is using it, and will see for itself how it ends.
    Busy,
    /// Nobody is using it.
    Idle(Stopwatch),
}

/// What a server told of itself.
#[derive(Debug, Default)]
struct Heard {
    proved: Option<(PublicKey, Basis)>,
    auth_banner: Printable,
    end: Option<End>,
}

/// What a server shows before anybody is logged in, as it comes: it may wait for somebody to do what it says.
pub(super) struct Shown(watch::Receiver<Heard>);

impl Shown {
    /// The next that is shown; never returns where nothing is.
    pub(super) async fn next(&mut self) -> Printable {
        while self.0.changed().await.is_ok() {
            let banner = self.0.borrow_and_update().auth_banner.clone();
            if !banner.is_empty() {
                return banner;
            }
        }
        std::future::pending().await
    }
}

/// Why the key exchange did not come to its end.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The host key is not acceptable; nothing more was sent.
    HostKey(Box<Refusal>),
    /// Anything else.
    End(End),
}

/// Where to tell that an idle connection was closed by the peer.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    /// Whose connection it is.
    pub target: TargetId,
    /// Where to tell it.
    pub closed: mpsc::Sender<Closed>,
}

impl Link {
    /// Exchanges keys over `stream`, whose identification lines are exchanged.
    pub(super) async fn open(
        stream: Box<dyn Duplex>,
        banner: Banner,
        host_keys: Arc<HostKeys>,
        listener: Listener,
    ) -> Result<Self, OpenError> {
        let written = banner::OURS.len() + "\r\n".len();
        let (stream, cut) = Stream::new(stream, banner.replay, written);
        let (phase, watched) = watch::channel(Phase::Busy);
        let (heard_sender, heard) = watch::channel(Heard::default());
        let config = Arc::new(config(&host_keys));
        let handler = Handler {
            host_keys: host_keys.clone(),
            proposal: cut.proposal(),
            heard: heard_sender,
            phase: watched,
            listener,
        };
        match client::connect_stream(config, stream, handler).await {
            Ok(handle) => Ok(Self {
                phase,
                heard,
                handle,
                cut,
            }),
            Err(Fault::HostKey(refusal)) => Err(OpenError::HostKey(refusal)),
            Err(Fault::Unmatched(why)) => Err(OpenError::End(End::unmatched(&why))),
            Err(Fault::Ssh(error @ russh::Error::NoCommonAlgo { .. })) => {
                let proposal = cut.proposal();
                let proposal = proposal.borrow();
                Err(OpenError::End(End::without_match(
                    &error,
                    &host_keys,
                    proposal.as_ref(),
                )))
            }
            // The server's own words, where it had any, say more than that it hung up.
            Err(Fault::Ssh(error)) => Err(OpenError::End(
                heard
                    .borrow()
                    .end
                    .clone()
                    .unwrap_or_else(|| End::of(&error)),
            )),
        }
    }

    /// The host key that the server proved, and why it was accepted.
    pub(super) fn proved(&self) -> Option<(PublicKey, Basis)> {
        self.heard.borrow().proved.clone()
    }

    /// The same as it comes.
    pub(super) fn shown(&self) -> Shown {
        Shown(self.heard.clone())
    }

    /// What the server shows before authentication, escaped; often nothing.
    pub(super) fn auth_banner(&self) -> Printable {
        self.heard.borrow().auth_banner.clone()
    }

    /// Asks to be let in without any proof, as `ssh` does first to learn the methods.
    pub(super) async fn try_none(&mut self, user: &str) -> Result<AuthResult, End> {
        let answer = self.handle.authenticate_none(user).await;
        self.answered(answer).await
    }

    /// Offers a key, or the certificate for it, and signs with the key where the server would accept that.
    pub(super) async fn try_key(
        &mut self,
        user: &str,
        key: &Key,
        certificate: Option<Certificate>,
        hash: Option<HashAlg>,
    ) -> Result<AuthResult, End> {
        let (handle, mut signer) = (&mut self.handle, Signer(key));
        let answer = match (certificate, key) {
            (None, Key::Own(key)) => {
                let key = PrivateKeyWithHashAlg::new(key.clone(), hash);
                let answer = handle.authenticate_publickey(user, key).await;
                return self.answered(answer).await;
            }
            (None, Key::Roots(public, _)) => {
                let public = public.clone();
                handle
                    .authenticate_publickey_with(user, public, hash, &mut signer)
                    .await
            }
            (Some(certificate), _) => {
                handle
                    .authenticate_certificate_with(user, certificate, hash, &mut signer)
                    .await
            }
        };
        let answer = match answer {
            Err(SignError::Signature(error)) => return Err(End::of(&error.into())),
            Err(error @ SignError::Helper(_)) => {
                return Err(End {
                    reason: Reason::NotVisible,
                    detail: error.to_string().into(),
                });
            }
            answer => answer.map_err(|_| russh::Error::SendError),
        };
        self.answered(answer).await
    }

    /// The hash for signatures with an RSA key; `None` where the server takes only SHA-1, which
    /// OpenSSH has not given since 8.8, or does not say what it takes: then ssh signs with nothing newer
    /// (`key_sig_algorithm` in OpenSSH's sshconnect2.c).
    pub(super) async fn rsa_hash(&self) -> Result<Option<HashAlg>, End> {
        match self.handle.best_supported_rsa_hash().await {
            Ok(said) => Ok(said.flatten()),
            Err(_) => Err(self.ended().await),
        }
    }

    /// A new session on the connection, for one program.
    pub(super) async fn session(&self) -> Result<Channel<Msg>, russh::Error> {
        self.handle.channel_open_session().await
    }

    /// Why the connection ended; `None` while it stands.
    pub(super) fn end(&self) -> Option<End> {
        self.heard.borrow().end.clone()
    }

    /// One keepalive round trip: whether the server answered, whatever it answered (a server that
    /// does not know the request says so, and is as alive). Waits for ever for one that is silent.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.phase.send_replace(Phase::Busy);
        // russh answers `Ok` also where the connection ends before the answer.
        self.handle.send_ping().await.is_ok() && !self.handle.is_closed()
    }

    /// Leaves the connection alone: from now on its end is news.
    pub(super) fn rest(&mut self) {
        self.phase.send_replace(Phase::Idle(Stopwatch::start()));
    }

    /// Says good-bye, so that the server's log has no lost connection. What the server has sent by
    /// then must have been read, or the kernel answers it with a reset that outruns the good-bye.
    pub(super) async fn close(self) {
        let by_application = Disconnect::ByApplication;
        if self.handle.disconnect(by_application, "", "").await.is_ok() {
            let _ = tokio::time::timeout(GOODBYE, self.ended()).await;
        }
    }

    /// Tells an answer from the end of the connection: russh reports both as a rejection that
    /// leaves no method, and ends the connection on either.
    async fn answered(&self, answer: Result<AuthResult, russh::Error>) -> Result<AuthResult, End> {
        match answer {
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) if remaining_methods.is_empty() => Err(self.ended().await),
            Ok(answer) => {
                if answer.success() {
                    self.cut.let_in();
                }
                Ok(answer)
            }
            Err(_) => Err(self.ended().await),
        }
    }

    /// Waits for the connection to end.
    pub(super) async fn ended(&self) -> End {
        let mut heard = self.heard.clone();
        let end = match heard.wait_for(|heard| heard.end.is_some()).await {
            Ok(heard) => heard.end.clone(),
            Err(_) => None,
        };
        end.unwrap_or_else(|| End::of(&russh::Error::Disconnect))
    }
}

fn config(host_keys: &HostKeys) -> client::Config {
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(banner::OURS)),
        limits: Limits::new(1 << 30, 1 << 30, NEW_KEYS_AFTER),
        window_size: 64 * 1024,
        maximum_packet_size: MAX_PACKET,
        channel_buffer_size: 8,
        preferred: proposal::preferred(host_keys),
        // A kept connection sleeps: checks are what looks after it.
        inactivity_timeout: None,
        keepalive_interval: None,
        ..client::Config::default()
    }
}
