//! What holds of every configuration.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn loading_never_panics(text in ".*") {
        let machine = Machine::new(&text);
        let _ = describe(&machine.sources).map_err(|errors| errors.to_string());
    }

    #[test]
    fn loading_never_panics_near_the_real_thing(lines in prop::collection::vec(line(), 0..12), env in value()) {
        let machine = Machine::new(&lines.join("\n"))
            .env("OFFLOADD_POLL__INTERVAL", &env)
            .env("OFFLOADD_CACHE", &env)
            .cache(&env);
        let shown = describe(&machine.sources).map_err(|errors| errors.to_string());
        if let Err(errors) = shown {
            prop_assert!(errors.ends_with("--check-config"), "{}", errors);
        }
    }

    #[test]
    fn what_is_shown_reads_back(config in config()) {
        let machine = Machine::new(&config);
        let shown = describe(&machine.sources);
        let shown = shown.map_err(|errors| TestCaseError::fail(format!("{config}{errors}")))?;
        let (written, read) = (machine.load(), Machine::new(&shown.1.text).load());
        prop_assert_eq!(bare(read), bare(written));
    }
}

/// Without where it stands, which is of the file alone.
fn bare(mut settings: Settings) -> Settings {
    settings.files = Files::default();
    let caches = settings.caches.iter_mut().map(|entry| &mut entry.place);
    let builders = settings.builders.iter_mut().map(|entry| &mut entry.place);
    for place in caches.chain(builders) {
        assert!(matches!(place, Location::File(_, Some(_))), "{place:?}");
        *place = Location::Default;
    }
    settings
}

fn line() -> impl Strategy<Value = String> {
    let section = prop::sample::select(vec![
        "[poll]",
        "[nix]",
        "[[cache]]",
        "[[builder]]",
        "[cache]",
        "[discover]",
        "[proof]",
        "[steer]",
        "[metrics]",
        "cache = [{}]",
    ]);
    let keys = SECTIONS.iter().flat_map(|section| section.keys);
    let keys = keys.map(|key| key.name).chain(["unknown"]);
    let key = prop::sample::select(keys.collect::<Vec<_>>());
    prop_oneof![
        1 => section.prop_map(str::to_owned),
        3 => (key, value()).prop_map(|(key, value)| format!("{key} = {value}")),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "\"30s\"",
        "\"0s\"",
        "\"-1s\"",
        "\"1000y\"",
        "30",
        "-1",
        "99999999999",
        "1.5",
        "nan",
        "true",
        "[]",
        "[1]",
        "{}",
        "[[[]]]",
        "2026-11-23",
        "\"desktop\"",
        "\"http://desktop:5000\"",
        "[\"192.0.2.0/24\"]",
        "\"ssh://me:pw@desktop\"",
        "\"/etc/nix/key\"",
        "[\"desktop-1:AAAA\"]",
        "\"\"",
    ]);
    prop_oneof![
        known.prop_map(str::to_owned),
        "\"[^\"\\\\\n]{0,12}\"",
        "[\\[\\]{}=,\"a-z0-9 ]{0,16}"
    ]
}

/// A valid configuration in which any key may stand.
fn config() -> impl Strategy<Value = String> {
    let names = prop::collection::btree_set("[a-zA-Z0-9._:-]{1,12}", 0..4);
    let caches = names.clone().prop_flat_map(|names| entries("cache", names));
    let builders = names.prop_flat_map(|names| entries("builder", names));
    let tables = (values("poll"), values("nix"), values("discover"));
    (tables, caches, builders).prop_map(|((poll, nix, discover), caches, builders)| {
        format!("[poll]\n{poll}[nix]\n{nix}[discover]\n{discover}{caches}{builders}")
    })
}

fn entries(
    section: &'static str,
    names: std::collections::BTreeSet<String>,
) -> impl Strategy<Value = String> {
    let entry = |name: String| {
        values(section)
            .prop_map(move |values| format!("[[{section}]]\nname = \"{name}\"\n{values}"))
    };
    let entries: Vec<_> = names.into_iter().map(entry).collect();
    entries.prop_map(|entries| entries.concat())
}

/// Some of the keys of `section`, each with a value that is right for it.
fn values(section: &'static str) -> impl Strategy<Value = String> {
    let keys = keys::section(section).unwrap().values();
    let lines: Vec<_> = keys
        .map(|key| {
            // Without Nix an entry must say what it is, and without its builder a host is a mistake.
            let is_needed = matches!(key.name, "url" | "uri");
            let weight = u32::from(key.name != "host");
            prop_oneof![
                u32::from(!is_needed) => Just(String::new()),
                weight => right(key),
            ]
        })
        .collect();
    lines.prop_map(|lines| lines.concat())
}

fn right(key: &'static Key) -> impl Strategy<Value = String> {
    use keys::Type;
    let text = "[ -~éß\u{7f}\t]{0,20}".prop_map(|text| format!("/{text}"));
    let value = match (key.name, key.kind) {
        (_, Type::Flag) => any::<bool>().prop_map(|flag| flag.to_string()).boxed(),
        (_, Type::Count) => (1_u32..).prop_map(|count| count.to_string()).boxed(),
        (_, Type::Word(words)) => prop::sample::select(words)
            .prop_map(|word| format!("{word:?}"))
            .boxed(),
        ("conf" | "ssh_key", _) => text
            .prop_map(|path| serde_json::Value::from(path).to_string())
            .prop_map(|path| path.replace('\u{7f}', "\\u007f"))
            .boxed(),
        ("exclude", _) => prop::collection::vec("https?://[a-z*.]{1,12}", 0..3)
            .prop_map(|list| format!("{list:?}"))
            .boxed(),
        // Among them durations, which must fit together.
        _ => Just(key.value.to_owned()).boxed(),
    };
    value.prop_map(|value| format!("{} = {value}\n", key.name))
}
