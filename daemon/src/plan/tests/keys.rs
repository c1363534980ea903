//! Keys: those that sign, and those of hosts.

use super::*;

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
