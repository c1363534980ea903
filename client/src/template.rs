//! Fills the placeholders of people's words: `{key}`, or `{key|what to say where it is not known}`.

use crate::{
    Kind,
    snapshot::{Detail, Details, Target},
};

/// What ssh takes where no port is named.
const SSH_PORT: &str = "22";

/// Fills `template` with what `lookup` knows; a key that is not known gives its fallback, or, where
/// it has none, the key itself in capitals, so that a command still reads as one.
pub(crate) fn fill(template: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((inside, tail)) = after.split_once('}') else {
            rest = after;
            break;
        };
        let (key, fallback) = match inside.split_once('|') {
            Some((key, fallback)) => (key, Some(fallback)),
            None => (inside, None),
        };
        match (lookup(key).filter(|value| !value.is_empty()), fallback) {
            (Some(value), _) => filled.push_str(&value),
            (None, Some(fallback)) => filled.push_str(fallback),
            (None, None) => filled.push_str(&key.to_uppercase()),
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

/// What is known of `target` under `key`: `name`, `kind`, `uri`, `address`, its kind's usual
/// systemd `service` and what finds it in the `journal`, the URI's `host`, `port` and `user`, the `login` that ssh takes and the `known_name` of its known_hosts, or one of its details; a list as people
/// write it, or with `_spaced` after its key as nix.conf has it. A builder's `protocol`, and the
/// `program` and `command` that Nix runs there, follow from its URI where no check has told them.
pub(crate) fn of_target(target: &Target, key: &str) -> Option<String> {
    let uri = Authority::of(&target.uri);
    match key {
        "name" => Some(target.name.to_string()),
        "kind" => Some(target.kind.to_string()),
        "service" => Some(service(target.kind).to_owned()),
        "journal" => Some(journal(target.kind).to_owned()),
        "uri" => Some(target.uri.to_string()),
        "address" if target.address.is_empty() => Some(uri.host.to_owned()),
        "address" => Some(target.address.to_string()),
        "host" => Some(uri.host.to_owned()),
        "port" => uri.port.map(str::to_owned),
        "user" => detail(&target.details, key).or_else(|| uri.user.map(str::to_owned)),
        "login" => Some(login(target, &uri)),
        "known_name" => match uri.port.filter(|port| *port != SSH_PORT) {
            Some(port) => Some(format!("[{}]:{port}", uri.host)),
            None => Some(uri.host.to_owned()),
        },
        "protocol" => serving(target).map(|(protocol, _, _)| protocol.to_owned()),
        "program" => detail(&target.details, key)
            .or_else(|| serving(target).map(|(_, program, _)| program.to_owned())),
        "command" => detail(&target.details, key).or_else(|| {
            serving(target).map(|(_, program, arguments)| format!("{program} {arguments}"))
        }),
        _ => detail_or_spaced(&target.details, key),
    }
}

/// What ssh is given to log in there as Nix does.
fn login(target: &Target, uri: &Authority<'_>) -> String {
    let user = detail(&target.details, "user").or_else(|| uri.user.map(str::to_owned));
    let user = user.unwrap_or_else(|| "nix-builder".to_owned());
    let host = if uri.host.is_empty() {
        "HOST"
    } else {
        uri.host
    };
    match uri.port.filter(|port| *port != SSH_PORT) {
        Some(port) => format!("-p {port} {user}@{host}"),
        None => format!("{user}@{host}"),
    }
}

/// What Nix runs on a builder: protocol, program and its arguments (src/libstore/ssh-store.cc and
/// legacy-ssh-store.cc; a URI without a scheme is ssh://, src/libstore/machines.cc).
fn serving(target: &Target) -> Option<(&'static str, &'static str, &'static str)> {
    if target.kind != Kind::Builder {
        return None;
    }
    match target.uri.split_once("://").map(|(scheme, _)| scheme) {
        Some("ssh-ng") => Some(("ssh-ng", "nix-daemon", "--stdio")),
        Some("ssh") | None => Some(("ssh", "nix-store", "--serve --write")),
        Some(_) => None,
    }
}

/// The units that usually offer it on NixOS.
const fn service(kind: Kind) -> &'static str {
    match kind {
        Kind::Cache => "harmonia nix-serve",
        Kind::Builder => "sshd",
    }
}

/// What journalctl finds their messages by: those of a login are in a unit of its own.
const fn journal(kind: Kind) -> &'static str {
    match kind {
        Kind::Cache => "-u harmonia -u nix-serve -u nginx",
        Kind::Builder => "-t sshd -t sshd-session",
    }
}

