//! From nothing to an authenticated connection, stage by stage.

use std::path::PathBuf;

use offload_client::{
    Reason, Stage,
    snapshot::{BuilderFacts, Detail},
};
use russh::keys::PublicKey;

use super::{
    Notes,
    auth::Applicant,
    banner::{self, BannerError},
    host_key::{HostKeys, fingerprint},
    link::{End, Link, Listener, OpenError},
    proxy::Proxy,
    stream::Duplex,
};
use crate::{
    nix::{known_hosts, ssh_config::SshOptions},
    probe::{Failure, Trace, connect::connect, excerpt::excerpt as printable, resolve::Lookups},
    target::{Address, BuilderSpec, HostKeyRule},
};

/// One attempt to connect.
pub(super) struct Dial<'a> {
    /// Where to look, best first.
    pub addresses: &'a [Address],
    /// What Nix says of the builder.
    pub spec: &'a BuilderSpec,
    /// What ssh_config says of it.
    pub options: &'a SshOptions,
    /// What names are looked up with.
    pub lookups: &'a mut Lookups,
    /// How far the check has come.
    pub trace: &'a Trace,
}

impl Dial<'_> {
    /// Goes through all stages. What is learned on the way is noted even where a later one fails.
    pub(super) async fn run(
        &mut self,
        listener: Listener,
        notes: &mut Notes,
    ) -> Result<(Link, Option<Proxy>), Failure> {
        notes.note("user", self.options.user.as_str());
        if !self.options.unsupported.is_empty() {
            let unsupported = self.options.unsupported.clone();
            notes.note(super::DETAIL_UNSUPPORTED, Detail::List(unsupported));
        }
        let (stream, proxy) = self.stream(notes).await?;
        match self.converse(stream, listener, notes).await {
            Ok(link) => Ok((link, proxy)),
            Err(failure) => Err(match proxy {
                Some(proxy) => blame(failure, proxy).await,
                None => failure,
            }),
        }
    }

    /// Bytes to the builder's port: over TCP, or through ssh_config's proxy.
    async fn stream(
        &mut self,
        notes: &mut Notes,
    ) -> Result<(Box<dyn Duplex>, Option<Proxy>), Failure> {
        let Some(command) = &self.options.proxy_command else {
            let port = self.options.port;
            let (stream, _) = connect(&self.candidates(), port, self.lookups, self.trace).await?;
            return Ok((Box::new(stream), None));
        };
        notes.note("proxy", command.as_str());
        self.trace.enter(Stage::Connect);
        self.trace
            .at(format!("{}:{}", self.options.hostname, self.options.port));
        match Proxy::start(command) {
            Ok((proxy, stream)) => Ok((stream, Some(proxy))),
            Err(error) => Err(failure(Stage::Connect, Reason::ProxyFailed, error)),
        }
    }

    /// The addresses, the URI's own host replaced by what ssh_config makes of it.
    fn candidates(&self) -> Vec<Address> {
        let own = |address: &Address| Address {
            host: match address.host == self.spec.host {
                true => self.options.hostname.clone(),
                false => address.host.clone(),
            },
            port: address.port,
        };
        self.addresses.iter().map(own).collect()
    }

    /// Identification, key exchange and authentication.
    async fn converse(
        &self,
        mut stream: Box<dyn Duplex>,
        listener: Listener,
        notes: &mut Notes,
    ) -> Result<Link, Failure> {
        // Until something answers, a proxy is still connecting.
        if self.options.proxy_command.is_none() {
            self.trace.enter(Stage::Banner);
        }
        let banner = banner::exchange(&mut stream).await.map_err(|error| {
            let stage = match &error {
                BannerError::Closed(_) => self.trace.stage(),
                _ => Stage::Banner,
            };
            failure(stage, error.reason(), error)
        })?;
        let identification = printable(banner.identification.as_bytes(), super::DETAIL_MAX);
        notes.note("server_identification", identification);

        self.trace.enter(Stage::HostKey);
        let mut link = Link::open(stream, banner, self.host_keys(), listener)
            .await
            .map_err(|error| refused(error, notes))?;
        if let Some(key) = link.host_key() {
            notes.note("host_key_algorithm", key.algorithm().to_string());
            notes.learned = Some(self.learned(&key));
        }

        self.trace.enter(Stage::Auth);
        let applicant = Applicant {
            user: self.options.user.clone(),
            entry: self.spec.ssh_key.clone(),
            configured: self.options.identity_files.clone(),
        };
        match applicant.authenticate(&mut link, &mut notes.details).await {
            Ok(()) => Ok(link),
            Err(end) => {
                link.close().await;
                Err(ended(Stage::Auth, end))
            }
        }
    }

    /// The host keys that the builder may prove: our configuration's and no others, or those that
    /// ssh would find under the name that it looks for.
    fn host_keys(&self) -> HostKeys {
        let options = self.options;
        let (written, users): (_, &[PathBuf]) = match &self.spec.host_keys {
            HostKeyRule::Pinned(keys) => {
                return HostKeys {
                    known: keys.clone(),
                    accepted: options.host_key_algorithms.clone(),
                    ..HostKeys::default()
                };
            }
            HostKeyRule::KnownHosts => (None, &options.user_known_hosts_files),
            HostKeyRule::Written(text) => (Some(text.as_str()), &[]),
        };
        let files = [users, options.global_known_hosts_files.as_slice()];
        let (name, port) = options.known_hosts_name();
        let known = known_hosts::lookup(written, &files.concat(), name, port);
        let unreadable = known.unreadable.iter();
        let hint = written.and_then(|text| self.unheard(text));
        HostKeys {
            is_entrys: written.is_some() && hint.is_none(),
            unreadable: unreadable.map(|file| file.display().to_string()).collect(),
            hint,
            known: known.keys,
            revoked: known.revoked,
            has_authority: known.has_ca,
            of_another_port: known.without_port,
            strictness: options.strict_host_key_checking,
            accepted: options.host_key_algorithms.clone(),
        }
    }

    /// Why ssh does not find the entry's own host key in what Nix writes of it, where it does not.
    fn unheard(&self, written: &str) -> Option<String> {
        let (name, port) = self.options.known_hosts_name();
        let host = &self.spec.host;
        let finds = |name: &str, port| {
            let known = known_hosts::lookup_in([written].into_iter(), name, port);
            !known.keys.is_empty()
        };
        if finds(name, port) {
            None
        } else if finds(host, None) {
            Some(format!(
                "the public host key that Nix has is written down for {host}, and ssh looks for {name}"
            ))
        } else {
            Some("the public host key that Nix has is no 'type key' line".to_owned())
        }
    }

    fn learned(&self, host_key: &PublicKey) -> BuilderFacts {
        BuilderFacts {
            protocol: self.spec.protocol.as_str().into(),
            systems: self.spec.systems.clone(),
            features: self.spec.features.clone(),
            max_jobs: self.spec.max_jobs,
            speed_factor: self.spec.speed_factor,
            nix_version: String::new(),
            trusted: "unknown".into(),
            host_key_fingerprint: fingerprint(host_key),
        }
    }
}

