//! Everything that is known of a target, by name.

use super::{Style, Tone, ago, clean, units};
use crate::snapshot::{DETAIL_ERROR, Facts, Target};

/// One line per particular; what is not known has none.
pub(super) fn target(target: &Target, style: &Style) -> String {
    let now = style.now_realtime_usec;
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push((clean(name), clean(&value)));
        }
    };
    row("uri", target.uri.clone());
    row("stage", target.stage.to_string());
    let next = units::until(target.next_check_timestamp, now);
    row(
        "checked",
        match next {
            Some(next) => format!("{}, next {next}", ago(target.last_check_timestamp, now)),
            None => ago(target.last_check_timestamp, now),
        },
    );
    if !target.state.is_ready() {
        row("last success", ago(target.last_success_timestamp, now));
    }
    if target.consecutive_failures > 0 {
        row(
            "failures",
            format!("{} in a row", target.consecutive_failures),
        );
    }
    match &target.facts {
        Facts::Cache(cache) => {
            row("store", cache.store_dir.clone());
            if !cache.store_dir.is_empty() {
                row("priority", cache.priority.to_string());
                row("mass queries", yes(cache.want_mass_query));
            }
            row("signing key", cache.signing_key.clone());
        }
        Facts::Builder(builder) => {
            row("protocol", builder.protocol.clone());
            row("systems", builder.systems.join(", "));
            row("features", builder.features.join(", "));
            if builder.max_jobs > 0 {
                let speed = builder.speed_factor;
                row("jobs", format!("{}, speed {speed}", builder.max_jobs));
            }
            row("nix", builder.nix_version.clone());
            row("trusted", builder.trusted.clone());
            row("host key", builder.host_key_fingerprint.clone());
        }
    }
    for (name, value) in &target.details {
        if name == DETAIL_ERROR && !target.state.is_ready() {
            continue; // stands beside the cause
        }
        row(&name.replace('_', " "), value.to_string());
    }
    rows.into_iter()
        .map(|(name, value)| {
            let name = style.paint(Tone::Faint, &format!("{name:<14}"));
            format!("    {name} {value}\n")
        })
        .collect()
}

fn yes(value: bool) -> String {
    (if value { "yes" } else { "no" }).to_owned()
}