/// A detail as text.
pub(crate) fn detail(details: &Details, key: &str) -> Option<String> {
    details.get(key).map(Detail::to_string)
}

/// A detail as text; with `_spaced` after its key a list is as nix.conf has it.
pub(crate) fn detail_or_spaced(details: &Details, key: &str) -> Option<String> {
    match (key.strip_suffix("_spaced"), details.get(key)) {
        (Some(plain), None) => match details.get(plain) {
            Some(Detail::List(items)) => Some(items.join(" ")),
            _ => detail(details, plain),
        },
        _ => detail(details, key),
    }
}

/// The part of a URI between `//` and the path.
pub(crate) struct Authority<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) port: Option<&'a str>,
}

impl<'a> Authority<'a> {
    pub(crate) fn of(uri: &'a str) -> Self {
        let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (user, place) = match authority.rsplit_once('@') {
            // A password has no place in words for people.
            Some((user, place)) => (user.split(':').next(), place),
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((host, tail)) => (host, tail.strip_prefix(':')),
            None => match place.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (place, None),
            },
        };
        Self { user, host, port }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(key: &str) -> Option<String> {
        (key == "host").then(|| "desktop".into())
    }

    #[test]
    fn what_is_known_is_filled_in() {
        assert_eq!(fill("ping {host}", known), "ping desktop");
        assert_eq!(fill("{host}:{port|22}", known), "desktop:22");
        assert_eq!(fill("ssh -i {key} {host}", known), "ssh -i KEY desktop");
    }

    #[test]
    fn a_uri_is_taken_apart() {
        let target = |uri: &str| Target {
            uri: uri.into(),
            ..Target::default()
        };
        let of = |uri: &str, key: &str| of_target(&target(uri), key).unwrap_or_default();
        assert_eq!(of("ssh-ng://nix-builder@192.0.2.6", "user"), "nix-builder");
        assert_eq!(of("ssh-ng://nix-builder@192.0.2.6", "host"), "192.0.2.6");
        assert_eq!(of("ssh://u@[2001:db8::1]:2222?x=1", "host"), "2001:db8::1");
        assert_eq!(of("ssh://u@[2001:db8::1]:2222?x=1", "port"), "2222");
        assert_eq!(of("http://me:secret@desktop:5000/nix", "user"), "me");
        assert_eq!(of("http://desktop:5000/nix", "port"), "5000");
        assert_eq!(of("desktop", "host"), "desktop");
    }

    #[test]
    fn what_nix_runs_follows_from_the_uri_until_a_check_tells() {
        let mut target = Target {
            kind: Kind::Builder,
            uri: "ssh://desktop".into(),
            ..Target::default()
        };
        let of = |target: &Target, key| of_target(target, key).unwrap_or_default();
        assert_eq!(of(&target, "command"), "nix-store --serve --write");
        target.uri = "ssh-ng://desktop".into();
        assert_eq!(of(&target, "command"), "nix-daemon --stdio");
        assert_eq!(of(&target, "program"), "nix-daemon");
        target
            .details
            .insert("program".into(), "/opt/nix-daemon".into());
        assert_eq!(of(&target, "program"), "/opt/nix-daemon");
        assert_eq!(of(&target, "protocol"), "ssh-ng");
        assert_eq!(of_target(&Target::default(), "command"), None);
    }

    #[test]
    fn a_list_is_for_people_or_for_nix_conf() {
        let list = Detail::List(vec!["kvm".into(), "big-parallel".into()]);
        let target = Target {
            details: [("missing".into(), list)].into(),
            ..Target::default()
        };
        let of = |key| of_target(&target, key).unwrap_or_default();
        assert_eq!(of("missing"), "kvm, big-parallel");
        assert_eq!(of("missing_spaced"), "kvm big-parallel");
    }

    proptest! {
        #[test]
        fn any_text_can_be_filled(template in ".*", uri in ".*") {
            let target = Target { uri: uri.into(), ..Target::default() };
            fill(&template, |key| of_target(&target, key));
        }
    }
}
