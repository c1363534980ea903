//! The cases: what is configured, and what a builder proves.

use super::*;

pub(super) const CASES: &[Case] = &[
    Case {
        field: Some("{right}"),
        refused: None,
        ..PLAIN
    },
    Case {
        field: Some("{wrong}"),
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    // The line is for `desk`, and ssh looks for the address.
    Case {
        host: "desk",
        field: Some("{right}"),
        ..PLAIN
    },
    Case {
        host: "desk",
        config: &[("HostKeyAlias", "desk")],
        field: Some("{right}"),
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlias", "other")],
        field: Some("{right}"),
        ..PLAIN
    },
    // Nix writes no port, so that to ssh a key that differs is a new one.
    Case {
        config: &[ACCEPT_NEW],
        field: Some("{wrong}"),
        refused: None,
        ..PLAIN
    },
    // An old field 8 does no harm where the machine's file knows better.
    Case {
        field: Some("{wrong}"),
        machine: "{host} {right}",
        refused: None,
        ..PLAIN
    },
    Case {
        field: Some("{right}"),
        machine: "@revoked * {right}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        field: Some("{wrong}"),
        user: "{host} {right}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        user: "{host} {right}",
        refused: None,
        ..PLAIN
    },
    Case {
        field: Some("no-key"),
        user: "{host} {right}",
        ..PLAIN
    },
    Case {
        config: &[ACCEPT_NEW],
        field: Some("no-key"),
        refused: None,
        ..PLAIN
    },
    // A known key of any type makes every other one a changed key.
    Case {
        config: &[ACCEPT_NEW],
        user: "{host} {other-ecdsa}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        config: &[NO],
        user: "{host} {other-ecdsa}",
        refused: None,
        ..PLAIN
    },
    // The best type is proved where a key of it is known, right or wrong; else what is known.
    Case {
        user: "{host} {ecdsa}\n{host} {wrong}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        user: "{host} {other-ecdsa}\n{host} {right}",
        refused: None,
        ..PLAIN
    },
    Case {
        user: "{host} {rsa}",
        refused: None,
        ..PLAIN
    },
    Case {
        user: "{host} {rsa}\n{host} {other-ecdsa}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlgorithms", "+ssh-rsa")],
        user: "{host} {rsa}",
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlgorithms", "rsa-sha2-512,ssh-ed25519")],
        user: "{host} {right}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlgorithms", "^rsa-sha2-512")],
        user: "{host} {rsa}",
        refused: None,
        ..PLAIN
    },
    // Who is revoked is refused unless all are taken; who is listed as revoked is refused even then.
    Case {
        config: &[NO],
        user: "@revoked * {right}",
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[ACCEPT_NEW],
        user: "@revoked * {right}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        config: &[NO, ("RevokedHostKeys", "{dir}/listed")],
        listed: "{right}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        config: &[("RevokedHostKeys", "{dir}/listed")],
        user: "{host} {right}",
        listed: "# none\n{wrong} comment",
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[("RevokedHostKeys", "/nonexistent/revoked")],
        user: "{host} {right}",
        refused: Some(Reason::SshConfigPrevents),
        ..PLAIN
    },
    // An authority vouches by certificate for the names in it.
    Case {
        config: &[("HostKeyAlias", "desk.lan")],
        user: "@cert-authority *.lan {authority}",
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlias", "desk.home")],
        user: "@cert-authority * {authority}",
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlias", "desk.lan")],
        user: "@cert-authority * {wrong}",
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlias", "desk.lan")],
        user: "@cert-authority * {wrong}\ndesk.lan {right}",
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlias", "desk.lan")],
        user: "@cert-authority * {authority}\n@revoked * {authority}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        config: &[
            ("HostKeyAlias", "desk.lan"),
            ("CASignatureAlgorithms", "rsa-sha2-512"),
        ],
        user: "@cert-authority * {authority}",
        ..PLAIN
    },
    Case {
        config: &[
            ("HostKeyAlias", "desk.lan"),
            ("HostKeyAlgorithms", "ssh-ed25519-cert-v01@openssh.com"),
        ],
        user: "@cert-authority * {authority}",
        refused: None,
        ..PLAIN
    },
    // No key of this machine's own is looked at, where ssh_config says so and has no other name for it.
    Case {
        config: &[("NoHostAuthenticationForLocalhost", "yes")],
        user: "{host} {wrong}",
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[
            ("NoHostAuthenticationForLocalhost", "yes"),
            ("HostKeyAlias", "desk"),
        ],
        ..PLAIN
    },
    Case {
        config: &[
            ("NoHostAuthenticationForLocalhost", "yes"),
            ("RevokedHostKeys", "{dir}/listed"),
        ],
        listed: "{right}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    // NIX_SSHOPTS comes before field 8, and that one before ssh_config.
    Case {
        options: "-o 'UserKnownHostsFile={dir}/listed'",
        field: Some("{wrong}"),
        listed: "{host} {right}",
        refused: None,
        ..PLAIN
    },
    Case {
        options: "-o 'UserKnownHostsFile={dir}/listed'",
        field: Some("{right}"),
        listed: "{host} {wrong}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        config: &[("UserKnownHostsFile", "{dir}/listed")],
        field: Some("{right}"),
        listed: "{host} {wrong}",
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[("UserKnownHostsFile", "\"{dir}/missing one\" {dir}/listed")],
        listed: "{host} {right}",
        refused: None,
        ..PLAIN
    },
];
