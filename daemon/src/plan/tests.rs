use offload_client::Printable;

use super::*;
use crate::{
    config::{BuilderEntry, CacheEntry, Connection, NixImport, Poll, Steer},
    drift::Steering,
    nix::{
        self, MaxJobs, NixConf, NixVersion,
        fixtures::{ECDSA, ED25519},
        keys::parse_host_key,
    },
    target::{BuilderSpec, CacheSpec, HostKeyRule, Protocol},
};
use data_encoding::BASE64;
use proptest::prelude::*;
use std::{fs, path::Path};

fn settings() -> Settings {
    Settings {
        poll: Poll {
            connection: Connection::Keep,
            ..Poll::default()
        },
        nix: NixImport {
            import: true,
            conf: "/etc/nix/nix.conf".into(),
            exclude: vec![
                "https://cache.nixos.org".into(),
                "https://*.cachix.org".into(),
            ],
        },
        ..Settings::default()
    }
}

/// Reads real files, as the daemon would.
fn imported(conf: &str, machines: &str) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("nix.conf"), conf).unwrap();
    fs::write(dir.path().join("machines"), machines).unwrap();
    nix::read(
        &dir.path().join("nix.conf"),
        NixVersion::default(),
        &crate::files::Direct,
    )
}

#[test]
fn of_more_builders_than_are_watched_the_rest_is_one_warning() {
    let line = |number| format!("ssh-ng://nobody@192.0.2.6:{number} - - 1\n");
    let machines: String = (1..=1500).map(line).collect();
    let read = imported("substituters =\n", &machines);
    let plan = plan(&settings(), &read);
    assert_eq!(plan.targets.len(), 1024);
    let [warning] = &plan.warnings[..] else {
        panic!("{:?}", plan.warnings);
    };
    assert_eq!(warning.code, WarningCode::TooManyBuilders);
    let detail = |key: &str| warning.details.get(key).cloned();
    assert_eq!(detail("left_out"), Some(476.into()));
    assert_eq!(detail("line"), Some(1025.into()));
    assert_eq!(detail("uri"), Some("ssh-ng://nobody@192.0.2.6:1025".into()));
    let words = offload_client::warnings::explanation_for(warning);
    assert!(words.contains("476 are left out"), "{words}");

    // A bad line counts wherever it stands: Nix drops the whole list.
    let read = imported("substituters =\n", &(machines + "ssh://desktop - - x\n"));
    let plan = super::plan(&settings(), &read);
    assert_eq!(plan.targets, []);
    let codes: Vec<_> = plan.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::MachinesFileBroken]);
}

fn address(host: &str) -> Address {
    Address {
        host: host.into(),
        port: None,
    }
}

fn cache_entry(name: &str) -> CacheEntry {
    CacheEntry {
        name: name.into(),
        url: None,
        addresses: Vec::new(),
        public_keys: Vec::new(),
        sample: None,
        host: None,
        place: Default::default(),
    }
}

fn builder_entry(name: &str) -> BuilderEntry {
    BuilderEntry {
        name: name.into(),
        uri: None,
        addresses: Vec::new(),
        ssh_key: None,
        host_keys: Vec::new(),
        systems: Vec::new(),
        features: Vec::new(),
        place: Default::default(),
    }
}

fn cache(target: &TargetSpec) -> &CacheSpec {
    match &target.kind {
        SpecKind::Cache(cache) => cache,
        SpecKind::Builder(_) => panic!("{} is a builder", target.id),
    }
}

fn builder(target: &TargetSpec) -> &BuilderSpec {
    match &target.kind {
        SpecKind::Builder(builder) => builder,
        SpecKind::Cache(_) => panic!("{} is a cache", target.id),
    }
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.targets
        .iter()
        .map(|target| target.id.to_string())
        .collect()
}

fn hosts(target: &TargetSpec) -> Vec<&str> {
    target
        .addresses
        .iter()
        .map(|address| address.host.as_str())
        .collect()
}

