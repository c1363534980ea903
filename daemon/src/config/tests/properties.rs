//! What holds of every configuration.

use std::time::Duration;

use proptest::prelude::*;
use russh::keys::PublicKey;

use super::*;
use crate::target::Address;

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
    fn what_is_shown_reads_back(settings in settings()) {
        let text = report::render(&settings, &inputs::Origins::default());
        let mut read = Machine::new(&text).load();
        read.files = Files::default();
        // Where an entry stands is of the file alone.
        let places = read.caches.iter_mut().map(|entry| &mut entry.place);
        for place in places.chain(read.builders.iter_mut().map(|entry| &mut entry.place)) {
            prop_assert!(matches!(place, Place::File(_, Some(_))), "{:?}", place);
            *place = Place::Default;
        }
        prop_assert_eq!(read, settings);
    }
}

fn line() -> impl Strategy<Value = String> {
    let section = prop::sample::select(vec![
        "[poll]",
        "[nix]",
        "[[cache]]",
        "[[builder]]",
        "[cache]",
        "[discover]",
        "[steer]",
        "cache = [{}]",
    ]);
    let keys = schema::SECTIONS.into_iter().chain(schema::TABLES);
    let keys = keys.flat_map(|section| schema::keys(section).iter().map(|(key, _)| *key));
    let key = prop::sample::select(keys.chain(["name", "unknown"]).collect::<Vec<_>>());
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

fn settings() -> impl Strategy<Value = Settings> {
    let entries = prop::collection::btree_set("[a-zA-Z0-9._:-]{1,12}", 0..4).prop_shuffle_names();
    (
        poll(),
        nix(),
        discover(),
        entries.clone(),
        entries,
        prop::collection::vec(any::<u8>(), 4),
    )
        .prop_map(|(poll, nix, discover, caches, builders, seed)| Settings {
            poll,
            nix,
            discover,
            caches: caches
                .into_iter()
                .map(|name| cache_entry(name, seed[0]))
                .collect(),
            builders: builders
                .into_iter()
                .map(|name| builder_entry(name, seed[1]))
                .collect(),
            files: Files::default(),
        })
}

trait ShuffleNames {
    fn prop_shuffle_names(self) -> BoxedStrategy<Vec<String>>;
}

impl<S: Strategy<Value = std::collections::BTreeSet<String>> + 'static> ShuffleNames for S {
    fn prop_shuffle_names(self) -> BoxedStrategy<Vec<String>> {
        self.prop_map(|names| names.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
            .boxed()
    }
}

fn poll() -> impl Strategy<Value = Poll> {
    let millis = prop::collection::vec(10_u64..1_000_000_000, 6);
    (millis, 1_u32.., 1_u32.., any::<bool>()).prop_map(|(mut millis, fall, rise, keep)| {
        millis.sort();
        let duration = |index: usize| Duration::from_millis(millis[index]);
        Poll {
            timeout: duration(0),
            fast_interval: duration(1),
            interval: duration(2),
            down_max_interval: duration(3),
            deep_timeout: duration(4),
            deep_interval: duration(5),
            fall,
            rise,
            connection: if keep {
                Connection::Keep
            } else {
                Connection::PerCheck
            },
        }
    })
}

fn nix() -> impl Strategy<Value = NixImport> {
    let exclude = prop::collection::vec("https?://[a-z*.\"\\\\']{1,12}", 0..3);
    (any::<bool>(), "/[^\0]{0,20}", exclude).prop_map(|(import, conf, exclude)| NixImport {
        import,
        conf: conf.into(),
        exclude,
    })
}

fn discover() -> impl Strategy<Value = Discover> {
    let network = (any::<u32>(), 22_u8..=32)
        .prop_map(|(bits, prefix)| ipnet::Ipv4Net::new_assert(bits.into(), prefix).trunc());
    let sweep = prop::collection::btree_set(network, 0..4);
    (any::<bool>(), sweep).prop_map(|(mdns, sweep)| Discover {
        mdns,
        sweep: sweep.into_iter().collect(),
    })
}

fn cache_entry(name: String, seed: u8) -> CacheEntry {
    let key = data_encoding::BASE64.encode(&[seed; 32]);
    CacheEntry {
        url: Some(format!("http://desktop-{seed}:5000/nix?priority={seed}")),
        addresses: addresses(seed),
        public_keys: if seed.is_multiple_of(2) {
            vec![format!("desktop-1:{key}")]
        } else {
            vec![]
        },
        sample: seed
            .is_multiple_of(3)
            .then(|| format!("/nix/store/{}-hello+{seed}", "0".repeat(32))),
        host: None,
        place: Place::Default,
        name,
    }
}

fn builder_entry(name: String, seed: u8) -> BuilderEntry {
    let key = PublicKey::from_openssh(values::host_key::tests::KEY).unwrap();
    BuilderEntry {
        name,
        uri: Some(format!(
            "ssh-ng://nix-builder@desktop:{}",
            1000 + u32::from(seed)
        )),
        addresses: addresses(seed),
        ssh_key: seed
            .is_multiple_of(3)
            .then(|| "/etc/nix/a key \"x\"".into()),
        host_keys: if seed.is_multiple_of(2) {
            vec![key]
        } else {
            vec![]
        },
        systems: vec!["x86_64-linux".into()],
        features: if seed.is_multiple_of(5) {
            vec!["kvm".into(), "big-parallel".into()]
        } else {
            vec![]
        },
        place: Place::Default,
    }
}

fn addresses(seed: u8) -> Vec<Address> {
    let texts = [
        "desktop.local",
        "192.0.2.6:5000",
        "fe80::6%wlan0",
        "[2001:db8::6]:22",
    ];
    let texts = texts.iter().take(usize::from(seed % 5));
    texts.map(|text| Address::parse(text).unwrap()).collect()
}
