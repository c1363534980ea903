//! Everything that is known of a target, by name.

use super::{Style, Tone, ago, test_build, text, units};
use crate::{
    language::{say, tr, tr_later},
    snapshot::{BuilderFacts, CacheFacts, DETAIL_ERROR, Detail, Facts, Target},
    template, test_build as last,
};

/// Details that stand in a line of their own making or in an explanation, and not again under their
/// keys.
const WOVEN: [&str; 16] = [
    "asked_after",
    "certificate_name",
    "command",
    "features_unlisted",
    "narinfo",
    "noise",
    "program",
    "protocol_version",
    "sample_missing",
    "samples_tried",
    "signed_by",
    "slots",
    "slots_in_use",
    "ssh_setup",
    "store_free",
    "store_free_inodes",
];

/// One line per particular; what is not known has none.
pub(super) fn target(target: &Target, style: &Style) -> String {
    let mut rows = Rows::default();
    checks(target, style, &mut rows);
    match &target.facts {
        Facts::Cache(facts) => cache(target, facts, &mut rows),
        Facts::Builder(facts) => builder(target, facts, style, &mut rows),
    }
    for (key, value) in &target.details {
        let woven = WOVEN.contains(&key.as_str()) || last::DETAILS.contains(&key.as_str());
        // An error of now stands beside the cause.
        let shown = key == DETAIL_ERROR && !target.state.is_ready();
        if !woven && !shown {
            rows.add(&named(key), plain(key, value, style));
        }
    }
    rows.0
        .into_iter()
        .map(|(name, value)| {
            let missing = 15_usize.saturating_sub(text::width(&name));
            let name = style.paint(Tone::Faint, &(name + &" ".repeat(missing)));
            format!("    {name} {value}\n")
        })
        .collect()
}

#[derive(Default)]
struct Rows(Vec<(String, String)>);

impl Rows {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.push((name.to_owned(), value));
        }
    }
}

fn checks(target: &Target, style: &Style, rows: &mut Rows) {
    let now = style.now_realtime_usec;
    rows.add("uri", &*target.uri);
    rows.add(tr("stage"), target.stage.to_string());
    let next = units::until(target.next_check_timestamp, now);
    rows.add(
        tr("checked"),
        match next {
            Some(next) => say!(
                "{when}, next {next}",
                when = ago(target.last_check_timestamp, now),
                next
            ),
            None => ago(target.last_check_timestamp, now),
        },
    );
    if !target.state.is_ready() {
        rows.add(tr("last success"), ago(target.last_success_timestamp, now));
    }
    if target.consecutive_failures > 0 {
        rows.add(
            tr("failures"),
            say!("{n} in a row", n = target.consecutive_failures),
        );
    }
}

fn cache(target: &Target, facts: &CacheFacts, rows: &mut Rows) {
    rows.add(tr("store"), &*facts.store_dir);
    if !facts.store_dir.is_empty() {
        rows.add(tr("priority"), facts.priority.to_string());
        rows.add(tr("mass queries"), yes(facts.want_mass_query));
    }
    let other = detail(target, "asked_after");
    if !other.is_empty() {
        let told = tr(
            "what is in both comes from there; a lower `?priority=` behind the cache's URL turns that round",
        );
        rows.add(tr("asked"), format!("{} {other} ({told})", tr("after")));
    }
    let signed_by = detail(target, "signed_by");
    rows.add(
        tr("signing key"),
        match (facts.signing_key.as_str(), signed_by) {
            ("", signed_by) => signed_by,
            (known, _) => known.to_owned(),
        },
    );
    if target.details.contains_key("certificate_name") {
        let told =
            tr("has its host's name as common name alone; Nix takes that, other programs do not");
        rows.add(tr("certificate"), told);
    }
    if target.details.contains_key("sample_missing") {
        let tried = match target.details.get("samples_tried") {
            Some(Detail::Uint(tried)) => say!(" ({tried} tried)", tried),
            _ => String::new(),
        };
        let told = say!(
            "not checked: none of the paths that were asked for shows one{tried}",
            tried
        );
        rows.add(tr("signature"), told);
    }
}

