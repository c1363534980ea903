//! What ssh_config asks for that offloadd does not do and that could change the outcome.

use russh::Preferred;

use super::Answer;

/// Each as `option value`, a list of algorithms by its name alone. A plain machine's answer, and
/// Debian's (which turns on GSSAPI that nobody without a ticket uses), yields none.
pub(super) fn options(answer: &Answer<'_>) -> Vec<String> {
    let mut found = Vec::new();
    // Identities, keys of hosts and ways to connect that are not followed, wherever they are set.
    for option in [
        "pkcs11provider",
        "identityagent",
        "knownhostscommand",
        "bindaddress",
        "bindinterface",
        // Nix names a command of its own, beside which ssh refuses this one.
        "remotecommand",
    ] {
        found.extend(answer.get(option).map(|value| format!("{option} {value}")));
    }
    for (option, plain) in [
        ("securitykeyprovider", "internal"),
        ("addressfamily", "any"),
        ("sessiontype", "default"),
    ] {
        // `sessiontype none` is a value like any other.
        let value = answer.all(option).next().filter(|value| *value != plain);
        found.extend(value.map(|value| format!("{option} {value}")));
    }
    for option in [
        "checkhostip",
        "forkafterauthentication",
        "hostbasedauthentication",
        "proxyusefdpass",
        "stdinnull",
        "verifyhostkeydns",
    ] {
        if answer.is_on(option) {
            found.push(format!("{option} yes"));
        }
    }
    found.extend(algorithms(answer).into_iter().map(str::to_owned));
    found
}

/// The lists of algorithms of which russh has none at all. What they leave in common decides.
fn algorithms(answer: &Answer<'_>) -> Vec<&'static str> {
    let ours = Preferred::DEFAULT;
    let kex: Vec<&str> = ours.kex.iter().map(AsRef::as_ref).collect();
    let ciphers: Vec<&str> = ours.cipher.iter().map(AsRef::as_ref).collect();
    let macs: Vec<&str> = ours.mac.iter().map(AsRef::as_ref).collect();
    let keys: Vec<String> = ours.key.iter().map(ToString::to_string).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();

    let mut missing = Vec::new();
    for (option, ours) in [
        ("kexalgorithms", &kex),
        ("ciphers", &ciphers),
        ("hostkeyalgorithms", &keys),
    ] {
        if common(answer, option, ours).is_some_and(|common| common.is_empty()) {
            missing.push(option);
        }
    }
    // These ciphers authenticate by themselves: which other way is agreed on plays no part.
    let authenticates = |cipher: &&str| cipher.contains("gcm") || cipher.contains("poly1305");
    let needs_mac =
        common(answer, "ciphers", &ciphers).is_some_and(|common| !common.iter().any(authenticates));
    if needs_mac && common(answer, "macs", &macs).is_some_and(|common| common.is_empty()) {
        missing.push("macs");
    }
    missing
}

fn common<'a>(answer: &Answer<'a>, option: &str, ours: &[&str]) -> Option<Vec<&'a str>> {
    let theirs = answer.get(option)?;
    Some(
        theirs
            .split(',')
            .filter(|name| ours.contains(name))
            .collect(),
    )
}
