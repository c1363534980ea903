mod ssh;

use offload_client::{
    Kind, Reason, WarningCode,
    snapshot::{Detail, Placed},
};

use std::collections::BTreeMap;

use super::*;
use crate::nix::loaded::{Loaded, Stale};

const CACHE: &str = "http://192.0.2.6:5000";

/// The desktop as a cache: declared at one host, deployed at another, seen at a third.
fn cache(declared: &[&str], deployed: &str, seen: &str) -> (Origin, Observed) {
    let with_port = |host: &&str| format!("{host}:5000");
    let side = |hosts: &[&str], source: &str| {
        (!hosts.is_empty()).then(|| Side {
            addresses: hosts.iter().map(with_port).collect(),
            source: source.into(),
            ..Side::default()
        })
    };
    let deployed: Vec<&str> = Some(deployed)
        .filter(|host| !host.is_empty())
        .into_iter()
        .collect();
    let origin = Origin {
        uri: CACHE.into(),
        declared: side(declared, "config.toml:3"),
        deployed: side(&deployed, "nix.conf:12"),
        ..Origin::default()
    };
    let observed = Observed {
        passes: true,
        // It is at none of the addresses that Nix has, as far as can be told by their names.
        elsewhere: !seen.is_empty() && deployed.first().is_some_and(|nixs| *nixs != seen),
        address: Some(seen)
            .filter(|seen| !seen.is_empty())
            .map(|seen| with_port(&seen).into()),
        ..Observed::default()
    };
    (origin, observed)
}

/// What is configured and what is observed of each target.
type Sides = BTreeMap<TargetId, (Origin, Observed)>;

fn compare_all(tracker: &mut Tracker, now: u64, loaded: &Loaded, sides: Sides) -> Vec<Warning> {
    let origins = sides
        .iter()
        .map(|(id, (origin, _))| (id.clone(), origin.clone()));
    tracker.plan(Vec::new(), origins.collect(), loaded.clone());
    for (id, (_, observed)) in sides {
        tracker.observe(&id, observed);
    }
    let found = tracker.compare(now).unwrap();
    assert_eq!(tracker.compare(now), None, "nothing is new since then");
    found
}

fn compare_at(tracker: &mut Tracker, now: u64, one: &(Origin, Observed)) -> Vec<Warning> {
    let sides = [(TargetId::cache("desktop"), one.clone())].into();
    compare_all(tracker, now, &Loaded::default(), sides)
}

fn compare(one: &(Origin, Observed)) -> Vec<Warning> {
    compare_at(&mut Tracker::default(), 1, one)
}

fn codes(warnings: &[Warning]) -> Vec<WarningCode> {
    warnings.iter().map(|warning| warning.code).collect()
}

