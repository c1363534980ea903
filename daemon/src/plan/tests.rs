mod entries;
mod keys;
mod unread;
mod unused;

use self::entries::afternoon;
use super::*;
use crate::{
    config::{BuilderEntry, CacheEntry, Connection, NixImport, Poll, Steer},
    drift::Steering,
    nix::{
        self, MaxJobs, NixConf, NixVersion, Problem, Source,
        fixtures::{ECDSA, ED25519},
        keys::parse_host_key,
    },
    target::{BuilderSpec, CacheSpec, HostKeyRule, Protocol},
};
use data_encoding::BASE64;
use offload_client::{Printable, snapshot::Detail};
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
    // What Nix can't read either is to be mended, and not only not watched.
    let refused = plan
        .warnings
        .iter()
        .filter(|it| it.details.contains_key("refused"));
    let refused: Vec<String> = refused.map(|it| it.details["error"].to_string()).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(
        refused
            .iter()
            .all(|it| it.starts_with("not a store URL that Nix accepts"))
    );
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
    let nothing = Plan {
        proving: plan_without.proving.clone(),
        ..Plan::default()
    };
    assert_eq!(plan_without, nothing);
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
