//! The differences, each for itself: which of them follow from others is not asked here.

use std::collections::BTreeMap;

use offload_client::{
    Kind, Printable, WarningCode,
    snapshot::{Detail, Warning},
};

use super::{Observed, Origin, Side, Steering, order, place::is_same_host};
use crate::{
    nix::loaded::{Loaded, Read, Stale},
    report::Stranger,
    target::TargetId,
};

/// What differs between the layers of this machine, whatever the target.
pub(super) fn over_all(
    origins: &BTreeMap<TargetId, Origin>,
    loaded: &Loaded,
    observed: &BTreeMap<TargetId, Observed>,
) -> impl Iterator<Item = Warning> {
    let stale = loaded.stale.as_ref();
    // What is not known of it the plan warns of.
    let stale = stale.filter(|_| loaded.read != Read::Unknown);
    let stale = stale.map(|stale| outdated(WarningCode::DaemonConfigStale, loaded, stale));
    let all = [
        stale,
        order::fallback_off(origins),
        order::lan_cache_last(origins, observed),
    ];
    all.into_iter().flatten()
}

/// What its checks found that makes their verdict less than Nix's.
pub(super) fn option_ignored(id: &TargetId, seen: &Observed) -> Option<Warning> {
    let options = &seen.unsupported;
    (!options.is_empty()).then(|| Warning {
        code: WarningCode::SshOptionIgnored,
        target: Some((id.kind, id.name.clone())),
        details: BTreeMap::from([("option".into(), options.clone().into())]),
    })
}

/// What differs between the layers of one target.
pub(super) fn differences(id: &TargetId, origin: &Origin, seen: &Observed) -> Vec<Warning> {
    let one = Target { id, origin, seen };
    let single = [
        one.address_mismatch(),
        one.address_moved(),
        one.not_in_nix_conf(),
        one.ssh_config_mismatch(),
        one.host_key_not_known(),
        one.negative_cache_stale(),
        one.positive_cache_stale(),
        one.store_nearly_full(),
        one.not_steered(),
    ];
    single
        .into_iter()
        .flatten()
        .chain(one.strangers())
        .collect()
}

/// What keeps Nix from a target that passes its checks, each for itself.
pub(super) fn hindrances(
    id: &TargetId,
    origin: &Origin,
    seen: &Observed,
) -> impl Iterator<Item = Warning> {
    let one = Target { id, origin, seen };
    let all = [
        one.moved_to_what_is_deployed(),
        one.address_moved(),
        one.not_in_nix_conf(),
        one.host_key_not_known(),
    ];
    all.into_iter().flatten()
}

/// One target, seen from all sides.
struct Target<'a> {
    id: &'a TargetId,
    origin: &'a Origin,
    seen: &'a Observed,
}

