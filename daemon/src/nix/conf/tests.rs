mod includes;

use super::*;
use proptest::prelude::*;
use std::{collections::HashMap, io::ErrorKind};

const CONF: &str = "/etc/nix/nix.conf";

fn conf_of(files: &[(&str, &str)]) -> ConfFile {
    let files: HashMap<&Path, &str> = files
        .iter()
        .map(|(path, text)| (Path::new(*path), *text))
        .collect();
    read(
        Path::new(CONF),
        &[],
        NixVersion::default(),
        |path| match files.get(path) {
            Some(&"EACCES") => Err(ErrorKind::PermissionDenied.into()),
            Some(text) => Ok((*text).to_owned()),
            None => Err(ErrorKind::NotFound.into()),
        },
    )
}

fn clean(text: &str) -> NixConf {
    let file = conf_of(&[(CONF, text)]);
    assert_eq!(file.problems, []);
    file.settings
}

fn problems(files: &[(&str, &str)]) -> Vec<(Option<u32>, String)> {
    let file = conf_of(files);
    file.problems
        .into_iter()
        .map(|problem| (problem.line, problem.text))
        .collect()
}

#[test]
fn an_empty_file_leaves_the_defaults() {
    let conf = clean("");
    assert_eq!(conf.substituters, ["https://cache.nixos.org/"]);
    assert_eq!(conf.builders, "@/etc/nix/machines");
    assert_eq!(conf.builders_at, (PathBuf::from(CONF), None));
    assert_eq!(conf.store_dir(), "/nix/store");
    assert_eq!(
        (conf.substitute, conf.fallback, conf.connect_timeout),
        (true, false, None)
    );
    assert!(conf.require_sigs);
    assert!(conf.system.ends_with("-linux"), "{}", conf.system);
    assert_eq!(conf.trusted_public_keys.len(), 1);
}

#[test]
fn the_lines_of_a_real_nix_conf_are_read() {
    let conf = clean(
        "# written by NixOS\nsubstituters =  http://192.0.2.6:5000\thttps://cache.nixos.org # lan first\r\n\
         extra-substituters = http://other:5000\ntrusted-substituters = http://x\n\
         builders = ssh://a x86_64-linux ; ssh://b\nconnect-timeout = 5\nfallback = true\n\
         max-jobs = auto\nsystem = aarch64-linux\nextra-platforms = i686-linux\n\
         extra-extra-platforms = x86_64-v2-linux\nssl-cert-file = /etc/ssl/x.pem\n\
         store = daemon?store=/srv/store\nno-such-setting = 1\nextra-builders = ssh://c\n",
    );
    assert_eq!(
        conf.substituters,
        [
            "http://192.0.2.6:5000",
            "https://cache.nixos.org",
            "http://other:5000"
        ]
    );
    assert_eq!(conf.builders, "ssh://a x86_64-linux ; ssh://b");
    assert_eq!(conf.builders_at, (PathBuf::from(CONF), Some(5)));
    assert_eq!(
        (conf.connect_timeout, conf.fallback, conf.max_jobs),
        (Some(5), true, MaxJobs::Auto)
    );
    assert_eq!(conf.system, "aarch64-linux");
    assert_eq!(
        (conf.extra_platforms.unwrap(), conf.extra_extra_platforms),
        (
            vec!["i686-linux".to_owned()],
            vec!["x86_64-v2-linux".to_owned()]
        )
    );
    assert_eq!(conf.ssl_cert_file.unwrap(), Path::new("/etc/ssl/x.pem"));
    assert_eq!(conf.store_dir.unwrap(), "/srv/store");
}

#[test]
fn the_store_says_where_nix_keeps_its_state() {
    for (store, state) in [
        ("", "/nix/var/nix"),
        ("store = daemon", "/nix/var/nix"),
        ("store = local?state=", "/nix/var/nix"),
        (
            "store = local?state=/srv/my%20state&root=/mnt",
            "/srv/my state",
        ),
        ("store = local?store=/s&root=/mnt", "/mnt/nix/var/nix"),
        ("store = local?root=/mnt\nstore = auto", "/nix/var/nix"),
    ] {
        assert_eq!(clean(store).state_dir(), Path::new(state), "{store}");
    }
}

