//! From nothing to an authenticated connection, stage by stage.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use offload_client::{Printable, Reason, Stage, snapshot::BuilderFacts};
use russh::keys::PublicKey;
use tokio::select;

use super::{
    Notes,
    auth::Authenticator,
    expected,
    host_key::{Basis, HostKeys, fingerprint},
    key_exchange::{Unidentified, exchange_keys},
    link::{Link, Listener},
    note_option,
    proxy::Proxy,
    session,
    stream::Duplex,
};
use crate::{
    files::Reachable,
    helper::Helper,
    net,
    nix::ssh_config::{AddressFamily, SshOptions},
    probe::{
        Trace,
        connect::{Race, Source, Way, patience},
        fault::reason_of_start,
        resolve::Lookups,
    },
    reason::traits,
    report::Failure,
    target::{Address, BuilderSpec, HostKeyRule},
};

/// What ssh takes where neither the URI nor ssh_config names a port.
const DEFAULT_PORT: u16 = 22;

/// One attempt to connect.
pub(super) struct Dial<'a> {
    /// Where to look, best first.
    pub addresses: &'a [Address],
    /// What Nix says of the builder.
    pub spec: &'a BuilderSpec,
    /// What ssh_config says of it.
    pub options: &'a SshOptions,
    /// What names are looked up with.
    pub lookups: &'a Lookups,
    /// How far the check has come.
    pub trace: &'a Trace,
    /// How long all of it may take; who calls sees to that.
    pub bound: Duration,
}

