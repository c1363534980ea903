//! Entries of ours beside what Nix names.

use super::*;

#[test]
fn an_entry_with_the_same_host_enriches_what_nix_names() {
    let imported = imported(
        "substituters = http://192.0.2.7:5000\n",
        "ssh://nix@192.0.2.7 - /old\n",
    );
    let mut settings = settings();
    settings.caches = vec![CacheEntry {
        addresses: vec![address("192.0.2.6"), address("192.0.2.7")],
        ..cache_entry("desktop")
    }];
    settings.builders = vec![BuilderEntry {
        addresses: vec![address("desktop.local"), address("192.0.2.7")],
        ssh_key: Some("/new".into()),
        host_keys: parse_host_key(&format!("ssh-ed25519 {ED25519}")).unwrap(),
        systems: vec!["aarch64-linux".into()],
        ..builder_entry("desktop")
    }];
    let plan = plan(&settings, &imported);
    assert_eq!(plan.warnings, []);
    assert_eq!(ids(&plan), ["cache/desktop", "builder/desktop"]);
    assert_eq!(plan.targets[0].uri, "http://192.0.2.7:5000");
    // Nix goes to its own, whatever is declared before it.
    assert_eq!(hosts(&plan.targets[0]), ["192.0.2.7", "192.0.2.6"]);
    assert_eq!(
        cache(&plan.targets[0]).host_builder.as_deref(),
        Some("desktop")
    );
    let builder = builder(&plan.targets[1]);
    assert_eq!(builder.host, "192.0.2.7");
    assert_eq!(builder.ssh_key, Some("/new".into()));
    let pinned = parse_host_key(&format!("ssh-ed25519 {ED25519}")).unwrap();
    assert_eq!(builder.host_keys, HostKeyRule::Pinned(pinned));
    assert_eq!(builder.systems, ["aarch64-linux"]);
}

#[test]
fn an_entry_with_the_same_name_adds_its_own_host_as_a_candidate() {
    let imported = imported("substituters = http://desktop:5000\n", "");
    let mut settings = settings();
    settings.caches = vec![CacheEntry {
        url: Some("http://192.0.2.6:5000/".into()),
        ..cache_entry("desktop")
    }];
    let plan = plan(&settings, &imported);
    assert_eq!(ids(&plan), ["cache/desktop"]);
    assert_eq!(plan.targets[0].uri, "http://desktop:5000");
    assert_eq!(hosts(&plan.targets[0]), ["desktop", "192.0.2.6"]);
}

#[test]
fn an_entry_that_differs_in_more_than_the_host_is_a_target_of_its_own() {
    let imported = imported("substituters = http://desktop:5000\n", "nix@desktop\n");
    let mut settings = settings();
    settings.caches = vec![CacheEntry {
        url: Some("http://desktop:8080".into()),
        ..cache_entry("desktop")
    }];
    settings.builders = vec![BuilderEntry {
        uri: Some("ssh-ng://nix@desktop".into()),
        ..builder_entry("new")
    }];
    let plan = plan(&settings, &imported);
    assert_eq!(
        ids(&plan),
        [
            "cache/desktop-2",
            "cache/desktop",
            "builder/desktop",
            "builder/new"
        ]
    );
    let own = builder(&plan.targets[3]);
    assert_eq!((own.max_jobs, own.systems.len()), (1, 1));
}

#[test]
fn an_address_with_another_port_is_not_what_nix_names() {
    let imported = imported("substituters = http://192.0.2.6:5000\n", "");
    for (port, enriched) in [(5000, true), (5001, false)] {
        let mut settings = settings();
        settings.caches = vec![CacheEntry {
            addresses: vec![Address {
                port: Some(port),
                ..address("192.0.2.6")
            }],
            ..cache_entry("desktop")
        }];
        let plan = plan(&settings, &imported);
        let name = if enriched { "desktop" } else { "192.0.2.6" };
        assert_eq!(ids(&plan), [format!("cache/{name}")]);
        assert_eq!(plan.warnings.is_empty(), enriched);
    }
}

#[test]
fn an_entry_that_only_enriches_needs_something_to_enrich() {
    let mut settings = settings();
    settings.caches = vec![CacheEntry {
        addresses: vec![address("192.0.2.6")],
        ..cache_entry("desktop")
    }];
    settings.builders = vec![builder_entry("desktop")];
    let plan = plan(&settings, &imported("", ""));
    assert!(plan.targets.is_empty());
    let names: Vec<_> = plan
        .warnings
        .iter()
        .map(|warning| warning.details["name"].clone())
        .collect();
    assert_eq!(names, ["desktop".into(), "desktop".into()]);
    assert!(
        plan.warnings
            .iter()
            .all(|warning| warning.code == WarningCode::NotWatchable)
    );
}

