//! Every key of the configuration: one row each. What may be written, what a value must be, what
//! holds without it, what `--check-config` shows, the example and offloadd.toml(5) follow from it.

use super::values::{
    address, conf, exclude, gateway, host_key, listen, network, public_key, sample, ssh_key,
    textfile, url, wait, word,
};

/// A table of the configuration, or a list of tables.
#[derive(Debug)]
pub struct Section {
    /// `poll`, `cache`.
    pub name: &'static str,
    /// Whether there may be several (`[[cache]]`), each with a name.
    pub is_list: bool,
    /// What it is, in lines of the example; an empty line is between paragraphs.
    pub about: &'static str,
    /// Its keys, in the order in which they are shown.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// As TOML: what holds without it, or, in a list of tables, an example.
    pub value: &'static str,
    /// What it means, in lines of the example; nothing where the key before has said it.
    pub about: &'static str,
    pub(super) kind: Type,
}

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// The name of an entry, which is no value of it: it has become the way to the entry.
    Name,
    /// `true` or `false`.
    Flag,
    /// A number from 1 to `u32::MAX`.
    Count,
    /// A duration as humantime reads it.
    Duration,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text.
    Text(Check),
    /// A list of texts.
    List(Check),
    /// A list of texts, none of them twice in its normal form.
    Set(fn(&str) -> Result<String, String>),
    /// A text, or a list of several.
    TextOrList(Check),
}

/// Says what is wrong with a text, and what to write instead.
pub(super) type Check = fn(&str) -> Result<(), String>;

impl Section {
    /// Its keys that have values.
    pub(super) fn values(&self) -> impl Iterator<Item = &'static Key> {
        let keys = self.keys.iter();
        keys.filter(|key| !matches!(key.kind, Type::Name))
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.values().find(|key| key.name == name)
    }

    /// How it is written: `[poll]`, `[[cache]]`.
    pub fn title(&self) -> String {
        if self.is_list {
            format!("[[{}]]", self.name)
        } else {
            format!("[{}]", self.name)
        }
    }
}

pub(super) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// Whether `name` is a list of tables.
pub(super) fn is_list(name: &str) -> bool {
    section(name).is_some_and(|section| section.is_list)
}

const fn key(name: &'static str, kind: Type, value: &'static str, about: &'static str) -> Key {
    Key {
        name,
        value,
        about,
        kind,
    }
}

use Type::{Count, Duration, Flag, List, Name, Set, Text, TextOrList, Word};

const ADDRESSES: &str = r#"["192.0.2.6", "192.0.2.7", "desktop.local"]"#;