fn failure(stage: Stage, reason: Reason, error: impl ToString) -> Failure {
    Failure {
        stage,
        reason,
        detail: error.to_string(),
    }
}

fn ended(stage: Stage, end: End) -> Failure {
    failure(stage, end.reason, end.detail)
}

/// The key exchange failed; of a host key that is refused, both sides are noted.
fn refused(error: OpenError, notes: &mut Notes) -> Failure {
    match error {
        OpenError::End(end) => ended(Stage::HostKey, end),
        OpenError::HostKey(refusal) => {
            notes.note("host_key_presented", refusal.presented.as_str());
            if !refusal.expected.is_empty() {
                let expected = refusal.expected.clone();
                notes.note("host_key_expected", Detail::List(expected));
            }
            if !refusal.unreadable.is_empty() {
                let unreadable = refusal.unreadable.clone();
                notes.note("known_hosts_unreadable", Detail::List(unreadable));
            }
            failure(Stage::HostKey, refusal.reason, refusal)
        }
    }
}

/// A connection that broke off may be its proxy's doing: that one's last words tell.
async fn blame(failure: Failure, mut proxy: Proxy) -> Failure {
    match failure.reason {
        Reason::ConnectionLost if failure.stage == Stage::Connect => Failure {
            reason: Reason::ProxyFailed,
            detail: proxy.last_words().await,
            ..failure
        },
        Reason::ConnectionLost => Failure {
            detail: format!("{}; {}", failure.detail, proxy.last_words().await),
            ..failure
        },
        _ => failure,
    }
}
