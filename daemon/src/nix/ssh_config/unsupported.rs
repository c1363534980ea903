//! What ssh_config asks for that offloadd does not do and that could change the outcome.
//!
//! It makes a builder `unknown`, `ssh-config-unsupported`: neither green nor red, and a test build through Nix
//! decides. What ssh itself refuses over its own configuration is `ssh-config-prevents`.

use std::net::IpAddr;

use super::answer::Answer;

/// Each as `option value`. A plain machine's answer, and
/// Debian's (which turns on GSSAPI that nobody without a ticket uses), yields none.
pub(super) fn options(answer: &Answer<'_>) -> Vec<String> {
    let mut found = Vec::new();
    // Identities, keys of hosts and ways to connect that are not followed, wherever they are set.
    for option in [
        "pkcs11provider",
        "identityagent",
        "knownhostscommand",
        "bindinterface",
    ] {
        found.extend(answer.get(option).map(|value| format!("{option} {value}")));
    }
    let named = answer
        .get("bindaddress")
        .filter(|address| address.parse::<IpAddr>().is_err());
    found.extend(named.map(|name| format!("bindaddress {name}")));
    let provider = answer
        .get("securitykeyprovider")
        .filter(|name| *name != "internal");
    found.extend(provider.map(|name| format!("securitykeyprovider {name}")));
    for option in [
        "checkhostip",
        "forkafterauthentication",
        "hostbasedauthentication",
        "proxyusefdpass",
        "verifyhostkeydns",
    ] {
        if answer.is_on(option) {
            found.push(format!("{option} yes"));
        }
    }
    found
}