#[test]
fn the_last_line_counts_whatever_name_it_uses() {
    let conf = clean(
        "binary-caches = http://old\nextra-binary-caches = http://more\nbuild-max-jobs = 3\n\
         build-fallback = yes\nbuild-use-substitutes = no\nmax-jobs = 2\n",
    );
    assert_eq!(conf.substituters, ["http://old", "http://more"]);
    assert_eq!(
        (conf.max_jobs, conf.fallback, conf.substitute),
        (MaxJobs::Count(2), true, false)
    );
    let conf = clean("extra-substituters = http://a\nsubstituters = http://b\nbuilders =\n");
    assert_eq!(
        (conf.substituters, conf.builders),
        (vec!["http://b".into()], String::new())
    );
}

#[test]
fn public_keys_are_appended_under_both_names() {
    let key = "desktop-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
    let conf = clean(&format!("extra-binary-cache-public-keys = {key}\n"));
    assert_eq!(conf.trusted_public_keys.len(), 2);
    let conf = clean(&format!("trusted-public-keys = {key}\n"));
    assert_eq!(conf.trusted_public_keys, [key]);
}

#[test]
fn signatures_are_required_unless_nix_is_told_otherwise() {
    assert!(!clean("require-sigs = false\n").require_sigs);
    assert!(clean("secret-key-files = /etc/nix/key\n").has_own_keys);
    assert!(!clean("secret-key-files = /etc/nix/key\nsecret-key-files =\n").has_own_keys);
    assert!(clean("require-sigs = no\nrequire-sigs = yes\n").require_sigs);
    let told = problems(&[(CONF, "require-sigs = never\n")]);
    let expected = "'require-sigs' has the invalid value 'never'";
    assert_eq!(told, [(Some(1), expected.to_owned())]);
}

#[test]
fn how_long_a_miss_and_a_hit_are_remembered_is_read() {
    assert_eq!(clean("").positive_ttl, 30 * 24 * 3600);
    assert_eq!(clean("narinfo-cache-positive-ttl = 7\n").positive_ttl, 7);
    assert_eq!(clean("").negative_ttl, 3600);
    assert_eq!(clean("narinfo-cache-negative-ttl = 0\n").negative_ttl, 0);
    // Nix has 32 bits for it.
    let too_long = problems(&[(CONF, "narinfo-cache-negative-ttl = 4294967296\n")]);
    assert_eq!(too_long.len(), 1);
}

#[test]
fn a_file_that_only_root_may_read_is_not_judged() {
    let files = [
        (CONF, "include secret\nfallback = true\n"),
        ("/etc/nix/secret", "EACCES"),
    ];
    let file = conf_of(&files);
    let hidden: Vec<_> = file
        .problems
        .iter()
        .map(|p| (p.source, p.file.as_path()))
        .collect();
    assert_eq!(hidden, [(Source::NotVisible, Path::new("/etc/nix/secret"))]);
    assert!(file.settings.fallback);
    let file = conf_of(&[(CONF, "EACCES")]);
    assert_eq!(file.problems[0].source, Source::NotVisible);
}

#[test]
fn what_root_and_the_system_set_counts_behind_nix_conf() {
    let files = HashMap::from([
        (
            Path::new(CONF),
            "substituters = http://a\nfallback = true\n",
        ),
        (
            Path::new("/etc/xdg/nix/nix.conf"),
            "extra-substituters = http://b\nfallback = false\n",
        ),
        (Path::new("/root/.config/nix/nix.conf"), "fallback = true\n"),
    ]);
    let users = ["/etc/xdg/nix/nix.conf", "/root/.config/nix/nix.conf"].map(PathBuf::from);
    let file = read(Path::new(CONF), &users, NixVersion::default(), |path| {
        let text = files.get(path).map(|text| (*text).to_owned());
        text.ok_or_else(|| ErrorKind::NotFound.into())
    });
    assert_eq!(file.settings.substituters, ["http://a", "http://b"]);
    assert!(file.settings.fallback);
    assert_eq!(file.files.len(), 3);
}

