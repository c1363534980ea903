//! An SSH server as far as a builder's health shows: up to the programs that are run over it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, atomic::Ordering},
};

use russh::{
    Channel, ChannelId, MethodKind, MethodSet,
    keys::{PrivateKey, PublicKey},
    server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, VerifiedPublicKey},
};
use tokio::{sync::watch, task::JoinSet};

use super::{
    Control, Fault, Point, Port, nix,
    port::{Incoming, Seen, State, Strike},
    wire::Flavour,
};
use crate::{Result, keys};

/// Sessions of one connection that run nothing yet; a client of ours has one.
const MAX_IDLE: usize = 8;

/// A fake builder. It dereferences to its [`Control`].
#[derive(Debug)]
pub struct SshServer {
    port: Port,
    host_key: String,
}

impl SshServer {
    /// Starts one on `address` (port 0: a free one) that lets `user_key` in, whatever the user.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(address: SocketAddr, user_key: PublicKey) -> Result<Self> {
        let (own, other) = (keys::ed25519()?, keys::ed25519()?);
        let host_key = keys::public_line(&own)?;
        let configs = [configuration(own), configuration(other)];
        let serve = move |incoming: Incoming| {
            let [own, other] = &configs;
            let swapped = incoming.state.borrow().fault == Fault::SwappedHostKey;
            let config = if swapped { other } else { own };
            serve(incoming, config.clone(), user_key.clone())
        };
        Ok(Self {
            port: Port::open(address, Flavour::Ssh, serve).await?,
            host_key,
        })
    }

    /// The public line of its host key, the one that it has while healthy.
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// `ssh-ng://user@host:port`, as Nix would be given it.
    pub fn uri(&self, user: &str) -> String {
        format!("ssh-ng://{user}@{}", self.address())
    }

    /// `ssh://user@host:port`: the same builder by the older protocol.
    pub fn ssh_uri(&self, user: &str) -> String {
        format!("ssh://{user}@{}", self.address())
    }
}

impl Deref for SshServer {
    type Target = Control;

    fn deref(&self) -> &Control {
        self.port.control()
    }
}

fn configuration(host_key: PrivateKey) -> Arc<server::Config> {
    Arc::new(server::Config {
        keys: vec![host_key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Against guessing; a test has nothing to guess.
        auth_rejection_time: std::time::Duration::ZERO,
        inactivity_timeout: None,
        ..server::Config::default()
    })
}

async fn serve(incoming: Incoming, config: Arc<server::Config>, user_key: PublicKey) {
    let handler = Handler {
        user_key,
        state: incoming.state,
        seen: incoming.seen,
        strike: incoming.strike,
        idle: HashMap::new(),
        programs: JoinSet::new(),
    };
    if let Ok(session) = server::run_stream(config, incoming.stream, handler).await {
        // How a connection ends is the wire's business and the client's.
        let _ = session.await;
    }
}

struct Handler {
    user_key: PublicKey,
    state: watch::Receiver<State>,
    seen: Arc<Seen>,
    strike: Strike,
    /// Sessions in which no program was started yet.
    idle: HashMap<ChannelId, Channel<Msg>>,
    /// They end with the connection.
    programs: JoinSet<()>,
}

impl Handler {
    /// Counts an attempt, and keeps it waiting where that is the fault.
    async fn attempt(&mut self) {
        self.seen.requests.fetch_add(1, Ordering::Relaxed);
        let stalls = |now: &State| now.fault == Fault::StallAfter(Point::HostKey);
        // When nobody can switch any more the connection ends anyway.
        let _ = self.state.wait_for(|now| !stalls(now)).await;
        let fault = self.state.borrow().fault;
        self.strike.reached(Point::HostKey, fault);
    }

    fn judge(&self, key: &PublicKey) -> Auth {
        let refused = self.state.borrow().fault == Fault::RefusedKey;
        if !refused && key.key_data() == self.user_key.key_data() {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Self::Error> {
        self.attempt().await;
        Ok(Auth::reject())
    }

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.attempt().await;
        Ok(self.judge(offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        // A reply that is dropped is a refusal.
        if self.idle.len() < MAX_IDLE {
            self.idle.insert(channel.id(), channel);
            reply.accept().await;
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        let refused = self.state.borrow().fault == Fault::NoPrograms;
        let (false, Some(channel)) = (refused, self.idle.remove(&id)) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let command = String::from_utf8_lossy(command).into_owned();
        let (state, strike) = (self.state.clone(), self.strike.clone());
        // Those that have ended leave nothing behind.
        while self.programs.try_join_next().is_some() {}
        self.programs
            .spawn(async move { nix::run(channel, &command, state, strike).await });
        Ok(())
    }
}