impl Dial<'_> {
    /// Goes through all stages. What is learned on the way is noted even where a later one fails.
    pub(super) async fn run(
        &mut self,
        listener: Listener,
        notes: &mut Notes,
    ) -> Result<(Link, Option<Proxy>), Failure> {
        self.preface(notes);
        match &self.options.proxy_command {
            None => Ok((self.directly(listener, notes).await?, None)),
            Some(command) => {
                let (link, proxy) = self.by_proxy(command, listener, notes).await?;
                Ok((link, Some(proxy)))
            }
        }
    }

    /// What is known before anybody was asked.
    fn preface(&self, notes: &mut Notes) {
        let options = self.options;
        notes.note("user", options.user.as_str());
        if options.steered {
            notes.note("steered", true);
            notes.signs.steered = true;
        }
        if !options.unsupported.is_empty() {
            let unsupported = options.unsupported.clone();
            notes.note("ssh_config_unsupported", unsupported);
            let unsupported = options.unsupported.iter();
            notes.signs.unsupported = unsupported.map(|option| option.as_str().into()).collect();
        }
        let is_same_host = options.hostname.eq_ignore_ascii_case(&self.spec.host);
        if !is_same_host || options.port != self.spec.port.unwrap_or(DEFAULT_PORT) {
            notes.note("ssh_config_host", self.ssh_config_host());
            notes.signs.ssh_config = Some(self.ssh_config_host().into());
        }
    }

    /// Over TCP, to the first of the addresses that proves the host key: who answers at another
    /// without proving it is noted, and gets no more than the key exchange. While others are left, it
    /// gets but a part of the time for that. From then on there is no way back: what the builder itself
    /// rejects it rejects at every address.
    async fn directly(&mut self, listener: Listener, notes: &mut Notes) -> Result<Link, Failure> {
        let way = self.way();
        let mut race = Race::new(&self.candidates(), self.options.port).by(way);
        if !self.options.steered {
            race.wait_for_first(self.bound);
        }
        let mut host_keys = None;
        let until = self.trace.elapsed() + self.bound;
        loop {
            let (stream, address) = match race.next(self.lookups, self.trace).await {
                Ok(connected) => connected,
                Err(failure) => {
                    if failure.reason == Reason::SshConfigPrevents {
                        note_option(&mut notes.details, &way_option(&way));
                    }
                    return Err(failure);
                }
            };
            self.trace.enter(Stage::Banner);
            // Read when somebody answers, and once.
            let host_keys = &*host_keys.get_or_insert_with(|| self.host_keys());
            let host_keys = &if self.is_unchecked(address) {
                Arc::new(HostKeys {
                    is_unchecked: true,
                    ..HostKeys::clone(host_keys)
                })
            } else {
                host_keys.clone()
            };
            let stream: Box<dyn Duplex> = Box::new(stream);
            let exchange = exchange_keys(stream, host_keys, listener.clone(), self.trace, notes);
            let met = if race.is_open() {
                let left = until.saturating_sub(self.trace.elapsed());
                let met = self.trace.within(patience(left), exchange).await;
                met.unwrap_or_else(|| Err(Unidentified::mute(self.trace.stage())))
            } else {
                exchange.await
            };
            match met {
                Ok(link) => {
                    // Where Nix is steered it goes where we go.
                    notes.elsewhere = !self.options.steered && !race.is_first(address);
                    return self.enter(link, notes).await;
                }
                Err(unidentified) => {
                    if !race.is_open() && !traits(unidentified.failure.reason).is_of_identity() {
                        return Err(self.trace.told_before(unidentified.failure));
                    }
                    self.reject(unidentified, address.to_string(), host_keys, notes);
                    self.preface(notes);
                }
            }
        }
    }

    /// Through ssh_config's proxy, which is the only way there is.
    async fn by_proxy(
        &self,
        command: &str,
        listener: Listener,
        notes: &mut Notes,
    ) -> Result<(Link, Proxy), Failure> {
        notes.note("proxy", command);
        notes.signs.proxied = true;
        let trace = self.trace;
        // It is connecting until something answers.
        trace.enter(Stage::Connect);
        trace.at(self.ssh_config_host());
        let (proxy, stream) = self.start(command).await?;
        let host_keys = self.host_keys();
        let entered = match exchange_keys(stream, &host_keys, listener, trace, notes).await {
            Ok(link) => self.enter(link, notes).await,
            Err(unidentified) => {
                let stranger = unidentified.stranger(self.ssh_config_host(), &host_keys);
                notes.strangers.extend(stranger);
                Err(unidentified.failure)
            }
        };
        match entered {
            Ok(link) => Ok((link, proxy)),
            Err(failure) => Err(with_last_words(failure, proxy).await),
        }
    }

    /// Starts ssh_config's proxy. What keeps the helper from it need not keep root's ssh from it.
    async fn start(&self, command: &str) -> Result<(Proxy, Box<dyn Duplex>), Failure> {
        let helper = Helper::of_this_machine().filter(|_| self.options.proxy_is_roots);
        let (started, reason) = match helper {
            Some(helper) => {
                let started = Proxy::of_root(&helper, self.spec.store()).await;
                (started, Reason::SshConfigUnsupported)
            }
            None => (Proxy::start(command), Reason::ProxyFailed),
        };
        started.map_err(|error| Failure {
            stage: Stage::Connect,
            reason: reason_of_start(&error, reason),
            detail: error.to_string().into(),
        })
    }

    /// Notes who answered at `address`, for the next one to be tried.
    fn reject(
        &self,
        unidentified: Unidentified,
        address: String,
        host_keys: &HostKeys,
        notes: &mut Notes,
    ) {
        let stranger = unidentified.stranger(address.clone(), host_keys);
        notes.strangers.extend(stranger);
        let is_told = self.trace.note(unidentified.failure, Some(address));
        notes.start_next(is_told);
    }

    /// Authenticates, now that the host key is proved.
    async fn enter(&self, mut link: Link, notes: &mut Notes) -> Result<Link, Failure> {
        self.trace.settle();
        notes.preferred = None;
        if let Some((key, basis)) = link.proved() {
            notes.note("host_key_algorithm", key.algorithm().to_string());
            let known = expected::is_known_to_ssh(self.spec, self.options, &key);
            if let Some(known) = known {
                notes.note("host_key_known", known);
            }
            notes.signs.host_key_known = known;
            notes.signs.proved = basis == Basis::Known;
            notes.note("host_key_proved", notes.signs.proved);
            notes.learned = Some(self.learned(&key));
        }
        self.trace.enter(Stage::Auth);
        let authenticator = Authenticator {
            entry: self.spec.ssh_key.as_deref(),
            options: self.options,
            has_agent: self.spec.has_agent,
            files: Reachable::for_store(self.spec.store()),
        };
        let mut shown = link.shown();
        let authenticated = {
            let login = authenticator.authenticate(&mut link, &mut notes.details);
            let mut login = pin!(login);
            loop {
                select! {
                    biased;
                    outcome = &mut login => break outcome,
                    text = shown.next() => notes.shown = text,
                }
            }
        };
        if authenticated.is_ok() {
            notes.shown = Printable::default();
        }
        match authenticated {
            Ok(()) => match session::after(&self.options.demands, notes) {
                Ok(()) => Ok(link),
                Err(failure) => {
                    link.close().await;
                    Err(failure)
                }
            },
            Err(end) => {
                link.close().await;
                Err(Failure {
                    stage: Stage::Auth,
                    reason: end.reason,
                    detail: end.detail,
                })
            }
        }
    }

    /// The addresses, the URI's own host replaced by what ssh_config makes of it.
    fn candidates(&self) -> Vec<Address> {
        let own = |address: &Address| Address {
            host: if address.host == self.spec.host {
                self.options.hostname.clone()
            } else {
                address.host.clone()
            },
            port: address.port,
        };
        self.addresses.iter().map(own).collect()
    }

    /// How ssh would connect.
    fn way(&self) -> Way {
        let family = self.options.address_family;
        Way {
            is_ipv6: family.map(|family| family == AddressFamily::Inet6),
            from: self.source(),
        }
    }

    /// Where it would connect from.
    fn source(&self) -> Source {
        match (
            self.options.bind_address,
            &self.options.demands.bind_interface,
        ) {
            (Some(address), _) => Source::Address(address),
            // Where the kernel does not tell, the route has the last word.
            (None, Some(name)) => match net::addresses_of(name) {
                Ok(own) => Source::Interface(own.unwrap_or_default()),
                Err(_) => Source::Any,
            },
            (None, None) => Source::Any,
        }
    }

    fn host_keys(&self) -> Arc<HostKeys> {
        Arc::new(expected::host_keys(self.spec, self.options))
    }

    /// Whether ssh takes any key of a host at `address` (`check_host_key` in OpenSSH's sshconnect.c).
    fn is_unchecked(&self, address: SocketAddr) -> bool {
        self.options.no_host_authentication_for_localhost
            && self.options.host_key_alias.is_none()
            // Of what a proxy command dialled it does not know the address.
            && !self.options.steered
            && address.ip().is_loopback()
            && !matches!(self.spec.host_keys, HostKeyRule::Pinned(_))
    }

    /// Where ssh would connect.
    fn ssh_config_host(&self) -> String {
        let address = Address {
            host: self.options.hostname.clone(),
            port: Some(self.options.port),
        };
        address.to_string()
    }

    fn learned(&self, host_key: &PublicKey) -> BuilderFacts {
        BuilderFacts {
            protocol: self.spec.protocol.as_str().into(),
            systems: self.spec.systems.clone(),
            features: self.spec.features.clone(),
            max_jobs: self.spec.max_jobs,
            speed_factor: self.spec.speed_factor,
            nix_version: Printable::default(),
            trusted: "unknown".into(),
            host_key_fingerprint: fingerprint(host_key).into(),
        }
    }
}

/// What ssh_config has that allows of no way.
fn way_option(way: &Way) -> String {
    match (way.from, way.is_ipv6) {
        (Source::Address(from), _) => format!("bindaddress {from}"),
        (Source::Interface(_), _) => "bindinterface".to_owned(),
        (Source::Any, Some(true)) => "addressfamily inet6".to_owned(),
        (Source::Any, _) => "addressfamily inet".to_owned(),
    }
}

/// A connection that broke off may be its proxy's doing: that one's last words tell.
async fn with_last_words(failure: Failure, mut proxy: Proxy) -> Failure {
    match failure.reason {
        Reason::ConnectionLost if failure.stage == Stage::Connect => Failure {
            reason: Reason::ProxyFailed,
            detail: proxy.last_words().await.into(),
            ..failure
        },
        Reason::ConnectionLost => Failure {
            detail: format!("{}; {}", failure.detail, proxy.last_words().await).into(),
            ..failure
        },
        _ => failure,
    }
}