#[test]
fn a_cache_names_its_builder_by_entry_name_or_address() {
    let imported = imported(
        "substituters = http://192.0.2.6\n",
        "ssh://192.0.2.6\nssh://other\n",
    );
    let mut settings = settings();
    assert_eq!(
        cache(&plan(&settings, &imported).targets[0])
            .host_builder
            .as_deref(),
        Some("192.0.2.6")
    );
    settings.caches = vec![CacheEntry {
        addresses: vec![address("192.0.2.6")],
        host: Some("other".into()),
        ..cache_entry("desktop")
    }];
    assert_eq!(
        cache(&plan(&settings, &imported).targets[0])
            .host_builder
            .as_deref(),
        Some("other")
    );
}

/// The afternoon: the configuration was changed, what Nix has was not.
pub(super) fn afternoon() -> Settings {
    let mut settings = settings();
    settings.caches = vec![CacheEntry {
        url: Some("http://192.0.2.7:5000".into()),
        ..cache_entry("desktop")
    }];
    settings.builders = vec![BuilderEntry {
        uri: Some("ssh-ng://192.0.2.7".into()),
        host_keys: parse_host_key(&format!("ssh-ed25519 {ED25519}")).unwrap(),
        ..builder_entry("desktop")
    }];
    settings
}

#[test]
fn what_differs_in_nothing_but_the_host_is_one_target() {
    let machine = "ssh-ng://nix@192.0.2.6 - /key 4\n";
    let imported = imported("# \nsubstituters = http://192.0.2.6:5000\n", machine);
    let plan = plan(&afternoon(), &imported);
    assert_eq!(ids(&plan), ["cache/desktop", "builder/desktop"]);
    for target in &plan.targets {
        assert_eq!(hosts(target), ["192.0.2.6", "192.0.2.7"], "{}", target.id);
        let origin = &plan.origins[&target.id];
        let declared = origin.declared.as_ref().unwrap();
        let deployed = origin.deployed.as_ref().unwrap();
        assert!(declared.addresses[0].starts_with("192.0.2.7:"));
        assert!(deployed.addresses[0].starts_with("192.0.2.6:"));
        assert_eq!(origin.missing, None);
    }
    let source = |id: TargetId| plan.origins[&id].deployed.clone().unwrap().source;
    assert!(source(TargetId::cache("desktop")).ends_with("/nix.conf:2"));
    assert!(source(TargetId::builder("desktop")).ends_with("/machines:1"));
    let builder = &plan.origins[&TargetId::builder("desktop")];
    let user = |side: &Option<crate::drift::Side>| side.clone().and_then(|side| side.user);
    assert_eq!(user(&builder.deployed).as_deref(), Some("nix"));
    assert_eq!(user(&builder.declared), None);
    let line = format!("192.0.2.6 ssh-ed25519 {ED25519}");
    assert_eq!(builder.known_hosts.as_deref(), Some(line.as_str()));
    let host = plan.origins[&TargetId::cache("desktop")].host.clone();
    assert_eq!(host, Some(TargetId::builder("desktop")));
}

#[test]
fn two_that_would_do_or_a_host_key_that_differs_make_no_pair() {
    let two = "http://192.0.2.6:5000 http://192.0.2.8:5000";
    let stranger = BASE64.encode(format!("ecdsa-sha2-nistp256 {ECDSA}").as_bytes());
    let imported = imported(
        &format!("substituters = {two}\n"),
        &format!("ssh-ng://nix@192.0.2.6 - - - - - - {stranger}\n"),
    );
    let plan = plan(&afternoon(), &imported);
    assert_eq!(
        ids(&plan),
        [
            "cache/192.0.2.6",
            "cache/192.0.2.8",
            "cache/desktop",
            "builder/192.0.2.6",
            "builder/desktop"
        ]
    );
    let missing = |id: TargetId| plan.origins[&id].missing.clone();
    let url = Some("http://192.0.2.7:5000".to_owned());
    assert_eq!(missing(TargetId::cache("desktop")), url);
    let line = missing(TargetId::builder("desktop")).unwrap();
    assert!(line.starts_with("ssh-ng://192.0.2.7 "), "{line}");
    assert_eq!(missing(TargetId::cache("192.0.2.6")), None);
}
