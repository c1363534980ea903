use super::*;

fn cache(has: Option<bool>, signed_by: &[&str], known: &[&str], trusted: bool) -> Cache {
    let names = |names: &[&str]| names.iter().map(|name| Printable::from(*name)).collect();
    Cache {
        url: "http://192.0.2.6:5000".into(),
        name: Some("desktop".into()),
        has,
        signed_by: names(signed_by),
        known_keys: names(known),
        trusted: (has == Some(true)).then_some(trusted),
        remembered: Memory::Nothing,
        remembers_for: 3600,
        target: None,
        error: "connection refused".into(),
        words: None,
    }
}

fn told(cache: Cache) -> String {
    let explained = Explained {
        explain_version: 1,
        path: "/nix/store/x-hello".into(),
        substitute: true,
        caches: vec![cache],
    };
    let style = Style {
        width: 200,
        ..Style::default()
    };
    page(&explained, &style)
}

#[test]
fn a_path_is_fetched_where_it_is_trusted() {
    assert_eq!(
        told(cache(Some(true), &["desktop-1"], &["desktop-1"], true)),
        "Nix fetches /nix/store/x-hello from cache/desktop.\n\n\
         ✔ cache/desktop   has it, signed by desktop-1, whose key nix.conf trusts; Nix remembers nothing of it\n"
    );
}

#[test]
fn what_keeps_it_from_being_fetched_is_said() {
    let words = [
        (
            cache(Some(true), &["a-1"], &[], false),
            "▲ cache/desktop   has it, signed by a-1, of which trusted-public-keys has no key;",
        ),
        (
            cache(Some(true), &["a-1"], &["a-1"], false),
            "signed by a-1, but not with the key that trusted-public-keys has by that name;",
        ),
        (
            cache(Some(true), &[], &[], false),
            "has it, unsigned, which Nix does not take;",
        ),
        (
            cache(Some(false), &[], &[], false),
            "- cache/desktop   does not have it;",
        ),
        (
            cache(None, &[], &[], false),
            "✗ cache/desktop   does not answer: connection refused;",
        ),
    ];
    for (cache, words) in words {
        let told = told(cache);
        assert!(told.contains(words), "{told}");
        assert!(!told.contains("Nix fetches"), "{told}");
    }
}

#[test]
fn a_miss_that_nix_remembers_keeps_it_from_asking_for_so_long() {
    let mut remembered = cache(Some(true), &["a-1"], &["a-1"], true);
    remembered.remembered = Memory::Miss { age: 600 };
    let page = told(remembered.clone());
    assert!(
        page.contains("cache/desktop has it, but it remembers that it was not there"),
        "{page}"
    );
    assert!(page.contains("Nix asked 10 min ago, it was not there, and asks again in 50 min (`offloadctl forget-misses`"), "{page}");
    remembered.remembered = Memory::Miss { age: 3600 };
    assert!(told(remembered.clone()).contains("Nix fetches"));
    remembered.remembered = Memory::Hidden;
    let page = told(remembered);
    assert!(page.contains("Nix fetches /nix/store/x-hello from cache/desktop, unless it remembers that it was not there."), "{page}");
    assert!(
        page.contains("\n\nWhat Nix remembers of having asked is root's to read"),
        "{page}"
    );
}

#[test]
fn what_is_in_the_store_is_a_path_of_it() {
    let store = "/nix/store";
    let path = format!("{store}/{}-hello-2", "0".repeat(32));
    let of = |text: &str| store_path(Path::new(text), store).ok();
    assert_eq!(of(&path).as_ref(), Some(&path));
    assert_eq!(of(&format!("{path}/bin/hello")).as_ref(), Some(&path));
    for wrong in [
        "/nix/store",
        "/nix/store/x",
        "/nix/store/../etc",
        "/",
        "/nix/store/e'--",
    ] {
        assert_eq!(of(wrong), None, "{wrong}");
    }
}

#[test]
fn the_words_say_what_keeps_nix_from_it_and_what_to_do() {
    let path = "/nix/store/x-hello";
    let mut missed = cache(Some(true), &["a-1"], &["a-1"], true);
    missed.remembered = Memory::Miss { age: 600 };
    for (cache, title, part) in [
        (
            cache(None, &[], &[], false),
            "does not answer",
            "curl http://192.0.2.6:5000/nix-cache-info",
        ),
        (
            cache(Some(true), &[], &[], false),
            "not signed",
            "--generate-binary-cache-key",
        ),
        (
            cache(Some(true), &["a-1"], &[], false),
            "signature not trusted",
            "begin with `a-1:`",
        ),
        (
            missed,
            "Nix remembers misses that are none",
            "offloadctl forget-misses",
        ),
    ] {
        let words = wrong::with(&cache, None, path).unwrap();
        assert_eq!(words.title, title);
        assert!(words.remedy.contains(part), "{words:?}");
    }
    for fine in [
        cache(Some(false), &[], &[], false),
        cache(Some(true), &["a-1"], &["a-1"], true),
    ] {
        assert_eq!(wrong::with(&fine, None, path), None);
    }
}

#[test]
fn of_a_watched_cache_that_is_down_offloadd_knows_why() {
    let down = Target {
        name: "desktop".into(),
        uri: "http://192.0.2.6:5000".into(),
        state: TargetState::Down,
        reason: crate::Reason::DnsFailed,
        ..Target::default()
    };
    let silent = cache(None, &[], &[], false);
    let words = wrong::with(&silent, Some(&down), "/nix/store/x-hello");
    assert_eq!(words, down.words());
}
