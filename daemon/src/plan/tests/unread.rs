//! nix-daemon has read something else than what stands in its files now.

use std::collections::BTreeMap;

use super::*;
use crate::nix::loaded::{Loaded, Read, Stale};

const A: &str = "http://192.0.2.6:5000";
const B: &str = "http://192.0.2.7:5000";
const KEY: &str = "desk-1:MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8=";

/// The plan where nix.conf said `before` when nix-daemon read it, and says `now`; both name the machines file `{M}`.
fn planned(settings: &Settings, before: &str, now: &str, read: fn(String) -> Read) -> Plan {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("nix.conf");
    let machines = dir.path().join("machines");
    fs::write(&machines, "ssh-ng://nix@192.0.2.6 x86_64-linux\n").unwrap();
    let filled = |text: &str| text.replace("{M}", &machines.display().to_string());
    fs::write(&conf, filled(now)).unwrap();
    let files = &crate::files::Direct;
    let written = nix::read(&conf, NixVersion::default(), files);
    let read = match read(filled(before)) {
        Read::Before(texts) => {
            let mut before: BTreeMap<_, _> = written
                .conf_files
                .iter()
                .map(|it| (it.clone(), None))
                .collect();
            before.extend([(conf.clone(), texts.into_values().next().unwrap())]);
            Read::Before(before)
        }
        other => other,
    };
    let was = match &read {
        Read::Before(before) => written.as_read_before(&conf, before, files),
        Read::Written | Read::Unknown => None,
    };
    let stale = Stale {
        file: conf,
        changed: 2,
    };
    let loaded = Loaded {
        started: Some(1),
        stale: Some(stale),
        read,
    };
    plan_beside(settings, &written, was.as_ref(), loaded)
}

fn known(text: String) -> Read {
    Read::Before([("nix.conf".into(), Some(text.into()))].into())
}

/// Each target, and what keeps Nix from it as far as its configuration goes.
fn hindered(plan: &Plan) -> Vec<(String, Option<Reason>)> {
    let targets = plan.targets.iter().map(|target| {
        let unused = plan.origins[&target.id].unused.as_ref();
        let hinders = unused.and_then(|warning| warning.code.hinders());
        let missing = plan.origins[&target.id].missing.as_ref();
        let missing = missing.map(|_| Reason::NotInNixConf);
        (target.uri.to_string(), hinders.or(missing))
    });
    targets.collect()
}

fn has(plan: &Plan, code: WarningCode) -> bool {
    plan.warnings.iter().any(|warning| warning.code == code)
}

#[test]
fn what_nix_daemon_has_read_decides_and_of_its_clients_what_they_have() {
    let stale = Some(Reason::DaemonConfigStale);
    let builder = "ssh-ng://nix@192.0.2.6";
    let to_a = format!("substituters = {A}\n");
    let (off, to_b) = ("builders =\n".to_owned(), format!("substituters = {B}\n"));
    let both = format!("substituters = {A} {B}\n");
    let none = "substituters =\n".to_owned();
    let machines = "builders = @{M}\n".to_owned();
    for (what, before, now, expected) in [
        (
            "nothing of it",
            to_a.clone() + &off,
            format!("{to_a}{off}fallback = true\n"),
            vec![(A, None)],
        ),
        (
            "a cache that came",
            to_a.clone() + &off,
            both.clone() + &off,
            vec![(A, None), (B, stale)],
        ),
        (
            "a cache that went",
            both + &off,
            to_a.clone() + &off,
            vec![(A, None), (B, None)],
        ),
        (
            "another cache",
            to_a.clone() + &off,
            to_b + &off,
            vec![(B, stale), (A, None)],
        ),
        (
            "a list that came",
            none.clone() + &off,
            none.clone() + &machines,
            vec![(builder, stale)],
        ),
        (
            "a list that went",
            none.clone() + &machines,
            none + &off,
            vec![(builder, None)],
        ),
        (
            "substitution came",
            format!("substitute = false\n{to_a}{off}"),
            to_a.clone() + &off,
            vec![(A, None)],
        ),
        (
            "substitution went",
            to_a.clone() + &off,
            format!("substitute = false\n{to_a}{off}"),
            vec![],
        ),
    ] {
        let plan = planned(&settings(), &before, &now, known);
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(uri, reason)| (uri.to_owned(), reason))
            .collect();
        assert_eq!(hindered(&plan), expected, "{what}");
        let are_off = [&before, &now].iter().all(|it| it.contains(&off));
        assert_eq!(has(&plan, WarningCode::BuildersDisabled), are_off, "{what}");
    }
}

#[test]
fn an_entry_is_where_nix_daemon_goes_by_it() {
    let mut settings = settings();
    settings.caches = vec![CacheEntry {
        url: Some(B.into()),
        addresses: vec![Address {
            host: "192.0.2.6".into(),
            port: None,
        }],
        ..cache_entry("desktop")
    }];
    let (before, now) = (
        format!("substituters = {A}\nbuilders =\n"),
        format!("substituters = {B}\nbuilders =\n"),
    );
    let plan = planned(&settings, &before, &now, known);
    assert_eq!(hindered(&plan), [(A.to_owned(), None)]);
    let origin = &plan.origins[&plan.targets[0].id];
    let addresses = |side: &Option<crate::drift::Side>| side.as_ref().unwrap().addresses.clone();
    assert_eq!(addresses(&origin.loaded), ["192.0.2.6:5000"]);
    assert_eq!(addresses(&origin.deployed), ["192.0.2.7:5000"]);
}

#[test]
fn the_keys_are_those_that_nix_daemon_has_and_those_to_come_are_known() {
    let both = |key: &str| format!("substituters = {A}\nbuilders =\ntrusted-public-keys = {key}\n");
    let plan = planned(&settings(), &both(""), &both(KEY), known);
    let spec = cache(&plan.targets[0]);
    assert!(spec.public_keys.is_empty());
    assert_eq!(spec.unread.as_ref().unwrap().public_keys, [KEY]);
    let plan = planned(
        &settings(),
        &both(KEY),
        &format!("{}fallback = true\n", both(KEY)),
        known,
    );
    assert_eq!(cache(&plan.targets[0]).unread, None);
}

#[test]
fn where_nobody_knows_what_it_has_read_nothing_is_known_of_a_target() {
    let conf = format!("substituters = {A}\nbuilders = @{{M}}\n");
    let plan = planned(&settings(), &conf, &conf, |_| Read::Unknown);
    let unknown = Some(Reason::DaemonConfigUnknown);
    let reasons: Vec<_> = hindered(&plan)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons, [unknown, unknown]);
    assert!(has(&plan, WarningCode::DaemonConfigUnknown));
    // A link that was made anew is no change that anybody knows of.
    let plan = planned(&settings(), &conf, &conf, |_| Read::Written);
    let reasons: Vec<_> = hindered(&plan)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons, [None, None]);
}

#[test]
fn a_file_that_nix_daemon_has_read_and_nobody_saw_is_not_known() {
    let conf = "substituters =\nbuilders =\n";
    let read = |_: String| {
        let text = "!include gone.conf\n";
        Read::Before([("nix.conf".into(), Some(text.into()))].into())
    };
    let plan = planned(&settings(), conf, conf, read);
    assert_eq!(plan.targets, []);
    assert!(!matches!(plan.loaded.read, Read::Written));
}
