//! In which order Nix asks its caches: the lowest priority first, and of two equal ones the one that is
//! named first (`getDefaultSubstituters`, src/libstore/store-registration.cc).

use std::collections::BTreeMap;

use offload_client::{Printable, WarningCode, snapshot::Warning};

use super::{Observed, Origin, Precedence, compare::warning};
use crate::target::TargetId;

/// Advice only to whom a cache of this network can fail.
pub(super) fn fallback_off(origins: &BTreeMap<TargetId, Origin>) -> Option<Warning> {
    let (_, origin, _) = asked(origins).find(|(_, _, precedence)| !precedence.fallback)?;
    let code = WarningCode::FallbackOff;
    let mut warning = warning(code, "fallback = true".into(), "fallback = false".into());
    let uri = origin.uri.as_str().into();
    warning.details.insert("uri".into(), uri);
    Some(warning)
}

/// What fails at the last substituter fails the build (`PathSubstitutionGoal::tryNext`,
/// src/libstore/build/substitution-goal.cc); what fails at an earlier one is passed over. Nothing is
/// said where one priority is not known: any of them could be the last.
pub(super) fn lan_cache_last(
    origins: &BTreeMap<TargetId, Origin>,
    observed: &BTreeMap<TargetId, Observed>,
) -> Option<Warning> {
    let watched: Vec<_> = asked(origins).collect();
    let (_, _, first) = watched.first()?;
    if first.fallback {
        return None;
    }
    let alone = watched.len() + first.unwatched.len() == 1;
    let mut last: Option<((i64, usize), &TargetId, &Origin)> = None;
    for (id, origin, precedence) in &watched {
        let order = match turn(precedence, observed.get(id)) {
            Some(order) => order,
            // Where there is nothing to be before or behind, none is needed.
            None if alone => (0, precedence.position),
            None => return None,
        };
        if last.is_none_or(|(latest, ..)| latest < order) {
            last = Some((order, id, origin));
        }
    }
    let (latest, id, origin) = last?;
    for other in first.unwatched.iter() {
        if (other.priority?, other.position) > latest {
            return None;
        }
    }
    let code = WarningCode::LanCacheLast;
    let mut warning = warning(code, "fallback = true".into(), "fallback = false".into());
    warning.target = Some((id.kind, id.name.clone()));
    let details = &mut warning.details;
    details.insert("uri".into(), origin.uri.as_str().into());
    if !alone {
        details.insert("priority".into(), latest.0.to_string().into());
    }
    Some(warning)
}

/// The first of the caches that nobody watches, public ones as a rule, that Nix asks before this one: what is
/// in both comes from there. Nothing where that is not known.
pub(super) fn asked_after<'o>(origin: &'o Origin, seen: &Observed) -> Option<&'o Printable> {
    let precedence = origin.precedence.as_ref()?;
    let own = turn(precedence, Some(seen))?;
    let others = precedence.unwatched.iter();
    let others = others.filter_map(|other| Some(((other.priority?, other.position), &other.host)));
    let (first, host) = others.min()?;
    (first < own).then_some(host)
}

/// When a cache has its turn; nothing where its priority is not known.
fn turn(precedence: &Precedence, seen: Option<&Observed>) -> Option<(i64, usize)> {
    let own = || seen?.priority.map(i64::from);
    Some((precedence.priority.or_else(own)?, precedence.position))
}

/// The caches that Nix uses.
fn asked(
    origins: &BTreeMap<TargetId, Origin>,
) -> impl Iterator<Item = (&TargetId, &Origin, &Precedence)> {
    origins
        .iter()
        .filter_map(|(id, origin)| Some((id, origin, origin.precedence.as_ref()?)))
}
