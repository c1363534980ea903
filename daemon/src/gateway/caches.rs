//! The caches as the gateway needs them: what is watched, with what is known of it now.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use offload_client::{
    TargetState,
    snapshot::{CacheFacts, Facts, Target},
};

use crate::{
    clock::Now,
    monitor::Handle,
    nix::netrc::Login,
    reason::{self, Weight, Who},
    target::{CacheSpec, SpecKind, TargetId},
};

/// A cache, now.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    pub(super) id: TargetId,
    /// What is configured.
    pub(super) spec: CacheSpec,
    /// Where it answered last.
    pub(super) address: Option<SocketAddr>,
    /// Whether Nix may be led there.
    pub(super) is_usable: bool,
    /// Whether it is not there.
    pub(super) is_down: bool,
    /// Whether a check may show that it can be used after all.
    pub(super) may_be_back: bool,
    /// When it was last checked, in microseconds of `CLOCK_REALTIME`.
    last_check: u64,
    /// When a check last passed, likewise.
    last_success: u64,
    /// How long that took.
    pub(super) latency: Duration,
    /// What it says of itself; empty before it was asked.
    pub(super) facts: CacheFacts,
}

/// Those that `monitor` watches, in their order, which is Nix's.
pub(super) fn caches(monitor: &Handle) -> Vec<Cache> {
    let (specs, snapshot) = (monitor.specs(), monitor.snapshot());
    let specs = specs.borrow();
    let caches = specs.iter().filter_map(|spec| match &spec.kind {
        SpecKind::Cache(cache) => Some((&spec.id, cache)),
        SpecKind::Builder(_) => None,
    });
    let known = caches.filter_map(|(id, spec)| {
        let mut targets = snapshot.targets.iter();
        let target = targets.find(|it| it.kind == id.kind && it.name == id.name)?;
        Some(Cache::new(id, spec, target))
    });
    known.collect()
}

impl Cache {
    fn new(id: &TargetId, spec: &CacheSpec, target: &Target) -> Self {
        Self {
            id: id.clone(),
            spec: spec.clone(),
            address: target.address.parse().ok(),
            is_usable: is_usable(target),
            is_down: target.state == TargetState::Down && target.consecutive_failures > 0,
            may_be_back: matches!(target.state, TargetState::Down | TargetState::Unknown),
            last_check: target.last_check_timestamp,
            last_success: target.last_success_timestamp,
            latency: Duration::from_micros(target.latency_usec),
            facts: match &target.facts {
                Facts::Cache(facts) => facts.clone(),
                Facts::Builder(_) => CacheFacts::default(),
            },
        }
    }

    /// How long ago it was last checked.
    pub(super) fn age(&self, now: Now) -> Duration {
        Duration::from_micros(now.realtime_usec.saturating_sub(self.last_check))
    }

    /// Whether a check has ended since then, in microseconds of `CLOCK_REALTIME`.
    pub(super) const fn was_checked_since(&self, then: u64) -> bool {
        self.last_check >= then
    }

    /// Whether a check has passed since then, likewise.
    pub(super) const fn has_passed_since(&self, then: u64) -> bool {
        self.last_success >= then
    }

    /// The same where it has shown who it is, and no check has passed yet: no login goes there.
    pub(super) fn found_at(&self, address: SocketAddr) -> Self {
        let mut found = self.clone();
        found.address = Some(address);
        if found.spec.login != Login::None {
            found.spec.login = Login::NotVisible;
        }
        found
    }

    /// Whether its own URL names the address at which it is; nothing where a name would have to be looked up.
    pub(super) fn is_named_by(&self, address: SocketAddr) -> Option<bool> {
        let host: IpAddr = self.spec.host.parse().ok()?;
        Some(host == address.ip() && self.spec.port == address.port())
    }

    /// Its URL as it is configured, with `path` behind it: logins and certificates go by that host.
    pub(super) fn own_url(&self, path: &str) -> String {
        let (scheme, default) = if self.spec.tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let host = &self.spec.host;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let port = match self.spec.port {
            port if port == default => String::new(),
            port => format!(":{port}"),
        };
        format!("{scheme}://{host}{port}{}{path}", self.spec.path)
    }

    /// The same at another address, which no certificate could prove.
    pub(super) fn url_at(&self, address: SocketAddr, path: &str) -> String {
        format!("http://{address}{}{path}", self.spec.path)
    }

    /// The value of `Host` that it knows itself by.
    pub(super) fn authority(&self) -> String {
        let url = self.own_url("");
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest).to_owned()
    }
}

/// Not what may be another machine's. What Nix itself is kept from for its own reasons, or could tell and we can't,
/// Nix may find out.
fn is_usable(target: &Target) -> bool {
    let traits = reason::traits(target.reason);
    match target.state {
        TargetState::Ready => true,
        TargetState::Degraded => traits.who == Who::Own,
        TargetState::Unknown => traits.weight == Weight::Withheld,
        // What has passed its last check is on its way up.
        TargetState::Down => target.consecutive_failures == 0,
        TargetState::Away | TargetState::Paused => false,
    }
}

#[cfg(test)]
mod tests {
    use offload_client::Reason;

    use super::*;

    #[test]
    fn nix_is_led_to_what_is_the_cache_and_can_be_used() {
        use TargetState::{Away, Degraded, Down, Paused, Ready, Unknown};
        for (state, reason, is) in [
            (Ready, Reason::None, true),
            (Degraded, Reason::NotInNixConf, true),
            (Degraded, Reason::NarMissing, true),
            (Unknown, Reason::Redirected, true),
            (Unknown, Reason::None, false),
            (Degraded, Reason::CaptivePortal, false),
            (Degraded, Reason::UntrustedSignature, false),
            (Degraded, Reason::StoreDirMismatch, false),
            (Degraded, Reason::TlsFailed, false),
            (Away, Reason::NoRoute, false),
            (Paused, Reason::Paused, false),
        ] {
            let target = Target {
                state,
                reason,
                ..Target::default()
            };
            assert_eq!(is_usable(&target), is, "{state} {reason}");
        }
        let mut down = Target {
            state: Down,
            consecutive_failures: 1,
            ..Target::default()
        };
        assert!(!is_usable(&down));
        down.consecutive_failures = 0;
        assert!(is_usable(&down));
    }
}