fn builder(target: &Target, facts: &BuilderFacts, style: &Style, rows: &mut Rows) {
    let protocol = match target.details.get("protocol_version") {
        Some(version) if !facts.protocol.is_empty() => format!("{} {version}", facts.protocol),
        _ => facts.protocol.to_string(),
    };
    rows.add(tr("protocol"), protocol);
    rows.add(
        tr("command"),
        match detail(target, "command") {
            command if command.is_empty() => detail(target, "program"),
            command => command,
        },
    );
    rows.add(tr("systems"), facts.systems.join(", "));
    rows.add(tr("features"), facts.features.join(", "));
    if facts.max_jobs > 0 {
        let speed = facts.speed_factor;
        rows.add(
            tr("jobs"),
            say!("{jobs}, speed {speed}", jobs = facts.max_jobs, speed),
        );
    }
    let unlisted = detail(target, "features_unlisted");
    if !unlisted.is_empty() {
        let told =
            tr("the builder has them, its entry does not: builds that ask for them go elsewhere");
        rows.add(tr("not listed"), format!("{unlisted} ({told})"));
    }
    if let Some(Detail::Uint(free)) = target.details.get("store_free") {
        let nodes = match target.details.get("store_free_inodes") {
            Some(Detail::Uint(nodes)) => say!(", {nodes} inodes", nodes),
            _ => String::new(),
        };
        rows.add(
            tr("store"),
            say!("{bytes} free{nodes}", bytes = units::bytes(*free), nodes),
        );
    }
    let slots = (
        target.details.get("slots_in_use"),
        target.details.get("slots"),
    );
    if let (Some(used), Some(all)) = slots {
        rows.add(tr("slots"), say!("{used} of {all} in use", used, all));
    }
    rows.add("nix", &*facts.nix_version);
    let trusted = match &*facts.trusted {
        "yes" => tr("yes"),
        "no" => tr("no"),
        "unknown" => tr("unknown"),
        newer => newer,
    };
    rows.add(tr("trusted"), trusted);
    rows.add(tr("host key"), &*facts.host_key_fingerprint);
    let test = last::of(target).map(|build| {
        let told = test_build::summary(&build);
        match build.timestamp {
            0 => told,
            then => format!("{}: {told}", ago(then, style.now_realtime_usec)),
        }
    });
    rows.add(tr("last test build"), test.unwrap_or_default());
}

fn detail(target: &Target, key: &str) -> String {
    template::detail(&target.details, key).unwrap_or_default()
}

/// What is called otherwise than its key is, or in other languages.
const NAMES: [(&str, &str); 8] = [
    ("boot_id", tr_later("boot id")),
    ("host_key_algorithm", tr_later("host key type")),
    ("identity", tr_later("identity")),
    ("login_methods", tr_later("login methods")),
    ("proxy", tr_later("proxy")),
    ("redirected_to", tr_later("redirected to")),
    ("sample", tr_later("sample")),
    ("tried_keys", tr_later("tried keys")),
];

/// A key as people read it: without its unit, which the value has.
fn named(key: &str) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(named, _)| *named == key) {
        return tr(name).to_owned();
    }
    let key = key
        .strip_suffix("_usec")
        .or_else(|| key.strip_suffix("_timestamp"))
        .unwrap_or(key);
    key.replace('_', " ")
}

/// A value as people read it: keys say which numbers are times.
fn plain(key: &str, value: &Detail, style: &Style) -> String {
    match value {
        Detail::Uint(usec) if key.ends_with("_usec") => units::took(*usec),
        Detail::Uint(then) if key.ends_with("_timestamp") => ago(*then, style.now_realtime_usec),
        value => value.to_string(),
    }
}

fn yes(value: bool) -> &'static str {
    if value { tr("yes") } else { tr("no") }
}
