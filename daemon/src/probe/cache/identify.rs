//! Whether the cache is at some address: `nix-cache-info` and a signature.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use offload_client::{Reason, Stage};
use tokio_rustls::rustls::ClientConfig;

use super::{Session, redirect::Follow, tls};
use crate::{
    config::Connection,
    health::Depth,
    nix::netrc::Login,
    probe::{Context, Identity},
    report::{Failure, Learned},
    target::{Address, SpecKind, TargetSpec, is_own_key},
};

/// What a cache is known by: its keys, but for that of the public cache, whose paths anybody may
/// serve. Who knows which key a cache has signed with names that one alone in the specification.
pub struct Identifier {
    spec: TargetSpec,
    context: Arc<Context>,
    authorities: Option<Arc<ClientConfig>>,
    /// Why nothing could prove who it is.
    unprovable: Option<Failure>,
}

impl Identifier {
    /// Of the cache `spec`. It may read the authorities' certificates.
    pub fn new(spec: &TargetSpec, context: &Arc<Context>) -> Self {
        let mut identifier = Self {
            spec: spec.clone(),
            context: context.clone(),
            authorities: None,
            unprovable: None,
        };
        let SpecKind::Cache(cache) = &mut identifier.spec.kind else {
            identifier.unprovable = Some(unproved(Reason::NotConfigured, "not a cache"));
            return identifier;
        };
        // What Nix takes without a signature, or perhaps by a key of its own, proves nothing.
        cache.require_sigs = true;
        cache.has_own_keys = false;
        cache.unread = None;
        if !cache.tls && cache.login != Login::None {
            // It is not for whoever may be at an address.
            cache.login = Login::NotVisible;
        }
        if !cache.has_identity() {
            let why = "no key but the public cache's is trusted for it";
            identifier.unprovable = Some(unproved(Reason::UntrustedSignature, why));
        } else if cache.tls {
            match tls::load(cache.ssl_cert_file.as_deref()) {
                Ok(authorities) => identifier.authorities = Some(authorities),
                Err(error) => {
                    identifier.unprovable = Some(Failure {
                        stage: Stage::Tls,
                        reason: error.reason(),
                        detail: error.to_string().into(),
                    });
                }
            }
        }
        identifier
    }

    /// Whether the cache is at `address`, within `bound`: one connection, unless the cache closes it
    /// after each answer.
    pub async fn identify(&self, address: SocketAddr, bound: Duration) -> Identity {
        if let Some(failure) = &self.unprovable {
            return Identity::Nobody(failure.clone());
        }
        let spec = TargetSpec {
            addresses: vec![Address::from(address)],
            ..self.spec.clone()
        };
        let context = Context {
            timeout: bound,
            deep_timeout: bound,
            connection: Connection::PerCheck,
            ..Context::clone(&self.context)
        };
        let mut session = Session::new(Arc::new(spec), Arc::new(context));
        session.authorities.clone_from(&self.authorities);
        session.follows = Follow::Nobody;
        let report = session.look(Depth::Deep).await;
        match report.outcome {
            Ok(Stage::Signature) => match &report.facts {
                Some(Learned::Cache(facts)) if is_own_key(&facts.signing_key) => Identity::Same,
                _ => {
                    let why = "what it serves is signed by the public cache alone";
                    Identity::Nobody(unproved(Reason::UntrustedSignature, why))
                }
            },
            Ok(_) => {
                let why = "it has none of this machine's paths that could prove it";
                Identity::Nobody(unproved(Reason::Unsigned, why))
            }
            Err(failure) => {
                let stranger = report.strangers.unwrap_or_default().into_iter().next();
                stranger.map_or(Identity::Nobody(failure), Identity::Stranger)
            }
        }
    }
}

fn unproved(reason: Reason, detail: &str) -> Failure {
    Failure {
        stage: Stage::Signature,
        reason,
        detail: detail.into(),
    }
}
