//! What stands in files, and the words in them.

use std::{
    io::{self, ErrorKind},
    iter,
    net::Ipv6Addr,
    path::Path,
};

use data_encoding::BASE64;

use crate::{
    fuzz::texts,
    nix::{
        NixConf, NixVersion, conf, current_load,
        keys::{self, NixPublicKey},
        known_hosts::lookup_in,
        loaded, machines as list,
        netrc::{Login, Netrc},
        uri::{self, Params, StoreUri},
    },
    target::Protocol,
};

/// nix.conf, and after a NUL byte each of the files `1`, `2`, … beside it: the settings that hold are
/// those of one file that has them all.
pub(crate) fn nix_conf(bytes: &[u8]) {
    let path = Path::new("/etc/nix/nix.conf");
    let texts = texts(bytes);
    // A later one refuses substituters that still count here.
    let version = NixVersion::new(2, 26, 3);
    let file = conf::read(path, &[], version, |file| piece(&texts, path, file));
    assert!(file.files.len() <= 257, "{}", file.files.len());
    assert!(file.problems.len() <= 64, "{}", file.problems.len());
    let written = written(&file.settings);
    let again = conf::read(path, &[], version, |_| Ok(written.clone()));
    assert_eq!(again.problems, [], "{written}");
    let without_places = |settings: NixConf| NixConf {
        substituters_at: Vec::new(),
        builders_at: Default::default(),
        ..settings
    };
    assert_eq!(
        without_places(again.settings),
        without_places(file.settings),
        "{written}"
    );
}

/// The setting `builders`, and after a NUL byte each of the files `/1`, `/2`, …: the builders are those
/// of one file that has them all.
pub(crate) fn machines(bytes: &[u8]) {
    let texts = texts(bytes);
    let conf = |builders: &str| NixConf {
        builders: builders.to_owned(),
        ..NixConf::default()
    };
    let first = texts.first().map_or("", String::as_str);
    let version = NixVersion::default();
    let read = |file: &Path| piece(&texts, Path::new("/0"), file);
    let found = list::read(&conf(first), version, read);
    assert!(found.machines.is_empty() || found.problems.is_empty());
    assert!(found.machines.len() <= 1024 && found.problems.len() <= 1024);
    let lines = found.machines.iter().map(|machine| format!("{machine}\n"));
    let written: String = lines.collect();
    let again = list::read(&conf("@/all"), version, |_| Ok(written.clone()));
    assert_eq!(again.problems, [], "{written}");
    let without_places = |mut machine: list::Machine| {
        (machine.file, machine.line) = Default::default();
        machine
    };
    let all = |machines: Vec<list::Machine>| -> Vec<_> {
        machines.into_iter().map(without_places).collect()
    };
    assert_eq!(all(again.machines), all(found.machines), "{written}");
}

/// A store URL is the same store when it is written out, and shows no secret of it twice as much.
pub(crate) fn store_uri(text: &str) {
    let parsed = uri::parse(text);
    match &parsed {
        Ok(StoreUri::Cache(cache)) => {
            let scheme = if cache.tls { "https" } else { "http" };
            let authority = authority(None, &cache.host, cache.port);
            let params = query(&cache.params);
            let written = format!("{scheme}://{authority}{}{params}", cache.path);
            assert_eq!(uri::parse(&written), parsed, "{written}");
        }
        Ok(StoreUri::Ssh(ssh)) => {
            let scheme = match ssh.protocol {
                Protocol::Ssh => "ssh",
                Protocol::SshNg => "ssh-ng",
            };
            assert!(!ssh.host.starts_with('-'), "an option of ssh");
            let authority = authority(ssh.user.as_deref(), &ssh.host, ssh.port);
            let written = format!("{scheme}://{authority}{}", query(&ssh.params));
            assert_eq!(uri::parse(&written), parsed, "{written}");
        }
        Err(_) => {}
    }
    let shown = uri::redacted(text);
    assert_eq!(uri::redacted(&shown), shown);
    assert!(shown.len() <= text.len() + "***".len());
    let state = Path::new("/nix/var/nix");
    for slot in current_load::slots(state, text) {
        assert_eq!(
            slot.parent(),
            Some(&*state.join("current-load")),
            "{slot:?}"
        );
    }
}

/// netrc: the login that is found is that of a file that has no other, and is not shown.
pub(crate) fn netrc(bytes: &[u8]) {
    for host in ["desktop", "192.0.2.6", "fe80::6%wlan0"] {
        let netrc = Netrc::Text(bytes.to_owned());
        let login = netrc.login(host);
        assert_eq!(format!("{netrc:?}"), "Text(***)");
        let Login::Basic(basic) = &login else {
            assert_eq!(login, Login::None);
            continue;
        };
        assert_eq!(format!("{basic:?}"), "***");
        let again = Netrc::Text(basic.written());
        assert_eq!(again.login(host), login);
    }
}

/// Every key that is found of a host is found again in a line that says nothing else.
pub(crate) fn known_hosts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (host, port) in [
        ("Desktop", Some(22)),
        ("desktop", Some(2222)),
        ("alias", None),
    ] {
        let known = lookup_in(iter::once(&*text), host, port).named;
        let kinds = [
            ("", &known.keys),
            ("@revoked ", &known.revoked),
            ("@cert-authority ", &known.authorities),
        ];
        for (marker, keys) in kinds {
            assert!(keys.len() <= 64);
            for key in keys {
                let key_text = key.to_openssh().unwrap_or_default();
                let name = match port.filter(|port| *port != 22) {
                    Some(port) => format!("[{}]:{port}", host.to_lowercase()),
                    None => host.to_lowercase(),
                };
                let line = format!("{marker}{name} {key_text}");
                let again = lookup_in(iter::once(&*line), host, port).named;
                let found = [again.keys, again.revoked, again.authorities].concat();
                assert_eq!(found, iter::once(key.clone()).collect::<Vec<_>>(), "{line}");
            }
        }
    }
}

