//! Which differences follow from others: only root causes are shown.

use std::collections::BTreeMap;

use offload_client::{
    Kind, Printable, WarningCode,
    snapshot::{Detail, Warning},
};

use super::{Origin, place::is_same_host};
use crate::target::TargetId;

/// How what follows is tied to its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// Whatever it is about.
    Machine,
    /// Where it is about a target of this kind.
    Kind(Kind),
    /// Where both are about one target.
    Target,
    /// Where it is about a cache, and the root says the same of the builder on the same machine.
    Host,
}

/// What follows from what: (what follows, its root, where). There is no circle in it, so that what is
/// hidden always has a root that is shown.
const TABLE: &[(WarningCode, WarningCode, Tie)] = {
    use Kind::{Builder, Cache};
    use WarningCode::*;
    &[
        // Nix reads none of it while a line of it is broken.
        (BuildersDisabled, NixConfBroken, Tie::Machine),
        (DaemonConfigStale, NixConfBroken, Tie::Machine),
        (DaemonConfigUnknown, NixConfBroken, Tie::Machine),
        (FallbackOff, NixConfBroken, Tie::Machine),
        (LanCacheLast, NixConfBroken, Tie::Machine),
        (NotInNixConf, NixConfBroken, Tie::Machine),
        (KeyNotTrusted, NixConfBroken, Tie::Machine),
        (AddressMismatch, NixConfBroken, Tie::Kind(Cache)),
        (AddressMoved, NixConfBroken, Tie::Kind(Cache)),
        (StoreElsewhere, NixConfBroken, Tie::Machine),
        // Nix does nothing here.
        (MachinesFileBroken, StoreElsewhere, Tie::Machine),
        (BuildersDisabled, StoreElsewhere, Tie::Machine),
        (SubstitutionOff, StoreElsewhere, Tie::Machine),
        (SshMissing, StoreElsewhere, Tie::Machine),
        (ForeignBuildHook, StoreElsewhere, Tie::Machine),
        (FallbackOff, StoreElsewhere, Tie::Machine),
        (LanCacheLast, StoreElsewhere, Tie::Machine),
        (NotInNixConf, StoreElsewhere, Tie::Machine),
        (KeyNotTrusted, StoreElsewhere, Tie::Machine),
        (AddressMismatch, StoreElsewhere, Tie::Machine),
        (AddressMoved, StoreElsewhere, Tie::Machine),
        (ForeignBuildHook, BuildersDisabled, Tie::Machine),
        // Nix has no builders at all.
        (BuildersDisabled, MachinesFileBroken, Tie::Machine),
        (NotInNixConf, MachinesFileBroken, Tie::Kind(Builder)),
        (AddressMismatch, MachinesFileBroken, Tie::Kind(Builder)),
        (NotInNixConf, BuildersDisabled, Tie::Kind(Builder)),
        (SshMissing, BuildersDisabled, Tie::Machine),
        // Its key comes with it.
        (KeyNotTrusted, NotInNixConf, Tie::Target),
        // Nix has no caches at all.
        (NotInNixConf, SubstitutionOff, Tie::Kind(Cache)),
        (KeyNotTrusted, SubstitutionOff, Tie::Kind(Cache)),
        // Which of them is wrong, where it is really shows.
        (AddressMismatch, AddressMoved, Tie::Target),
        (SshConfigMismatch, AddressMoved, Tie::Target),
        (SshConfigMismatch, AddressMismatch, Tie::Target),
        // The remedy is one setting.
        (FallbackOff, LanCacheLast, Tie::Machine),
        // A machine that moved took its cache along.
        (AddressMismatch, AddressMismatch, Tie::Host),
        (AddressMoved, AddressMoved, Tie::Host),
    ]
};

/// Which of `warnings` follow from another of them, in their order.
pub(super) fn hidden(warnings: &[Warning], origins: &BTreeMap<TargetId, Origin>) -> Vec<bool> {
    let mut known = BTreeMap::<WarningCode, BTreeMap<_, Vec<&Warning>>>::new();
    for warning in warnings {
        let of_code = known.entry(warning.code).or_default();
        of_code
            .entry(warning.target.as_ref())
            .or_default()
            .push(warning);
    }
    let follows = |one: &Warning| {
        let mut rows = TABLE.iter().filter(|(code, ..)| *code == one.code);
        rows.any(|(_, root, tie)| {
            let Some(roots) = known.get(root) else {
                return false;
            };
            match tie {
                Tie::Machine => true,
                Tie::Kind(kind) => one.target.as_ref().is_some_and(|(of, _)| of == kind),
                Tie::Target => one.target.is_some() && roots.contains_key(&one.target.as_ref()),
                Tie::Host => {
                    let Some(builder) = host(one, origins) else {
                        return false;
                    };
                    let mut roots = roots.get(&Some(&builder)).into_iter().flatten();
                    roots.any(|root| is_same_move(one, root))
                }
            }
        })
    };
    warnings.iter().map(follows).collect()
}

/// The builder on the same machine, where `one` is about a cache.
fn host(one: &Warning, origins: &BTreeMap<TargetId, Origin>) -> Option<(Kind, Printable)> {
    let (Kind::Cache, cache) = one.target.as_ref()? else {
        return None;
    };
    let host = origins.get(&TargetId::cache(cache))?.host.as_ref()?;
    Some((host.kind, host.name.clone()))
}