/// All of it, in the order in which it is shown.
pub static SECTIONS: [Section; 9] = [
    Section {
        name: "poll",
        is_list: false,
        about: "Durations have a unit: \"500ms\", \"30s\", \"5m\", \"1h 30m\".",
        keys: &[
            key(
                "interval",
                Duration,
                "\"30s\"",
                "Between checks while nothing changes, give or take a tenth.",
            ),
            key(
                "fast_interval",
                Duration,
                "\"3s\"",
                "Between checks while a verdict is pending. At most interval.",
            ),
            key(
                "down_max_interval",
                Duration,
                "\"5m\"",
                "The longest pause between checks of what is down: 30 s, 60 s, 120 s, then this. At least interval.",
            ),
            key(
                "fall",
                Count,
                "3",
                "How many checks in a row must stay unanswered before ready becomes down. A refused connection\n\
                 needs no second one.",
            ),
            key(
                "rise",
                Count,
                "2",
                "How many checks in a row must pass before down becomes ready.",
            ),
            key(
                "timeout",
                Duration,
                "\"2s\"",
                "How long one check may take. At most interval.",
            ),
            key(
                "deep_timeout",
                Duration,
                "\"10s\"",
                "How long a deep check (Nix's own handshake with the builder) may take, and how often one is made.",
            ),
            key("deep_interval", Duration, "\"10m\"", ""),
            key(
                "connection",
                Word(&["keep", "per-check"]),
                "\"keep\"",
                "\"keep\": one connection to each target is kept, and a check is a round trip on it.\n\
                 \"per-check\": a new connection each time, for a desktop that stays awake while someone is connected.",
            ),
        ],
    },
    Section {
        name: "nix",
        is_list: false,
        about: "",
        keys: &[
            key(
                "import",
                Flag,
                "true",
                "Watch the caches and builders that nix.conf and the machines file name.",
            ),
            key(
                "conf",
                Text(conf::check),
                "\"/etc/nix/nix.conf\"",
                "Nix's configuration file.",
            ),
            key(
                "exclude",
                List(exclude::check),
                r#"["https://cache.nixos.org", "https://*.cachix.org"]"#,
                "Caches that are not ours to poll; * stands for any run of characters.",
            ),
        ],
    },
    Section {
        name: "discover",
        is_list: false,
        about: "How a desktop that is at none of its addresses is looked for. It is known by its host key or its\n\
                signing key, so nobody else is ever used. `offloadctl discover` asks by mDNS in any case.",
        keys: &[
            key(
                "mdns",
                Flag,
                "false",
                "Ask by multicast DNS (_ssh._tcp, _nix_binary_cache._tcp, NAME.local), and try the neighbours that\n\
                 the kernel knows.",
            ),
            key(
                "sweep",
                Set(network::normal),
                "[]",
                "Networks whose every address may be tried, such as [\"192.0.2.0/24\"]: at most /22 each, IPv4, and\n\
                 only while this machine is in them.",
            ),
        ],
    },
    Section {
        name: "proof",
        is_list: false,
        about: "Nix is the second witness: something trivial is built on each builder whose checks pass. Not on battery, nor\n\
                where NetworkManager calls the connection metered; `offloadctl test-build` does it at any time.",
        keys: &[key(
            "builds",
            Word(&["changes", "weekly", "never"]),
            "\"changes\"",
            "\"changes\": when something about a builder has changed (Nix's line for it, its host key, either Nix), and once a\n\
             week. \"weekly\": once a week. \"never\": only when somebody asks.",
        )],
    },
    Section {
        name: "steer",
        is_list: false,
        about: "Nix follows the desktop: `offloadctl steer --print` writes what Nix and ssh need for that. Off unless\n\
                gateway is set.",
        keys: &[key(
            "gateway",
            Text(gateway::check),
            "\"\"",
            "Where all [[cache]]s together are one substituter, such as \"127.0.0.1:5001\": an address and port of this\n\
             machine alone. offload-gateway.socket holds that one.",
        )],
    },
    Section {
        name: "wake",
        is_list: false,
        about: "A desktop that sleeps: `offloadctl wake` sends it a magic packet. Its hardware address is learnt while its builder\n\
                proves its host key, and it is woken on that network alone.",
        keys: &[
            key(
                "on_demand",
                Flag,
                "false",
                "Wake it when a build or a path is asked for, through `offloadctl connect` or the gateway, while it is down.",
            ),
            key(
                "wait",
                Text(wait::check),
                "\"0s\"",
                "How long that build or path waits for it, at most \"1m\"; \"0s\": not at all, it goes on here at once. Keep it below\n\
                 Nix's stalled-download-timeout.",
            ),
        ],
    },
    Section {
        name: "metrics",
        is_list: false,
        about: "Figures for who watches many laptops: states and reasons, checks and how long they took, test builds,\n\
                offloadd's own cost. Off unless one of these is set.",
        keys: &[
            key(
                "textfile",
                Text(textfile::check),
                "\"\"",
                "A file that is written for node_exporter, in a directory that offloadd may write to, such as\n\
                 \"/run/offloadd/offloadd.prom\", with a link to it in the exporter's directory.",
            ),
            key(
                "listen",
                Text(listen::check),
                "\"\"",
                "Where Prometheus reads them, at /metrics: an address and port, such as \"127.0.0.1:9559\".\n\
                 offload-metrics.socket holds that one. Whoever reaches it reads all of it.",
            ),
        ],
    },
    Section {
        name: "cache",
        is_list: true,
        about: "A cache: one that Nix is not configured with, or more about one that it is (the same name or\n\
                address). Every key but the name can be left out where Nix's configuration has it.",
        keys: &[
            key(
                "name",
                Name,
                "\"desktop\"",
                "What it is called. A builder of the same name is the same host, seen another way.",
            ),
            key(
                "url",
                Text(url::check_cache),
                "\"http://192.0.2.6:5000\"",
                "http:// or https://",
            ),
            key(
                "addresses",
                Set(address::normal),
                ADDRESSES,
                "Where else it may be, best first: host, host:port, [v6]:port.",
            ),
            key(
                "public_keys",
                List(public_key::check),
                r#"["desktop-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]"#,
                "The keys that sign what it serves, as in trusted-public-keys of nix.conf. What Nix trusts decides: a\n\
                 key that it does not trust is warned of.",
            ),
            key(
                "sample",
                Text(sample::check),
                "\"/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello-2.12.1\"",
                "A store path that it has: its signature is checked with it. Without one, paths that this machine\n\
                 has are tried until the cache has one of them.",
            ),
            key(
                "host",
                Text(word::check_host),
                "\"desktop\"",
                "The builder that is the same machine: that one's host key vouches for this cache.",
            ),
        ],
    },
    Section {
        name: "builder",
        is_list: true,
        about: "A builder, likewise: one that Nix is not configured with, or more about one that it is.",
        keys: &[
            key("name", Name, "\"desktop\"", "What it is called."),
            key(
                "uri",
                Text(url::check_builder),
                "\"ssh-ng://nix-builder@192.0.2.6\"",
                "ssh-ng:// or ssh://, as in Nix's machines file; parameters after a \"?\".",
            ),
            key(
                "addresses",
                Set(address::normal),
                ADDRESSES,
                "Where else it may be, best first.",
            ),
            key(
                "ssh_key",
                Text(ssh_key::check),
                "\"/etc/nix/builder_ed25519\"",
                "The private key: an absolute path, or \"credential:NAME\" for LoadCredential=NAME:… of the unit.\n\
                 A file that offloadd may not read is taken from the credential that is named after it, as in\n\
                 LoadCredential=etc-nix-builder_ed25519:/etc/nix/builder_ed25519",
            ),
            key(
                "host_key",
                TextOrList(host_key::check),
                "\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcbCzAVQ26aLrR4QxsMSSkTDnMGGn7+YeEr2Zqp2Gv3\"",
                "The key that the builder must prove: \"ssh-ed25519 AAAA…\", Nix's base64 of that line (the eighth\n\
                 field of the machines file), or a line of known_hosts. Several in a list. Where the machines file\n\
                 has a key of its own, that one holds, as it does for Nix.",
            ),
            key(
                "systems",
                List(word::check),
                r#"["x86_64-linux"]"#,
                "What it builds for, and what it offers.",
            ),
            key(
                "features",
                List(word::check),
                r#"["kvm", "big-parallel"]"#,
                "",
            ),
        ],
    },
];
