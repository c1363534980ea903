//! A reason's words, filled with what is known of the target.

use super::{mac, staged::words};
use crate::{
    language::tr,
    snapshot::{Facts, Target, Warning},
    template, warnings,
};

/// The headline of a target's reason: that of the reason, or one that its particulars make more exact.
pub fn title_for(target: &Target) -> &'static str {
    match hindrance(target) {
        Some(warning) => warnings::title_for(&warning),
        None => tr(words(target).title),
    }
}

/// The explanation of a target's reason, filled with what is known of the target.
pub fn explanation_for(target: &Target) -> String {
    if let Some(warning) = hindrance(target) {
        return warnings::explanation_for(&warning);
    }
    template::fill(tr(words(target).explanation), |key| {
        template::of_target(target, key)
    })
}

/// The remedy for a target's reason, filled with what is known of the target.
pub fn remedy_for(target: &Target) -> String {
    if let Some(warning) = hindrance(target) {
        return warnings::remedy_for(&warning);
    }
    let remedy = tr(words(target).remedy);
    let remedy = if is_of_a_mac(target) {
        mac::for_mac(remedy)
    } else {
        remedy.to_owned()
    };
    template::fill(&remedy, |key| template::of_target(target, key))
}

/// Whether the desktop is a Mac, by what it builds for; reasons that this machine has to be mended for name none of its
/// commands.
fn is_of_a_mac(target: &Target) -> bool {
    match &target.facts {
        Facts::Builder(facts) => facts.systems.iter().any(|it| it.ends_with("-darwin")),
        Facts::Cache(_) => false,
    }
}

/// What keeps Nix from a target that passes its checks: its particulars are the target's.
fn hindrance(target: &Target) -> Option<Warning> {
    let code = target.reason.hindrance()?;
    let mut details = target.details.clone();
    details.insert("kind".into(), target.kind.as_str().into());
    Some(Warning {
        code,
        target: Some((target.kind, target.name.clone())),
        details,
    })
}