#[test]
fn another_machines_store_and_another_programs_hook_are_seen() {
    let seen = |text: &str, version| {
        let conf = read(Path::new(CONF), &[], version, |_| Ok(text.to_owned())).settings;
        let set = conf.store_elsewhere.or(conf.foreign_hook);
        set.map(|set| (set.value, set.line))
    };
    let (old, middle, new) = (
        NixVersion::new(2, 8, 0),
        NixVersion::new(2, 26, 3),
        NixVersion::new(2, 34, 8),
    );
    for store in [
        "",
        "auto",
        "daemon",
        "/mnt",
        "unix:///run/nix",
        "local?root=/mnt",
        "local://",
    ] {
        assert_eq!(seen(&format!("store = {store}\n"), new), None, "{store}");
    }
    for store in [
        "ssh-ng://nix@desktop",
        "ssh://desktop",
        "http://desktop:5000",
        "file:///srv/cache",
    ] {
        let told = Some((store.to_owned(), 2));
        assert_eq!(seen(&format!("cores = 1\nstore = {store}\n"), new), told);
        assert_eq!(seen(&format!("store = {store}\nstore = auto\n"), new), None);
    }
    let hook = |value: &str, version| seen(&format!("build-hook = {value}\n"), version);
    for own in [
        "/usr/libexec/nix/build-remote",
        "/nix/store/x-nix/bin/nix __build-remote",
    ] {
        assert_eq!(hook(own, new), None, "{own}");
    }
    let wrapper = Some(("/run/hook".to_owned(), 1));
    assert_eq!(hook("/run/hook", old), wrapper);
    assert_eq!(hook("/run/hook", middle), None, "that one overwrites it");
    assert_eq!(hook("/run/hook", new), wrapper);
}

#[test]
fn one_substituter_that_is_no_store_breaks_the_file_for_a_nix_that_asks_at_once() {
    for text in [
        "substituters = \"http://a:1\" 'http://b:2'\n",
        "substituters = http://a:1,http://b:2\n",
        "extra-substituters = http://a:1\0x\n",
        "substituters = http://a:1 = http://b:2\n",
    ] {
        let broken = |version| {
            let file = read(Path::new(CONF), &[], version, |_| Ok(text.to_owned()));
            !file.problems.is_empty()
        };
        assert!(broken(NixVersion::new(2, 34, 8)), "{text}");
        assert!(!broken(NixVersion::new(2, 26, 3)), "{text}");
    }
}

#[test]
fn what_is_wrong_with_settings_is_bounded() {
    let text = "fallback = perhaps\n".repeat(1000);
    assert_eq!(problems(&[(CONF, &text)]).len(), 32);
}

#[test]
fn bad_lines_are_named_and_the_others_count() {
    let text = "fallback\nfallback=true\ninclude\ninclude a b\nfallback = maybe\nconnect-timeout = 5s\n\
        max-jobs = -1\ntrusted-public-keys = desktop\naccess-tokens github.com=secret\nfallback = true\n";
    let file = conf_of(&[(CONF, text)]);
    let lines: Vec<_> = file
        .problems
        .iter()
        .filter_map(|problem| problem.line)
        .collect();
    assert_eq!(lines, [1, 2, 3, 4, 9, 5, 6, 7, 8]);
    assert!(
        file.problems
            .iter()
            .all(|problem| !problem.text.contains("secret"))
    );
    assert_eq!(
        file.problems[5].text,
        "'fallback' has the invalid value 'maybe'"
    );
    assert!(file.settings.fallback);
}

#[test]
fn a_file_that_is_not_there_is_told_from_one_that_can_not_be_read() {
    let file = conf_of(&[]);
    assert!(file.missing && file.problems.is_empty());
    assert_eq!(file.settings, NixConf::of(Path::new(CONF)));
    assert_eq!(file.files, [Path::new(CONF)]);
    let file = conf_of(&[(CONF, "EACCES")]);
    assert!(!file.missing);
    assert_eq!(file.problems.len(), 1);
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(\\PC|[\n\t =#!])*") {
        let _ = conf_of(&[(CONF, &text)]);
    }

    #[test]
    fn any_lines_of_the_right_words_are_read(
        words in proptest::collection::vec("(include|!include|nix.conf|a|=|#|\n|extra-|substituters|fallback|max-jobs|1|true)", 0..40),
    ) {
        let file = conf_of(&[(CONF, &words.join(" ")), ("/etc/nix/a", &words.join(" "))]);
        prop_assert!(file.problems.len() <= 32 + words.len() * 256);
    }

    #[test]
    fn lists_are_read_back(items in proptest::collection::vec("[a-z0-9:/.]{1,20}", 0..8), space in "[ \t]{1,3}") {
        // What is no store is told by some versions, and counts as before.
        let conf = conf_of(&[(CONF, &format!("substituters ={space}{}", items.join(&space)))]);
        prop_assert_eq!(conf.settings.substituters, items);
    }
}
