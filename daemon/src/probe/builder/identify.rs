//! Whether the builder is at some address: a key exchange, and nothing more.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use offload_client::{Printable, Reason, Stage};

use super::{
    Notes, ask, expected,
    host_key::{Basis, HostKeys, describe},
    key_exchange::{Unidentified, exchange_keys},
    link::{Link, Listener},
};
use crate::{
    nix::ssh_config::SshOptions,
    probe::{Context, Identity, Trace, connect, fault::reason_of},
    report::{Failure, Stranger},
    target::{BuilderSpec, SpecKind, TargetSpec},
};

/// What a builder is known by. ssh_config and known_hosts are asked once, for many addresses.
pub struct Identifier {
    /// Or why nothing could prove who it is.
    pub(super) host_keys: Result<Arc<HostKeys>, Failure>,
    pub(super) listener: Listener,
    /// Where ssh_config leads to, and at which port, unless it could not be asked.
    pub(super) leads_to: Option<(String, u16)>,
}

/// Why an address is not proved to be the builder's.
enum Unproved {
    Nobody(Failure),
    Unidentified(Unidentified),
}

impl Identifier {
    /// Of the builder `target`. It takes what asking ssh_config takes.
    pub async fn new(target: &TargetSpec, context: &Context) -> Self {
        let mut leads_to = None;
        let host_keys = match &target.kind {
            SpecKind::Builder(spec) => match ask(&mut None, spec).await {
                Ok(options) => {
                    leads_to = Some((options.hostname.clone(), options.port));
                    identity(spec, &options)
                }
                Err(failure) => Err(failure),
            },
            SpecKind::Cache(_) => Err(unproved(Reason::NotConfigured, "not a builder")),
        };
        Self {
            host_keys,
            leads_to,
            listener: Listener {
                target: target.id.clone(),
                closed: context.closed.clone(),
            },
        }
    }

    /// The host and the port that ssh would go to for the URI's own host.
    pub fn leads_to(&self) -> Option<(&str, u16)> {
        let (host, port) = self.leads_to.as_ref()?;
        Some((host, *port))
    }

    /// Whether the builder is at `address`. It opens one connection and closes it again; within
    /// `bound`, but for a good-bye.
    pub async fn identify(&self, address: SocketAddr, bound: Duration) -> Identity {
        let host_keys = match &self.host_keys {
            Ok(host_keys) => host_keys,
            Err(failure) => return Identity::Nobody(failure.clone()),
        };
        let trace = Trace::new();
        let meeting = self.meet(address, host_keys, &trace);
        let link = match trace.within(bound, meeting).await {
            Some(Ok(link)) => link,
            Some(Err(Unproved::Nobody(failure))) => return Identity::Nobody(failure),
            Some(Err(Unproved::Unidentified(unidentified))) => {
                let stranger = unidentified.stranger(address.to_string(), host_keys);
                return stranger.map_or(Identity::Nobody(unidentified.failure), Identity::Stranger);
            }
            None => return Identity::Nobody(trace.expired()),
        };
        let proved = link.proved();
        link.close().await;
        match proved {
            // ssh may accept keys that nobody knows (StrictHostKeyChecking): they prove nothing.
            Some((_, Basis::Known)) => Identity::Same,
            proved => Identity::Stranger(Stranger {
                address: address.to_string().into(),
                reason: Reason::HostKeyMismatch,
                expected: host_keys.expected().join(", ").into(),
                actual: proved
                    .map(|(key, _)| describe(&key))
                    .unwrap_or_default()
                    .into(),
            }),
        }
    }

    async fn meet(
        &self,
        address: SocketAddr,
        host_keys: &Arc<HostKeys>,
        trace: &Trace,
    ) -> Result<Link, Unproved> {
        trace.enter(Stage::Connect);
        trace.at(address);
        let stream = connect::open(address).await.map_err(|error| {
            let failure = trace.failure(reason_of(&error), format!("{address}: {error}"));
            Unproved::Nobody(failure)
        })?;
        trace.enter(Stage::Banner);
        let (stream, listener) = (Box::new(stream), self.listener.clone());
        let mut notes = Notes::default();
        let met = exchange_keys(stream, host_keys, listener, trace, &mut notes).await;
        met.map_err(Unproved::Unidentified)
    }
}

/// The host keys that prove the builder.
fn identity(spec: &BuilderSpec, options: &SshOptions) -> Result<Arc<HostKeys>, Failure> {
    if options.proxy_command.is_some() {
        let why = "ssh_config reaches it through a proxy, and not by an address";
        return Err(unproved(Reason::SshConfigUnsupported, why));
    }
    let host_keys = expected::host_keys(spec, options);
    if host_keys.can_prove() {
        return Ok(Arc::new(host_keys));
    }
    if host_keys.unreadable.is_empty() {
        return Err(unproved(Reason::HostKeyUnknown, "no host key is known"));
    }
    let why = format!("only root may read {}", host_keys.unreadable.join(", "));
    Err(unproved(Reason::KnownHostsUnreadable, why))
}

fn unproved(reason: Reason, detail: impl Into<Printable>) -> Failure {
    Failure {
        stage: Stage::HostKey,
        reason,
        detail: detail.into(),
    }
}