fn text<'a>(warning: &'a Warning, key: &str) -> &'a str {
    match warning.details.get(key) {
        Some(Detail::Text(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

#[test]
fn two_addresses_differ_and_the_desktop_shows_which_is_wrong() {
    let (six, seven) = ("192.0.2.6", "192.0.2.7");
    for (seen, wrong) in [(six, "declared"), ("", "")] {
        let warnings = compare(&cache(&[seven], six, seen));
        assert_eq!(codes(&warnings), [WarningCode::AddressMismatch], "{seen}");
        let told = |key| text(&warnings[0], key);
        assert_eq!(told("expected"), "192.0.2.7:5000");
        assert_eq!(told("actual"), "192.0.2.6:5000");
        assert_eq!(told("wrong"), wrong, "{seen}");
        assert_eq!(told("declared_at"), "config.toml:3");
        assert_eq!(told("deployed_at"), "nix.conf:12");
    }
    // Where it is not where Nix goes, that is what stops Nix.
    for (seen, wrong) in [(seven, "deployed"), ("192.0.2.9", "both")] {
        let warnings = compare(&cache(&[seven], six, seen));
        assert_eq!(codes(&warnings), [WarningCode::AddressMoved], "{seen}");
        let told = |key| text(&warnings[0], key);
        assert_eq!(told("expected"), "192.0.2.6:5000");
        assert_eq!(told("declared"), "192.0.2.7:5000");
        assert_eq!(told("actual"), format!("{seen}:5000"));
        assert_eq!(told("wrong"), wrong, "{seen}");
    }
}

#[test]
fn where_it_was_is_no_place_where_it_is() {
    let (six, seven) = ("192.0.2.6", "192.0.2.7");
    for seen in [six, seven, "192.0.2.9"] {
        let mut one = cache(&[seven], six, seen);
        one.1.passes = false;
        let warnings = compare(&one);
        assert_eq!(codes(&warnings), [WarningCode::AddressMismatch], "{seen}");
        assert_eq!(text(&warnings[0], "wrong"), "", "{seen}");
        assert_eq!(warnings[0].details.get("observed"), None, "{seen}");
    }
}

#[test]
fn what_may_well_be_one_address_is_no_mismatch() {
    for (declared, deployed) in [
        (&["192.0.2.6"][..], "192.0.2.6"),
        (&["192.0.2.7", "192.0.2.6"], "192.0.2.6"),
        (&["desktop.lan"], "192.0.2.6"),
        (&["192.0.2.6"], "desktop"),
        (&["desktop.lan"], "desktop"),
        (&[], "192.0.2.6"),
        (&["192.0.2.6"], ""),
    ] {
        let mut one = cache(declared, deployed, "192.0.2.6");
        one.1.elsewhere = false;
        assert_eq!(compare(&one), [], "{declared:?} {deployed}");
    }
    let names = cache(&["tower.lan"], "desktop.lan", "");
    assert_eq!(codes(&compare(&names)), [WarningCode::AddressMismatch]);
}

#[test]
fn the_desktop_has_moved_where_it_answers_and_nix_does_not_go() {
    for declared in [&[][..], &["192.0.2.6", "192.0.2.7"], &["192.0.2.7"]] {
        let one = cache(declared, "192.0.2.6", "192.0.2.7");
        assert_eq!(codes(&compare(&one)), [WarningCode::AddressMoved]);
    }
    // A name as well: where it leads, the check has seen.
    let named = cache(&[], "desktop", "192.0.2.7");
    let moved = compare(&named);
    assert_eq!(text(&moved[0], "expected"), "desktop:5000");
    let mut one = named;
    one.1.elsewhere = false;
    assert_eq!(compare(&one), []);
    // And another port of the same host.
    let mut one = cache(&[], "192.0.2.6", "192.0.2.6");
    (one.1.elsewhere, one.1.address) = (true, Some("192.0.2.6:5001".into()));
    assert_eq!(text(&compare(&one)[0], "actual"), "192.0.2.6:5001");
    // Where ssh_config leads Nix, it is there that it was looked for.
    let mut one = cache(&[], "192.0.2.6", "192.0.2.7");
    one.1.ssh_config = Some("192.0.2.9:22".into());
    let moved = compare(&one);
    assert_eq!(codes(&moved), [WarningCode::AddressMoved]);
    assert_eq!(text(&moved[0], "expected"), "192.0.2.9:22");
}

#[test]
fn what_nix_is_not_configured_with_has_no_address_of_nixs() {
    let mut one = cache(&["192.0.2.6"], "", "192.0.2.7");
    one.1.elsewhere = true;
    assert_eq!(compare(&one), []);
    let id = TargetId::cache("desktop");
    assert_eq!(hindrance(&id, &one.0, &one.1), None);
}

#[test]
fn of_what_keeps_nix_away_the_one_that_explains_most_is_the_reason() {
    let id = TargetId::cache("desktop");
    let reason = |one: &(Origin, Observed)| {
        let hindrance = hindrance(&id, &one.0, &one.1);
        hindrance.and_then(|warning| warning.code.hinders())
    };
    let mut one = cache(&[], "192.0.2.6", "192.0.2.6");
    assert_eq!(reason(&one), None);
    one.0.known_hosts = Some("desktop ssh-ed25519 AAAAC3".into());
    one.1.host_key_known = Some(false);
    assert_eq!(reason(&one), Some(Reason::HostKeyNotKnown));
    one.0.unused = Some(Warning {
        code: WarningCode::BuilderWithoutSlots,
        ..Warning::default()
    });
    assert_eq!(reason(&one), Some(Reason::BuilderWithoutSlots));
    one.0.missing = Some("http://192.0.2.6:5000".into());
    assert_eq!(reason(&one), Some(Reason::NotInNixConf));
    one.1.elsewhere = true;
    assert_eq!(reason(&one), Some(Reason::AddressMoved));
    one.0.unused = Some(Warning {
        code: WarningCode::NixConfBroken,
        ..Warning::default()
    });
    assert_eq!(reason(&one), Some(Reason::NixConfBroken));
    // What costs something on another day alone is no reason.
    let other = cache(&["192.0.2.7"], "192.0.2.6", "192.0.2.6");
    assert_eq!(codes(&compare(&other)), [WarningCode::AddressMismatch]);
    assert_eq!(reason(&other), None);
}

#[test]
fn a_warning_keeps_its_date_while_it_says_the_same() {
    let mut tracker = Tracker::default();
    let mut since = |now, seen| {
        let warnings = compare_at(&mut tracker, now, &cache(&["192.0.2.7"], "192.0.2.6", seen));
        warnings[0].details["since"].clone()
    };
    assert_eq!(since(10, "192.0.2.6"), Detail::Uint(10));
    assert_eq!(since(20, "192.0.2.6"), Detail::Uint(10));
    assert_eq!(since(30, "192.0.2.7"), Detail::Uint(30));
    compare_at(&mut tracker, 40, &cache(&[], "192.0.2.6", "192.0.2.6"));
    let again = compare_at(
        &mut tracker,
        50,
        &cache(&["192.0.2.7"], "192.0.2.6", "192.0.2.7"),
    );
    assert_eq!(again[0].details["since"], Detail::Uint(50));
}

#[test]
fn a_configuration_that_nix_daemon_has_not_read_is_told_and_not_taken_for_loaded() {
    let id = TargetId::cache("desktop");
    let sides = Sides::from([(id.clone(), cache(&[], "192.0.2.6", "192.0.2.6"))]);
    let mut loaded = Loaded {
        started: Some(5),
        ..Loaded::default()
    };
    let mut tracker = Tracker::default();
    assert_eq!(compare_all(&mut tracker, 9, &loaded, sides.clone()), []);
    let address = &tracker.layers(&id)[0];
    let deployed = Placed {
        value: "192.0.2.6:5000".into(),
        source: "nix.conf:12".into(),
    };
    assert_eq!(address.subject, "address");
    assert_eq!(address.deployed, Some(deployed.clone()));
    assert_eq!(address.loaded, Some(deployed));
    assert_eq!(address.declared, None);
    assert_eq!(address.observed.as_ref().unwrap().value, "192.0.2.6:5000");

    loaded.stale = Some(Stale {
        file: "/etc/nix/nix.conf".into(),
        changed: 7,
    });
    let stale = compare_all(&mut tracker, 9, &loaded, sides);
    assert_eq!(codes(&stale), [WarningCode::DaemonConfigStale]);
    let details = &stale[0].details;
    assert_eq!(text(&stale[0], "file"), "/etc/nix/nix.conf");
    assert_eq!(details["changed"], Detail::Uint(7));
    assert_eq!(details["started"], Detail::Uint(5));
    assert_eq!(tracker.layers(&id)[0].loaded, None);
}

#[test]
fn misses_that_are_none_are_counted() {
    let mut one = cache(&[], "192.0.2.6", "192.0.2.6");
    one.1.stale_misses = 3;
    let warnings = compare(&one);
    assert_eq!(codes(&warnings), [WarningCode::NegativeCacheStale]);
    assert_eq!(warnings[0].details["actual"], Detail::Uint(3));
    one.1.stale_hits = 2;
    let warnings = compare(&one);
    let [_, hits] = &warnings[..] else {
        panic!("{warnings:#?}");
    };
    assert_eq!(hits.code, WarningCode::PositiveCacheStale);
    assert_eq!(hits.details["actual"], Detail::Uint(2));
}

#[test]
fn the_last_cache_is_fatal_without_fallback() {
    let last = [WarningCode::LanCacheLast];
    let off = [WarningCode::FallbackOff];
    let other = |position, priority| {
        vec![Unwatched {
            position,
            host: "cache.nixos.org".into(),
            priority,
        }]
    };
    for (fallback, own, seen, unwatched, expected) in [
        (true, None, Some(50), other(1, Some(40)), &[][..]),
        (false, None, Some(50), other(1, Some(40)), &last),
        (false, None, Some(30), other(1, Some(40)), &off),
        (false, Some(30), Some(50), other(1, Some(40)), &off),
        // Of two equal ones the first is asked first.
        (false, None, Some(40), other(1, Some(40)), &off),
        (false, None, Some(40), other(0, Some(40)), &last),
        // No priority is none: it is asked first, but for a negative one.
        (false, None, Some(0), other(0, Some(40)), &off),
        (false, None, Some(0), other(1, Some(-1)), &last),
        (false, Some(-2), Some(50), other(0, Some(-1)), &off),
        // What is not known is not claimed.
        (false, None, None, other(1, Some(40)), &off),
        (false, None, Some(50), other(1, None), &off),
        (false, None, None, vec![], &last),
    ] {
        let mut one = cache(&[], "192.0.2.6", "192.0.2.6");
        let case = format!("{fallback} {own:?} {seen:?} {unwatched:?}");
        let position = usize::from(unwatched.first().is_some_and(|other| other.position == 0));
        one.0.precedence = Some(Precedence {
            position,
            priority: own,
            fallback,
            unwatched: unwatched.into(),
        });
        one.1.priority = seen;
        assert_eq!(codes(&compare(&one)), expected, "{case}");
    }
}

#[test]
fn a_machine_that_moved_is_told_once_for_its_builder_and_its_cache() {
    let (mut origin, seen) = cache(&["192.0.2.7"], "192.0.2.6", "192.0.2.6");
    let builder = TargetId::builder("desktop");
    let mut sides = Sides::from([(builder.clone(), (origin.clone(), seen.clone()))]);
    origin.host = Some(builder);
    sides.insert(TargetId::cache("desktop"), (origin, seen));
    let warnings = compare_all(&mut Tracker::default(), 1, &Loaded::default(), sides);
    assert_eq!(codes(&warnings), [WarningCode::AddressMismatch]);
    let target = Some((Kind::Builder, "desktop".into()));
    assert_eq!(warnings[0].target, target);
}

#[test]
fn a_target_that_is_where_nix_daemon_has_not_read_of_it_waits_for_that() {
    let id = TargetId::cache("desktop");
    let (mut origin, seen) = cache(&[], "192.0.2.7", "192.0.2.7");
    let old = Side {
        addresses: vec!["192.0.2.6:5000".into()],
        ..Side::default()
    };
    origin.loaded = Some(old);
    let seen = Observed {
        elsewhere: true,
        ..seen
    };
    let code = |origin: &Origin, seen: &Observed| Some(hindrance(&id, origin, seen)?.code);
    assert_eq!(code(&origin, &seen), Some(WarningCode::DaemonConfigStale));
    // It has moved to a third address: reading the file does not help.
    let moved = Observed {
        address: Some("192.0.2.9:5000".into()),
        ..seen.clone()
    };
    assert_eq!(code(&origin, &moved), Some(WarningCode::AddressMoved));
    // It is where nix-daemon goes, whatever stands in the file.
    let here = Observed {
        address: Some("192.0.2.6:5000".into()),
        elsewhere: false,
        ..seen
    };
    assert_eq!(code(&origin, &here), None);
}
