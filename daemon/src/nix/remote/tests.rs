use std::{fs, process::Command};

use proptest::prelude::*;

use super::*;

/// As Nix 2.26 prints them: these settings among some hundred others.
fn of_2_26(features: &str, builders: &str, more: &str) -> Vec<u8> {
    let setting = |name: &str, value: &str, default: &str| {
        format!(
            r#""{name}":{{"aliases":[],"defaultValue":{default},"description":"A \"setting\".","documentDefault":true,"experimentalFeature":null,"value":{value}}}"#
        )
    };
    let settings = [
        setting("accept-flake-config", "false", "false"),
        setting("allowed-users", r#"["*"]"#, r#"["*"]"#),
        setting("builders", builders, r#""@/etc/nix/machines""#),
        setting(
            "extra-platforms",
            r#"["i686-linux","x86_64-v1-linux"]"#,
            r#"["i686-linux","x86_64-v1-linux"]"#,
        ),
        setting("max-jobs", "16", "1"),
        setting("system", r#""x86_64-linux""#, r#""x86_64-linux""#),
        setting(
            "system-features",
            features,
            r#"["benchmark","big-parallel","nixos-test","uid-range"]"#,
        ),
    ];
    format!("{{{}{more}}}\n", settings.join(",")).into_bytes()
}

const DEFAULTS: &str = r#"["benchmark","big-parallel","nixos-test","uid-range"]"#;
const MACHINES: &str = r#""@/etc/nix/machines""#;

fn words(words: &[&str]) -> Vec<Printable> {
    words.iter().map(|word| (*word).into()).collect()
}

/// What the real Nix of this machine says with this nix.conf.
fn real(conf: &str) -> RemoteConf {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("nix.conf"), conf).unwrap();
    let output = Command::new("nix")
        .args(["--option", "extra-experimental-features", "nix-command"])
        .args(["show-config", "--json"])
        .env("NIX_CONF_DIR", dir.path())
        .env("HOME", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    RemoteConf::parse(&output.stdout).unwrap()
}

#[test]
fn what_real_nix_says_is_read() {
    let conf = real(
        "system = riscv64-linux\nextra-platforms = armv7l-linux\n\
         system-features = benchmark speed\nbuilders = @/nowhere/machines\n",
    );
    assert_eq!(conf.systems, ["riscv64-linux", "armv7l-linux"]);
    assert_eq!(conf.features, ["benchmark", "speed"]);
    assert!(conf.features_are_written);
    assert!(!conf.builds_nothing);
    assert_eq!(conf.others, Others::File("/nowhere/machines".into()));
}

#[test]
fn what_is_added_to_real_defaults_is_not_taken_for_the_whole_list() {
    let conf = real("extra-system-features = speed\nbuilders =\nmax-jobs = 0\n");
    assert!(conf.features.contains(&"speed".into()));
    assert!(conf.features.contains(&"big-parallel".into()));
    assert!(!conf.features_are_written);
    assert!(conf.builds_nothing);
    assert_eq!(conf.others, Others::None);
}

#[test]
fn each_system_and_feature_that_was_promised_in_vain_is_named() {
    let conf = RemoteConf::parse(&of_2_26(DEFAULTS, MACHINES, "")).unwrap();
    let systems = words(&["x86_64-linux", "aarch64-linux", "i686-linux", "builtin"]);
    let features = words(&["big-parallel", "gccarch-znver4", "cuda"]);
    let missing = conf.missing(&systems, &features);
    assert_eq!(missing.systems, ["aarch64-linux"]);
    assert_eq!(missing.features, ["gccarch-znver4", "cuda"]);
    assert!(missing.in_doubt.is_empty());
    let kept = conf.missing(&systems[..1], &features[..1]);
    assert_eq!(kept, Missing::default());
}

#[test]
fn a_missing_kvm_counts_only_where_the_features_are_written_down() {
    for (features, is_missing) in [
        (DEFAULTS, false),
        // extra-system-features = cuda
        (
            r#"["benchmark","big-parallel","cuda","nixos-test","uid-range"]"#,
            false,
        ),
        // system-features = benchmark big-parallel nixos-test, as NixOS writes it
        (r#"["benchmark","big-parallel","nixos-test"]"#, true),
    ] {
        let conf = RemoteConf::parse(&of_2_26(features, MACHINES, "")).unwrap();
        let missing = conf.missing(&[], &words(&["kvm"]));
        assert_eq!(missing.features == ["kvm"], is_missing, "{features}");
        assert_eq!(missing.in_doubt == ["kvm"], !is_missing, "{features}");
    }
}

#[test]
fn without_default_values_nothing_is_known_to_be_written_down() {
    // As Nix 2.3 has it.
    let json = br#"{"system":{"description":"","value":"x86_64-linux"},
                    "system-features":{"description":"","value":["foo"]}}"#;
    let conf = RemoteConf::parse(json).unwrap();
    assert!(!conf.features_are_written);
    assert_eq!(conf.others, Others::None);
}

#[test]
fn a_machine_that_builds_nothing_is_for_no_system() {
    let conf = real("max-jobs = 0\n");
    let own = conf.systems[0].clone();
    let missing = conf.missing(&[own.clone(), "builtin".into()], &[]);
    assert_eq!(missing.systems, [own]);
}

#[test]
fn who_else_builds_what_a_machine_is_given_is_read() {
    for (builders, others) in [
        (r#""""#, Others::None),
        (r#""\n ; # @none""#, Others::None),
        (MACHINES, Others::File("/etc/nix/machines".into())),
        (r#""@ /a;@/b""#, Others::Builders),
        (r#""ssh-ng://other aarch64-linux""#, Others::Builders),
    ] {
        let conf = RemoteConf::parse(&of_2_26(DEFAULTS, builders, "")).unwrap();
        assert_eq!(conf.others, others, "{builders}");
    }
    let more = r#","external-builders":{"defaultValue":[],"value":[{"systems":["x"]}]}"#;
    let conf = RemoteConf::parse(&of_2_26(DEFAULTS, r#""""#, more)).unwrap();
    assert_eq!(conf.others, Others::Programs);
}

#[test]
fn what_comes_after_it_does_not_matter() {
    let mut json = of_2_26(DEFAULTS, MACHINES, "");
    json.extend(b"bye \xff");
    assert!(RemoteConf::parse(&json).is_ok());
}

#[test]
fn what_a_remote_calls_a_feature_moves_no_cursor() {
    let features = r#"["kvm","\u001b]0;owned\u0007","\u0000\u009b2J","\u202e\u2028"]"#;
    let conf = RemoteConf::parse(&of_2_26(features, MACHINES, "")).unwrap();
    assert_eq!(
        conf.features,
        [
            "kvm",
            r"\x1b]0;owned\x07",
            r"\x00\u{9b}2J",
            r"\u{202e}\u{2028}"
        ]
    );
    // Nix holds them against each other byte by byte, and so it is here.
    let promised = ["\u{1b}]0;owned\u{7}", "\0\u{9b}2J"].map(Printable::from);
    assert_eq!(conf.missing(&[], &promised), Missing::default());
}

#[test]
fn no_value_is_trusted_to_be_small() {
    let many = format!("[{}\"x\"]", r#""x","#.repeat(MAX_WORDS));
    let deep = "[".repeat(200_000);
    for features in [many, deep, "7".into(), "[7]".into(), "null".into()] {
        let answer = RemoteConf::parse(&of_2_26(&features, MACHINES, ""));
        assert!(answer.is_err());
    }
    let long = format!(r#"["{}\u0000"]"#, "x".repeat(100_000));
    let conf = RemoteConf::parse(&of_2_26(&long, MACHINES, "")).unwrap();
    assert_eq!(conf.features[0].len(), Printable::MAX);
    let error = RemoteConf::parse(b"{}").unwrap_err();
    assert_eq!(error.to_string(), "the configuration has no 'system'");
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0usize..1500, patch in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let _ = RemoteConf::parse(&bytes);
        let mut json = of_2_26(DEFAULTS, MACHINES, "");
        let at = at.min(json.len());
        let end = (at + patch.len()).min(json.len());
        json.splice(at..end, patch);
        let _ = RemoteConf::parse(&json);
    }

    #[test]
    fn what_is_there_is_never_missing(
        systems in prop::collection::vec("[a-z0-9-]{1,8}".prop_map(Printable::from), 1..6),
        features in prop::collection::vec("[a-z0-9-]{1,8}".prop_map(Printable::from), 0..6),
    ) {
        let conf = RemoteConf {
            systems: systems.clone(),
            features: features.clone(),
            features_are_written: true,
            builds_nothing: false,
            others: Others::None,
        };
        prop_assert_eq!(conf.missing(&systems, &features), Missing::default());
    }
}
