//! What each layer says of a target, side by side.

use offload_client::{
    Kind, Printable,
    snapshot::{Comparison, Placed},
};

use super::{Observed, Origin, Side, place::is_same_host};
use crate::nix::loaded::{Loaded, Read};

/// The comparisons of a target: address, key, user; none of what no layer speaks of.
pub(super) fn of_target(
    kind: Kind,
    origin: &Origin,
    loaded: &Loaded,
    seen: &Observed,
) -> Vec<Comparison> {
    let (declared, deployed) = (origin.declared.as_ref(), origin.deployed.as_ref());
    // It reads its files once: what changed since, it does not have.
    let is_known = loaded.stale.is_none() || matches!(loaded.read, Read::Before(_));
    let is_loaded = loaded.started.is_some() && is_known;
    let in_force = origin.in_force();
    let compare =
        |subject: &str, of: &dyn Fn(&Side) -> Option<String>, seen: Option<&Printable>| {
            let placed = |side: Option<&Side>| {
                let side = side?;
                Some(Placed {
                    value: of(side)?.into(),
                    source: side.source.as_str().into(),
                })
            };
            let deployed = placed(deployed);
            let comparison = Comparison {
                subject: subject.into(),
                declared: placed(declared),
                loaded: placed(in_force).filter(|_| is_loaded),
                deployed,
                observed: seen.map(|value| Placed {
                    value: value.clone(),
                    source: Printable::default(),
                }),
            };
            let says = [
                &comparison.declared,
                &comparison.deployed,
                &comparison.observed,
            ];
            says.iter()
                .any(|layer| layer.is_some())
                .then_some(comparison)
        };

    let others = [
        first_of(deployed),
        seen.address.as_deref(),
        first_of(declared),
    ];
    let others: Vec<&str> = others.into_iter().flatten().collect();
    let address = |side: &Side| {
        let address = pick(&side.addresses, &others, |a, b| {
            is_same_host(a, b) == Some(true)
        });
        address.map(|address| with_port_of_ssh_config(address, seen))
    };
    let declared_keys = declared
        .into_iter()
        .flat_map(|side| side.keys.iter().map(String::as_str));
    let keys: Vec<&str> = seen
        .key
        .as_deref()
        .into_iter()
        .chain(declared_keys)
        .collect();
    let key = |side: &Side| pick(&side.keys, &keys, |a, b| a == b);
    let user = |side: &Side| side.user.clone();
    let subject = match kind {
        Kind::Builder => "host-key",
        Kind::Cache => "signing-key",
    };
    [
        compare("address", &address, seen.address.as_ref()),
        compare(subject, &key, seen.key.as_ref()),
        compare("user", &user, None),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An address without a port has that of ssh_config, where it gives one, and not ssh's own.
fn with_port_of_ssh_config(address: String, seen: &Observed) -> String {
    let led = seen.ssh_config.as_deref();
    let port = led.and_then(|led| Some(led.rsplit_once(':')?.1));
    match (address.strip_suffix(":22"), port) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        _ => address,
    }
}

fn first_of(side: Option<&Side>) -> Option<&str> {
    side?.addresses.first().map(String::as_str)
}

/// Of several values the one that another layer has too, so that no difference is shown where there
/// is none; else the first.
fn pick(
    values: &[String],
    others: &[&str],
    is_same: impl Fn(&str, &str) -> bool,
) -> Option<String> {
    let shared = others.iter().find_map(|other| {
        let mut values = values.iter();
        values.find(|value| is_same(value, other))
    });
    shared.or(values.first()).cloned()
}