impl Target<'_> {
    /// Which of the two is `wrong`, where the target answers now shows.
    fn address_mismatch(&self) -> Option<Warning> {
        let (declared, deployed) = (
            self.origin.declared.as_ref()?,
            self.origin.deployed.as_ref()?,
        );
        let (expected, actual) = (declared.addresses.first()?, deployed.addresses.first()?);
        if is_same_host(expected, actual) != Some(false) || names(declared, actual) {
            return None;
        }
        let seen = self.seen_now();
        // That the deployed one is wrong, its having moved says; unless Nix gets there all the same.
        let is_deployed = if self.seen.steered {
            seen.and_then(|seen| is_same_host(actual, seen)) == Some(true)
        } else {
            seen.is_some() && !self.seen.elsewhere
        };
        let wrong = if is_deployed { "declared" } else { "" };
        let mut warning = self.warning(WarningCode::AddressMismatch, expected, actual);
        let details = &mut warning.details;
        details.insert("wrong".into(), wrong.into());
        details.insert("declared_at".into(), declared.source.as_str().into());
        details.insert("deployed_at".into(), deployed.source.as_str().into());
        if let Some(seen) = seen {
            details.insert("observed".into(), seen.as_str().into());
        }
        Some(warning)
    }

    /// It answers, and not where Nix goes. What is declared may have it right, or have a third address.
    fn address_moved(&self) -> Option<Warning> {
        let deployed = self.origin.in_force()?;
        let seen = self.seen_now().filter(|_| self.seen.elsewhere)?;
        if self.moved_to_what_is_deployed().is_some() {
            return None;
        }
        let led = self.seen.ssh_config.as_deref();
        let expected = led.or(deployed.addresses.first().map(String::as_str))?;
        let source = match led {
            Some(_) => "ssh_config",
            None => &deployed.source,
        };
        let mut warning = self.warning(WarningCode::AddressMoved, expected, seen);
        let details = &mut warning.details;
        details.insert("deployed_at".into(), source.into());
        let declared = self.origin.declared.as_ref();
        let other = declared.and_then(|declared| Some((declared, declared.addresses.first()?)));
        let other = other.filter(|(_, address)| is_same_host(address, expected) == Some(false));
        if let Some((declared, address)) = other {
            // Of several that are declared, a rebuild brings the first.
            let wrong = match is_same_host(address, seen) {
                Some(true) => "deployed",
                Some(false) | None => "both",
            };
            details.insert("wrong".into(), wrong.into());
            details.insert("declared".into(), address.as_str().into());
            details.insert("declared_at".into(), declared.source.as_str().into());
        }
        Some(warning)
    }

    /// It answers where Nix's files have it, and nix-daemon has not read them.
    fn moved_to_what_is_deployed(&self) -> Option<Warning> {
        let loaded = self.origin.loaded.as_ref()?;
        let deployed = self.origin.deployed.as_ref()?;
        let seen = self.seen_now().filter(|_| self.seen.elsewhere)?;
        let (expected, actual) = (deployed.addresses.first()?, loaded.addresses.first()?);
        (is_same_host(expected, seen) == Some(true))
            .then(|| self.warning(WarningCode::DaemonConfigStale, expected, actual))
    }

    /// Where it answers now.
    fn seen_now(&self) -> Option<&Printable> {
        self.seen.address.as_ref().filter(|_| self.seen.passes)
    }

    fn not_in_nix_conf(&self) -> Option<Warning> {
        let line = self.origin.missing.as_deref()?;
        let mut warning = self.warning(WarningCode::NotInNixConf, &self.origin.uri, "");
        let details = &mut warning.details;
        details.insert("kind".into(), self.id.kind.as_str().into());
        details.insert("add".into(), line.into());
        if let Some(declared) = &self.origin.declared {
            details.insert("declared_at".into(), declared.source.as_str().into());
            if self.id.kind == Kind::Cache && !declared.keys.is_empty() {
                details.insert("keys".into(), declared.keys.join(" ").into());
            }
        }
        Some(warning)
    }

    /// ssh_config is held against the configuration, or else against an IP address that Nix is told.
    fn ssh_config_mismatch(&self) -> Option<Warning> {
        let actual = self.seen.ssh_config.as_deref()?;
        let declared = self.origin.declared.as_ref();
        let declared = declared.filter(|declared| !declared.addresses.is_empty());
        let side = declared.or(self.origin.deployed.as_ref())?;
        let expected = side.addresses.first()?;
        // The alias itself, in both places, is what ssh_config is there to translate.
        let is_alias = declared.is_none() && expected.parse::<std::net::SocketAddr>().is_err();
        let differs = is_same_host(expected, actual) == Some(false) && !names(side, actual);
        (differs && !is_alias)
            .then(|| self.warning(WarningCode::SshConfigMismatch, expected, actual))
    }

    fn host_key_not_known(&self) -> Option<Warning> {
        if self.seen.host_key_known != Some(false) {
            return None;
        }
        let line = self.origin.known_hosts.as_deref()?;
        let proved = self.seen.key.as_deref().unwrap_or_default();
        let mut warning = self.warning(WarningCode::HostKeyNotKnown, proved, "");
        let details = &mut warning.details;
        details.insert("known_hosts".into(), line.into());
        if let Some((_, key)) = line.split_once(' ') {
            let field = data_encoding::BASE64.encode(key.as_bytes());
            details.insert("public_host_key".into(), field.into());
        }
        Some(warning)
    }

    /// While the target itself is nowhere, a stranger is its reason, and no difference.
    fn strangers(&self) -> impl Iterator<Item = Warning> {
        let is_found = self.seen.passes;
        let elsewhere = move |stranger: &&Stranger| {
            is_found && self.seen.address.as_ref() != Some(&stranger.address)
        };
        let code = match self.id.kind {
            Kind::Builder => WarningCode::HostKeyMismatch,
            Kind::Cache => WarningCode::OtherCache,
        };
        self.seen.strangers.iter().filter(elsewhere).map(move |it| {
            let mut warning = self.warning(code, &it.expected, &it.actual);
            let details = &mut warning.details;
            details.insert("address".into(), it.address.as_str().into());
            details.insert("reason".into(), it.reason.as_str().into());
            if let Some(seen) = &self.seen.address {
                details.insert("observed".into(), seen.as_str().into());
            }
            warning
        })
    }

    fn negative_cache_stale(&self) -> Option<Warning> {
        self.counted(WarningCode::NegativeCacheStale, self.seen.stale_misses)
    }

    fn positive_cache_stale(&self) -> Option<Warning> {
        self.counted(WarningCode::PositiveCacheStale, self.seen.stale_hits)
    }

    /// So many there are of what there should be none of.
    fn counted(&self, code: WarningCode, count: u64) -> Option<Warning> {
        (count > 0).then(|| {
            let mut warning = self.warning(code, "", "");
            warning.details.insert("expected".into(), 0.into());
            warning.details.insert("actual".into(), count.into());
            warning
        })
    }

    fn store_nearly_full(&self) -> Option<Warning> {
        let free = self.seen.scarce.as_deref().filter(|_| self.seen.passes)?;
        Some(self.warning(WarningCode::StoreNearlyFull, "", free))
    }

    /// Steering is on, and Nix goes there by itself. Of a builder its check has shown the way.
    fn not_steered(&self) -> Option<Warning> {
        let Steering::Wanted(way) = &self.origin.steering else {
            return None;
        };
        self.origin.deployed.as_ref()?;
        let goes_by_itself = match self.id.kind {
            Kind::Cache => true,
            Kind::Builder => self.seen.passes && !self.seen.steered,
        };
        goes_by_itself.then(|| self.warning(WarningCode::NotSteered, way, &self.origin.uri))
    }

    fn warning(&self, code: WarningCode, expected: &str, actual: &str) -> Warning {
        let mut warning = warning(code, expected.into(), actual.into());
        warning.target = Some((self.id.kind, self.id.name.clone()));
        let uri = self.origin.uri.as_str().into();
        warning.details.insert("uri".into(), uri);
        warning
    }
}

/// Whether one of its addresses is `address`'s host.
fn names(side: &Side, address: &str) -> bool {
    let mut addresses = side.addresses.iter();
    addresses.any(|known| is_same_host(known, address) == Some(true))
}

/// nix-daemon has not read a file as it is.
pub fn outdated(code: WarningCode, loaded: &Loaded, stale: &Stale) -> Warning {
    let started = loaded.started.unwrap_or_default();
    let mut warning = warning(code, stale.changed.into(), started.into());
    let file = stale.file.display().to_string().into();
    warning.details.insert("file".into(), file);
    warning
        .details
        .insert("changed".into(), stale.changed.into());
    warning.details.insert("started".into(), started.into());
    warning
}

pub(super) fn warning(code: WarningCode, expected: Detail, actual: Detail) -> Warning {
    Warning {
        code,
        target: None,
        details: BTreeMap::from([("expected".into(), expected), ("actual".into(), actual)]),
    }
}