fn errors(plan: &Plan) -> Vec<(WarningCode, Printable)> {
    let text = |warning: &Warning| match &warning.details["error"] {
        Detail::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    plan.warnings
        .iter()
        .map(|warning| (warning.code, text(warning)))
        .collect()
}

#[test]
fn what_nix_is_configured_with_is_watched_in_its_order() {
    let imported = imported(
        "substituters = https://cache.nixos.org http://desktop:5000/nix?priority=10 https://x.cachix.org\n\
         extra-substituters = https://desktop/ http://desktop:5000/nix/\n",
        "ssh-ng://nix@desktop x86_64-linux,i686-linux /key 8 2 kvm big\nssh://laptop\n",
    );
    let plan = plan(&settings(), &imported);
    assert_eq!(plan.warnings, []);
    assert_eq!(
        ids(&plan),
        [
            "cache/desktop",
            "cache/desktop-2",
            "builder/desktop",
            "builder/laptop"
        ]
    );

    let first = cache(&plan.targets[0]);
    assert_eq!(plan.targets[0].uri, "http://desktop:5000/nix?priority=10");
    assert_eq!(
        (first.tls, first.port, first.path.as_str()),
        (false, 5000, "/nix")
    );
    assert_eq!(first.store_dir, "/nix/store");
    assert_eq!(first.public_keys, NixConf::default().trusted_public_keys);
    assert_eq!(first.host_builder.as_deref(), Some("desktop"));
    assert_eq!(cache(&plan.targets[1]).port, 443);

    let desktop = builder(&plan.targets[2]);
    assert_eq!(
        (desktop.protocol, desktop.user.as_deref()),
        (Protocol::SshNg, Some("nix"))
    );
    assert_eq!(desktop.features, ["big", "kvm"]);
    assert_eq!(desktop.mandatory_features, ["big"]);
    assert_eq!((desktop.max_jobs, desktop.speed_factor), (8, 2.0));
    assert_eq!(plan.files, imported.files);
}

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
fn signatures_are_asked_for_where_nix_asks_for_them() {
    let urls = "substituters = http://a http://b?trusted=true http://c?trusted=false\n";
    let required = |conf: &str| {
        let mut settings = settings();
        let sample = format!("/nix/store/{}-hello", "0".repeat(32));
        settings.caches = vec![CacheEntry {
            sample: Some(sample.clone()),
            ..cache_entry("a")
        }];
        let plan = plan(&settings, &imported(conf, ""));
        let caches: Vec<_> = plan.targets.iter().map(cache).collect();
        assert_eq!(caches[0].sample, Some(sample));
        assert_eq!(caches[1].sample, None);
        let required = caches.iter().map(|cache| cache.require_sigs);
        required.collect::<Vec<_>>()
    };
    assert_eq!(required(urls), [true, false, true]);
    let lax = format!("{urls}require-sigs = false\n");
    assert_eq!(required(&lax), [false; 3]);
}

#[test]
fn the_keys_that_nix_trusts_decide_and_others_are_warned_of() {
    let known = "desktop-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let entry = |key: &str| CacheEntry {
        public_keys: vec![key.into()],
        url: Some("http://desktop:5000".into()),
        ..cache_entry("desktop")
    };
    let conf = format!("substituters = http://desktop:5000\ntrusted-public-keys = {known}\n");
    let imported = imported(&conf, "");
    let mut settings = settings();
    settings.caches = vec![entry(known)];
    let agreed = plan(&settings, &imported);
    assert_eq!(agreed.warnings, []);

    settings.caches = vec![entry("desktop-2:x")];
    let differs = plan(&settings, &imported);
    assert_eq!(cache(&differs.targets[0]).public_keys, [known]);
    let [warning] = differs.warnings.as_slice() else {
        panic!("{:?}", differs.warnings);
    };
    assert_eq!(warning.code, WarningCode::KeyNotTrusted);
    let list = |key: &str| Detail::List(vec![key.into()]);
    assert_eq!(warning.details["expected"], list(known));
    assert_eq!(warning.details["actual"], list("desktop-2:x"));
    let told = offload_client::warnings::remedy_for(warning);
    assert!(
        told.contains("extra-trusted-public-keys = desktop-2:x"),
        "{told}"
    );

    // Where Nix is not asked, nothing is known of what it trusts but what the entry says.
    settings.nix.import = false;
    let alone = plan(&settings, &Imported::default());
    assert_eq!(alone.warnings, []);
    assert_eq!(cache(&alone.targets[0]).public_keys, ["desktop-2:x"]);
    assert!(cache(&alone.targets[0]).require_sigs);
    settings.caches[0].public_keys.clear();
    let nothing = plan(&settings, &Imported::default());
    assert!(!cache(&nothing.targets[0]).require_sigs);
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
fn what_can_not_be_watched_is_said_with_the_reason_and_without_secrets() {
    let imported = imported(
        "substituters = file:///srv http://me:secret@desktop http://me:se/secret@desktop ssh://desktop s3://bucket http://ok http://\n",
        "localhost\nhttp://desktop\nssh://desktop?base64-ssh-public-host-key=!\n",
    );
    let plan = plan(&settings(), &imported);
    assert_eq!(ids(&plan), ["cache/ok"]);
    let errors = errors(&plan);
    // A port that is none breaks the file for Nix as well.
    let (broken, errors) = errors.split_first().unwrap();
    assert_eq!(broken.0, WarningCode::NixConfBroken);
    assert_eq!(errors.len(), 9, "{errors:?}");
    assert!(
        errors
            .iter()
            .all(|(code, _)| *code == WarningCode::NotWatchable)
    );
    assert!(errors[2].1.contains("public host key"), "{errors:?}");
    assert_eq!(plan.warnings[3].details["line"], Detail::Uint(3));
    assert!(!format!("{plan:?}").contains("secret"));
}

#[test]
fn a_password_that_nix_takes_for_a_path_is_not_published() {
    let imported = imported("substituters = http://me:5/secret@desktop\n", "");
    let plan = plan(&settings(), &imported);
    assert_eq!(ids(&plan), ["cache/me"]);
    assert_eq!(plan.targets[0].uri, "http://***@desktop");
}

#[test]
fn problems_of_the_files_become_warnings_with_their_place() {
    let plan = plan(
        &settings(),
        &imported("fallback\n", "ssh://a\nssh://b - - many\n"),
    );
    assert!(plan.targets.is_empty());
    let codes: Vec<_> = plan.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(
        codes,
        [WarningCode::NixConfBroken, WarningCode::MachinesFileBroken]
    );
    let details = &plan.warnings[1].details;
    assert_eq!(
        (&details["line"], &details["field"]),
        (&Detail::Uint(2), &Detail::Uint(4))
    );
    assert!(matches!(&details["file"], Detail::Text(file) if file.ends_with("/machines")));
}

#[test]
fn the_host_key_of_a_machine_is_what_nix_writes_for_ssh() {
    let key = format!("ssh-ed25519 {ED25519}");
    let field = BASE64.encode(format!("{key} root@desktop\n").as_bytes());
    let machines = format!(
        "ssh://desktop:2222 - - - - - - {field}\nssh://other?base64-ssh-public-host-key={field}&ssh-key=/k\n",
    );
    let plan = plan(&settings(), &imported("", &machines.replace("==", "")));
    assert_eq!(plan.warnings, []);
    for (target, host) in plan.targets.iter().zip(["desktop", "other"]) {
        let HostKeyRule::Written(text) = &builder(target).host_keys else {
            panic!("{target:?}");
        };
        let line = format!("{host} {key} root@desktop");
        assert_eq!(text.lines().next(), Some(line.as_str()));
    }
    assert_eq!(builder(&plan.targets[1]).ssh_key, Some("/k".into()));
}

#[test]
fn the_host_key_of_nix_stays_in_force_and_a_contradiction_is_said() {
    let ours = format!("ssh-ed25519 {ED25519}");
    let other = format!("ecdsa-sha2-nistp256 {ECDSA}");
    let fingerprint = |key: &str| {
        let key = parse_host_key(key).unwrap().remove(0);
        Detail::List(vec![key.fingerprint(Default::default()).to_string().into()])
    };
    for (field, said) in [
        (ours.as_str(), None),
        (&other, Some(Some(fingerprint(&other)))),
        ("not-a-key", Some(None)),
    ] {
        let line = format!(
            "ssh://192.0.2.7 - - - - - - {}\n",
            BASE64.encode(field.as_bytes())
        );
        let mut settings = settings();
        settings.builders = vec![BuilderEntry {
            addresses: vec![address("192.0.2.7")],
            host_keys: parse_host_key(&ours).unwrap(),
            ..builder_entry("desktop")
        }];
        let plan = plan(&settings, &imported("", &line));
        let written = HostKeyRule::Written(format!("192.0.2.7 {field}\n"));
        assert_eq!(builder(&plan.targets[0]).host_keys, written);
        let warnings: Vec<_> = plan
            .warnings
            .iter()
            .map(|warning| {
                assert_eq!(warning.code, WarningCode::HostKeyDiffers);
                let target = Some((Kind::Builder, "desktop".into()));
                assert_eq!(warning.target, target);
                assert_eq!(warning.details["actual"], fingerprint(&ours));
                warning.details.get("expected").cloned()
            })
            .collect();
        assert_eq!(warnings, Vec::from_iter(said));
    }
}

#[test]
fn two_lines_of_one_builder_are_one_target() {
    let machines =
        "ssh://desktop x86_64-linux - 4 1 kvm big\ndesktop:22 i686-linux /key 2 1 - big,x\n";
    let plan = plan(&settings(), &imported("", machines));
    assert_eq!(ids(&plan), ["builder/desktop"]);
    let builder = builder(&plan.targets[0]);
    assert_eq!(builder.systems, ["i686-linux", "x86_64-linux"]);
    assert_eq!(builder.features, ["big", "kvm", "x"]);
    assert_eq!(
        (builder.mandatory_features.as_slice(), builder.max_jobs),
        (["big".into()].as_slice(), 6)
    );
    assert_eq!(builder.ssh_key, Some("/key".into()));
}

#[test]
fn nothing_configured_is_nothing_to_watch() {
    let plan_of_nothing = plan(&settings(), &imported("builders =\n", ""));
    assert_eq!(
        (ids(&plan_of_nothing), plan_of_nothing.warnings.len()),
        (vec![], 0)
    );
    let mut unimported = settings();
    unimported.nix.import = false;
    unimported.nix.exclude.clear();
    let plan_without = plan(&unimported, &Imported::default());
    assert_eq!(plan_without, Plan::default());
}

#[test]
fn substituters_that_nix_does_not_use_are_not_watched() {
    let plan = plan(
        &settings(),
        &imported("substitute = false\nsubstituters = http://desktop\n", ""),
    );
    assert!(plan.targets.is_empty());
    let [warning] = &plan.warnings[..] else {
        panic!("{:?}", plan.warnings);
    };
    assert_eq!(warning.code, WarningCode::SubstitutionOff);
    let expected = Detail::List(vec!["http://desktop".into()]);
    assert_eq!(warning.details["expected"], expected);
    let unused = BTreeMap::from([(Kind::Cache, Reason::SubstitutionOff)]);
    assert_eq!(plan.unused, unused);
}

#[test]
fn settings_of_nix_reach_the_target() {
    let conf =
        "substituters = http://desktop?store=/other\nssl-cert-file = /ca.pem\nmax-jobs = 0\n";
    let imported = imported(conf, "");
    assert_eq!(imported.conf.max_jobs, MaxJobs::Count(0));
    let plan = plan(&settings(), &imported);
    assert_eq!(cache(&plan.targets[0]).store_dir, "/other");
    assert_eq!(
        cache(&plan.targets[0]).ssl_cert_file,
        Some("/ca.pem".into())
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
fn afternoon() -> Settings {
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

#[test]
fn nix_can_lack_only_what_its_files_were_asked_for() {
    let lacks = |settings: &Settings, imported: &Imported| {
        let origins = plan(settings, imported).origins;
        origins.values().filter(|it| it.missing.is_some()).count()
    };
    let mut settings = afternoon();
    let nothing = imported("substituters =\n", "");
    assert_eq!(lacks(&settings, &nothing), 2);
    let unread = Imported::default();
    assert_eq!(lacks(&settings, &unread), 0, "there is no nix.conf");
    // It is there, and only not watched as Nix's.
    settings.nix.exclude.push("http://192.0.2.7:5000".into());
    let excluded = imported("substituters = http://192.0.2.7:5000\n", "");
    assert_eq!(lacks(&settings, &excluded), 1);
    settings.nix.import = false;
    assert_eq!(lacks(&settings, &nothing), 0);
}

#[test]
fn builders_that_nix_is_told_not_to_use_are_told() {
    let off = imported("# \nbuilders =\n", "ssh://nix@desktop\n");
    let plan_of = |settings: &Settings, imported: &Imported| {
        let warnings = plan(settings, imported).warnings;
        let codes = warnings.iter().map(|warning| warning.code);
        assert!(
            codes
                .clone()
                .all(|code| code == WarningCode::BuildersDisabled)
        );
        warnings.into_iter().map(|warning| warning.details).next()
    };
    let details = plan_of(&settings(), &off).unwrap();
    assert_eq!(
        details["expected"],
        Detail::List(vec!["ssh://nix@desktop".into()])
    );
    assert_eq!(details["line"], Detail::Uint(2));
    assert!(matches!(&details["machines"], Detail::Text(file) if file.ends_with("/machines")));
    assert!(off.files.iter().any(|file| file.ends_with("machines")));

    let empty = imported("builders =\n", "");
    assert_eq!(plan_of(&settings(), &empty), None);
    let declared = plan_of(&afternoon(), &empty).unwrap();
    assert_eq!(
        declared["expected"],
        Detail::List(vec!["ssh-ng://192.0.2.7".into()])
    );
    assert!(!declared.contains_key("machines"));
    assert_eq!(
        plan_of(&settings(), &imported("", "ssh://nix@desktop\n")),
        None
    );
}

/// What keeps Nix from the only builder, and from all.
fn passed_by(settings: &Settings, imported: &Imported) -> (Option<Reason>, Option<Reason>) {
    let plan = plan(settings, imported);
    let mut origins = plan.origins.iter();
    let origin = origins.find(|(id, _)| id.kind == Kind::Builder);
    let warning = origin.and_then(|(_, origin)| origin.passed_by.as_ref());
    (
        warning.and_then(|warning| warning.code.hinders()),
        plan.unused.get(&Kind::Builder).copied(),
    )
}

#[test]
fn nix_passes_a_builder_by_where_it_makes_use_of_no_line_of_it() {
    let none = |machines: &str| passed_by(&settings(), &imported("", machines));
    let slots = Some(Reason::BuilderWithoutSlots);
    assert_eq!(none("ssh://nix@desktop - - 0\n"), (slots, None));
    let two = "ssh://nix@desktop - - 0\nssh://nix@desktop - - 4\n";
    assert_eq!(none(two), (None, None));
    assert_eq!(none("ssh://nix@desktop\n"), (None, None));
    let relative = Some(Reason::NixVersion);
    assert_eq!(none("ssh://nix@desktop - key\n"), (relative, None));
}

#[test]
fn what_keeps_nix_from_all_builders_keeps_it_from_each() {
    let off = Some(Reason::BuildersDisabled);
    let empty = imported("builders =\n", "");
    assert_eq!(passed_by(&afternoon(), &empty), (off, off));
    let unused = imported("builders =\n", "ssh://nix@desktop\n");
    assert_eq!(passed_by(&settings(), &unused), (None, off));
    let line = Some(Reason::MachinesFileBroken);
    let broken = imported("", "ssh://nix@desktop - - many\n");
    assert_eq!(passed_by(&afternoon(), &broken), (line, line));
    // Nix reads none of its settings, this one among them.
    let conf = Some(Reason::NixConfBroken);
    let broken = imported("builders =\nfallback = perhaps\n", "");
    assert_eq!(passed_by(&afternoon(), &broken), (conf, conf));
}

#[test]
fn of_what_may_not_be_read_nothing_is_missed() {
    let hides = |file: &Path| Problem {
        source: Source::NotVisible,
        file: file.to_owned(),
        line: None,
        field: None,
        text: "Permission denied".into(),
    };
    let missing = |imported: &Imported| {
        let origins = plan(&afternoon(), imported).origins;
        [TargetId::cache("desktop"), TargetId::builder("desktop")]
            .map(|id| origins[&id].missing.is_some())
    };
    let mut hidden = imported("substituters =\n", "");
    assert_eq!(missing(&hidden), [true, true]);
    hidden.problems = vec![hides(Path::new("/etc/nix/machines"))];
    assert_eq!(missing(&hidden), [true, false]);
    let conf = hidden.conf_files[0].clone();
    hidden.problems = vec![hides(&conf)];
    assert_eq!(missing(&hidden), [false, false]);
    hidden.conf.builders.clear();
    assert_eq!(passed_by(&afternoon(), &hidden), (None, None));
}

#[test]
fn a_nix_conf_that_is_not_there_keeps_nix_from_nothing() {
    let absent = Imported {
        problems: vec![Problem {
            source: Source::Conf,
            file: "/srv/nix.conf".into(),
            line: None,
            field: None,
            text: "No such file or directory".into(),
        }],
        ..Imported::default()
    };
    assert_eq!(passed_by(&afternoon(), &absent), (None, None));
}

proptest! {
    #[test]
    fn names_are_unique_and_every_target_has_an_address(
        substituters in proptest::collection::vec("(http|https|ssh)://[ab](:[1-3])?(/x)?", 0..8),
        machines in proptest::collection::vec("(ssh|ssh-ng)://(u@)?[ab](:[1-3])?", 0..8),
        entries in proptest::collection::btree_map("[abc]", proptest::option::of("http://[ab](:[1-3])?"), 0..3),
    ) {
        let imported = imported(
            &format!("substituters = {}\n", substituters.join(" ")),
            &machines.join("\n"),
        );
        let mut settings = settings();
        for (name, url) in entries {
            settings.builders.push(builder_entry(&name));
            settings.caches.push(CacheEntry { url, ..cache_entry(&name) });
        }
        let plan = plan(&settings, &imported);
        prop_assert!(plan.targets.iter().all(|target| plan.origins.contains_key(&target.id)));
        let mut names = ids(&plan);
        let count = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), count);
        prop_assert!(plan.targets.iter().all(|target| !target.addresses.is_empty()));
    }
}

#[test]
fn the_gateway_is_no_cache_of_its_own_and_stands_for_those_behind_it() {
    let desktop = CacheEntry {
        url: Some("http://192.0.2.6:5000".into()),
        ..cache_entry("desktop")
    };
    let steered = |gateway: Option<&str>, substituters: &str| {
        let settings = Settings {
            steer: Steer {
                gateway: gateway.map(|at| at.parse().unwrap()),
            },
            caches: vec![desktop.clone()],
            ..settings()
        };
        let plan = plan(
            &settings,
            &imported(&format!("substituters = {substituters}\n"), ""),
        );
        assert_eq!(ids(&plan), ["cache/desktop"], "{substituters}");
        assert_eq!(plan.warnings, []);
        let origin = plan.origins[&TargetId::cache("desktop")].clone();
        (origin.steering, origin.missing, origin.deployed.is_some())
    };
    let at = Some("127.0.0.1:5001");
    let wanted = || Steering::Wanted("http://127.0.0.1:5001".into());
    let add = |url: &str| Some(url.to_owned());
    for (gateway, substituters, expected) in [
        (None, "http://192.0.2.6:5000", (Steering::Off, None, true)),
        (
            None,
            "",
            (Steering::Off, add("http://192.0.2.6:5000"), false),
        ),
        (
            at,
            "http://127.0.0.1:5001",
            (Steering::ByGateway, None, false),
        ),
        (
            at,
            "http://localhost:5001?priority=20",
            (Steering::ByGateway, None, false),
        ),
        // Nix asks both.
        (
            at,
            "http://127.0.0.1:5001 http://192.0.2.6:5000",
            (wanted(), None, true),
        ),
        (at, "", (wanted(), add("http://127.0.0.1:5001"), false)),
    ] {
        assert_eq!(steered(gateway, substituters), expected, "{substituters}");
    }
}