/// Whether both go from one host to one host, whatever the ports.
fn is_same_move(one: &Warning, root: &Warning) -> bool {
    ["expected", "actual"].into_iter().all(|key| {
        let texts = (one.details.get(key), root.details.get(key));
        let (Some(Detail::Text(one)), Some(Detail::Text(root))) = texts else {
            return false;
        };
        is_same_host(one, root) == Some(true)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn about(code: WarningCode, target: Option<(Kind, &str)>) -> Warning {
        Warning {
            code,
            target: target.map(|(kind, name)| (kind, name.into())),
            details: BTreeMap::from([
                ("expected".into(), "192.0.2.7:1".into()),
                ("actual".into(), "192.0.2.6:1".into()),
            ]),
        }
    }

    /// A cache and a builder on each of two machines.
    fn origins() -> BTreeMap<TargetId, Origin> {
        let cache = |name| {
            let origin = Origin {
                host: Some(TargetId::builder(name)),
                ..Origin::default()
            };
            (TargetId::cache(name), origin)
        };
        [cache("a"), cache("b")].into()
    }

    fn shown(warnings: &[Warning]) -> Vec<&Warning> {
        let hidden = hidden(warnings, &origins());
        let all = warnings.iter().zip(hidden);
        all.filter_map(|(warning, hidden)| (!hidden).then_some(warning))
            .collect()
    }

    #[test]
    fn what_follows_is_hidden_and_what_does_not_is_shown() {
        use Kind::{Builder, Cache};
        use WarningCode::*;
        let (cache, builder) = (Some((Cache, "a")), Some((Builder, "a")));
        for (code, target, root, root_target, is_shown) in [
            (NotInNixConf, cache, NixConfBroken, None, false),
            (AddressMoved, cache, NixConfBroken, None, false),
            (AddressMoved, builder, NixConfBroken, None, true),
            (HostKeyNotKnown, builder, NixConfBroken, None, true),
            (AddressMismatch, builder, MachinesFileBroken, None, false),
            (AddressMismatch, cache, MachinesFileBroken, None, true),
            (NotInNixConf, builder, BuildersDisabled, None, false),
            (NotInNixConf, cache, BuildersDisabled, None, true),
            (KeyNotTrusted, cache, NotInNixConf, cache, false),
            (KeyNotTrusted, cache, NotInNixConf, Some((Cache, "b")), true),
            (AddressMismatch, cache, AddressMoved, cache, false),
            (AddressMismatch, cache, AddressMoved, builder, true),
            (NotInNixConf, cache, SubstitutionOff, None, false),
            (NotInNixConf, builder, SubstitutionOff, None, true),
            (SshConfigMismatch, builder, AddressMoved, builder, false),
            (SshConfigMismatch, builder, AddressMismatch, builder, false),
            (FallbackOff, None, LanCacheLast, cache, false),
            (AddressMismatch, cache, AddressMismatch, builder, false),
            (
                AddressMismatch,
                cache,
                AddressMismatch,
                Some((Builder, "b")),
                true,
            ),
            (AddressMoved, cache, AddressMoved, builder, false),
        ] {
            let warnings = [about(code, target), about(root, root_target)];
            let shown = shown(&warnings);
            assert_eq!(shown.contains(&&warnings[0]), is_shown, "{code} {root}");
            assert!(shown.contains(&&warnings[1]), "{code} {root}");
        }
    }

    #[test]
    fn a_cache_that_went_elsewhere_than_its_builder_is_told_itself() {
        let builder = about(WarningCode::AddressMoved, Some((Kind::Builder, "a")));
        let mut cache = about(WarningCode::AddressMoved, Some((Kind::Cache, "a")));
        let elsewhere = "192.0.2.9:1".into();
        cache.details.insert("actual".into(), elsewhere);
        assert_eq!(shown(&[cache, builder]).len(), 2);
    }

    fn warning() -> impl Strategy<Value = Warning> {
        let target = prop::sample::select(vec![
            None,
            Some((Kind::Cache, "a")),
            Some((Kind::Cache, "b")),
            Some((Kind::Builder, "a")),
            Some((Kind::Builder, "b")),
        ]);
        let code = prop::sample::select(WarningCode::ALL.to_vec());
        (code, target).prop_map(|(code, target)| about(code, target))
    }

    /// Whether a root of `one`, or a root of its roots, is shown.
    fn is_explained(one: &Warning, all: &[Warning], depth: usize) -> bool {
        let shown = shown(all);
        let rows = TABLE.iter().filter(|(code, ..)| *code == one.code);
        depth > 0
            && rows.into_iter().any(|(_, code, _)| {
                let mut roots = all.iter().filter(|root| root.code == *code);
                roots.any(|root| {
                    hidden(&[root.clone(), one.clone()], &origins()).ends_with(&[true])
                        && (shown.contains(&root) || is_explained(root, all, depth - 1))
                })
            })
    }

    proptest! {
        #[test]
        fn what_is_hidden_has_a_root_that_is_shown(all in prop::collection::vec(warning(), 1..12)) {
            let hidden = hidden(&all, &origins());
            prop_assert!(hidden.contains(&false), "nothing is shown of {:?}", all);
            for (one, _) in all.iter().zip(&hidden).filter(|(_, hidden)| **hidden) {
                prop_assert!(is_explained(one, &all, TABLE.len()), "{:?} of {:?}", one, all);
            }
        }
    }
}