/// A key reads back from each of its forms, and what is no key is not repeated.
pub(crate) fn ssh_keys(bytes: &[u8]) {
    const TOLD: usize = 256;
    let text = String::from_utf8_lossy(bytes);
    match keys::parse_host_key(&text) {
        Ok(found) => {
            for key in found {
                let line = key.to_openssh().unwrap_or_default();
                assert_eq!(keys::parse_host_key(&line), Ok(vec![key.clone()]));
                let encoded = BASE64.encode(line.as_bytes());
                assert_eq!(keys::parse_encoded_host_key(&encoded), Ok(key));
            }
        }
        Err(error) => assert!(error.to_string().len() < TOLD, "{error}"),
    }
    if let Ok(key) = keys::parse_nix_public_key(&text) {
        let NixPublicKey { name, .. } = &key;
        assert!(!name.is_empty() && !name.contains(':'));
        assert_eq!(
            keys::parse_nix_public_key(&key.to_string()).as_ref(),
            Ok(&key)
        );
    }
    if let Ok(decoded) = keys::decode_base64(&text) {
        assert!(decoded.len() <= text.len());
        assert_eq!(keys::decode_base64(&BASE64.encode(&decoded)), Ok(decoded));
    }
}

/// The kernel's tables: locks, mounts, and what it says of a process, which chose its own name.
pub(crate) fn proc(bytes: &[u8]) {
    current_load::fuzz(bytes);
    loaded::fuzz(bytes);
}

/// The file with the number that `file` is called after, `named` like its neighbours.
fn piece(texts: &[String], beside: &Path, file: &Path) -> io::Result<String> {
    let number = || file.file_name()?.to_str()?.parse::<usize>().ok();
    let text = if file == beside {
        texts.first()
    } else {
        number()
            .filter(|number| *number > 0)
            .and_then(|number| texts.get(number))
    };
    text.cloned().ok_or(ErrorKind::NotFound.into())
}

/// The settings as nix.conf has them.
fn written(conf: &NixConf) -> String {
    let mut lines = vec![
        format!("substituters = {}", conf.substituters.join(" ")),
        format!("substitute = {}", conf.substitute),
        format!(
            "trusted-public-keys = {}",
            conf.trusted_public_keys.join(" ")
        ),
        format!("require-sigs = {}", conf.require_sigs),
        format!("builders = {}", conf.builders),
        format!("narinfo-cache-negative-ttl = {}", conf.negative_ttl),
        format!("narinfo-cache-positive-ttl = {}", conf.positive_ttl),
        format!("fallback = {}", conf.fallback),
        format!("system = {}", conf.system),
        match conf.max_jobs {
            conf::MaxJobs::Auto => "max-jobs = auto".to_owned(),
            conf::MaxJobs::Count(count) => format!("max-jobs = {count}"),
        },
    ];
    if conf.has_own_keys {
        lines.push("secret-key-files = /etc/nix/key".to_owned());
    }
    let mut store = Params::new();
    let state = conf.state_dir.as_ref().map(|state| state.to_string_lossy());
    store.extend(
        conf.store_dir
            .clone()
            .map(|store| ("store".to_owned(), store)),
    );
    store.extend(state.map(|state| ("state".to_owned(), state.into_owned())));
    lines.push(format!("store = local{}", query(&store)));
    let timeout = conf.connect_timeout.iter();
    lines.extend(timeout.map(|seconds| format!("connect-timeout = {seconds}")));
    lines.push(format!("netrc-file = {}", conf.netrc_file.display()));
    let certificates = conf.ssl_cert_file.iter();
    lines.extend(certificates.map(|file| format!("ssl-cert-file = {}", file.display())));
    let platforms = conf.extra_platforms.iter();
    lines.extend(platforms.map(|list| format!("extra-platforms = {}", list.join(" "))));
    let features = conf.system_features.iter();
    lines.extend(features.map(|list| format!("system-features = {}", list.join(" "))));
    for (name, list) in [
        ("extra-extra-platforms", &conf.extra_extra_platforms),
        ("extra-system-features", &conf.extra_system_features),
    ] {
        if !list.is_empty() {
            lines.push(format!("{name} = {}", list.join(" ")));
        }
    }
    lines.join("\n")
}

fn authority(user: Option<&str>, host: &str, port: Option<u16>) -> String {
    let (address, zone) = host.split_once('%').unwrap_or((host, ""));
    let host = match (address.parse::<Ipv6Addr>(), zone) {
        (Ok(_), "") if !host.ends_with('%') => format!("[{address}]"),
        (Ok(_), zone) => format!("[{address}%25{}]", encoded(zone)),
        (Err(_), _) => encoded(host),
    };
    let user = user.map(|user| format!("{}@", encoded(user)));
    let port = port.map(|port| format!(":{port}"));
    format!(
        "{}{host}{}",
        user.unwrap_or_default(),
        port.unwrap_or_default()
    )
}

fn query(params: &Params) -> String {
    let pairs = params.iter();
    let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let pairs: Vec<_> = pairs.collect();
    match pairs.as_slice() {
        [] => String::new(),
        pairs => format!("?{}", pairs.join("&")),
    }
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
