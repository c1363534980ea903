//! Logins that sshd does not let in, whatever its log alone knows.

use offload_client::{Kind, Reason::AuthRejected};

use crate::{
    machines::Machine::{Desktop, Laptop},
    row::{Proof::Builds, Row, follow, here, there},
};

const LOG: &str = "journalctl -t sshd -t sshd-session -n 20";
const RELOAD: &str = "sudo systemctl reload sshd";

const ROWS: [Row; 17] = [
    Row {
        reason: AuthRejected,
        cause: "the key is in no authorized_keys",
        spoil: &[(Desktop, "rm /home/nix-builder/.ssh/authorized_keys")],
        remedy: &[
            there("Put the public half of the key into ~nix-builder/.ssh/authorized_keys").by(
                "install -o nix-builder -m 600 /etc/ssh/authorized_keys/nix-builder ~nix-builder/.ssh/authorized_keys",
            ),
            here("sudo ssh -i /etc/nix/builder_ed25519 nix-builder@192.0.2.6 true"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "the builder's entry has another user",
        spoil: &[(Laptop, "sed -i s/nix-builder/nixbuilder/ /etc/nix/machines")],
        remedy: &[
            there("getent passwd nixbuilder").by("! getent passwd nixbuilder"),
            here("correct the user in ssh-ng://nixbuilder@192.0.2.6").by("sed -i s/nixbuilder/nix-builder/ /etc/nix/machines"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "the key's line has a typo",
        spoil: &[(
            Desktop,
            "sed -i 's/AAAAC3/AAAAC/' /home/nix-builder/.ssh/authorized_keys",
        )],
        remedy: &[
            there("Put the public half of the key into ~nix-builder/.ssh/authorized_keys").by(
                "install -o nix-builder -m 600 /etc/ssh/authorized_keys/nix-builder ~nix-builder/.ssh/authorized_keys",
            ),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "AllowUsers lacks the user",
        spoil: &[(
            Desktop,
            "echo AllowUsers ada > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there(LOG).shows("not listed in AllowUsers"),
            there("`AllowUsers`").by("echo AllowUsers ada nix-builder > /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "AllowGroups lacks the user's",
        spoil: &[(
            Desktop,
            "echo AllowGroups ada > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there(LOG).shows("none of user's groups are listed in AllowGroups"),
            there("`AllowGroups`").by("echo AllowGroups ada nix-builder > /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "DenyUsers has the user",
        spoil: &[(
            Desktop,
            "echo DenyUsers nix-builder > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there(LOG).shows("listed in DenyUsers"),
            there("`DenyUsers`").by("rm /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "from= has not the laptop",
        spoil: &[(
            Desktop,
            "sed -i 's/^/from=\"192.0.2.99\" /' /home/nix-builder/.ssh/authorized_keys",
        )],
        remedy: &[
            there(LOG).shows("not from a permitted host"),
            there("`from=`").by("sed -i 's/192.0.2.99/192.0.2.2/' /home/nix-builder/.ssh/authorized_keys"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "expiry-time= is over",
        spoil: &[(
            Desktop,
            "sed -i 's/^/expiry-time=\"20200101\" /' /home/nix-builder/.ssh/authorized_keys",
        )],
        remedy: &[
            there(LOG).shows("Refused by key options"),
            there("`expiry-time=`").by("sed -i 's/^expiry-time=[^ ]* //' /home/nix-builder/.ssh/authorized_keys"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "home that others may write to",
        spoil: &[(Desktop, "chmod 777 /home/nix-builder")],
        remedy: &[
            there(LOG).shows("bad ownership or modes for directory /home/nix-builder"),
            there("sudo chmod go-w ~nix-builder ~nix-builder/.ssh ~nix-builder/.ssh/authorized_keys"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: ".ssh that others may write to",
        spoil: &[(Desktop, "chmod 777 /home/nix-builder/.ssh")],
        remedy: &[
            there(LOG).shows("bad ownership or modes for directory /home/nix-builder/.ssh"),
            there("sudo chmod go-w ~nix-builder ~nix-builder/.ssh ~nix-builder/.ssh/authorized_keys"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "authorized_keys of another user",
        spoil: &[(
            Desktop,
            "chown ada /home/nix-builder/.ssh/authorized_keys; chmod 644 /home/nix-builder/.ssh/authorized_keys",
        )],
        remedy: &[
            there(LOG).shows("bad ownership or modes for file"),
            there("sudo chown -R nix-builder: ~nix-builder/.ssh"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "the login shell is not there",
        spoil: &[(Desktop, "usermod -s /bin/fish nix-builder 2> /dev/null")],
        remedy: &[
            there(LOG).shows("because shell /bin/fish does not exist"),
            there("sudo usermod -s /bin/sh nix-builder"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "a locked account, without PAM",
        spoil: &[(
            Desktop,
            "usermod -p '!' nix-builder; echo UsePAM no > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there(LOG).shows("because account is locked"),
            there("sudo usermod -p '*' nix-builder"),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "AuthenticationMethods wants more than a key",
        spoil: &[(
            Desktop,
            "printf 'AuthenticationMethods publickey,keyboard-interactive\\nKbdInteractiveAuthentication yes\\n' > \
             /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there("`AuthenticationMethods publickey`").by(
                "printf 'Match User nix-builder\\nAuthenticationMethods publickey\\n' >> /etc/ssh/sshd_config.d/own.conf",
            ),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "PubkeyAuthentication no on the desktop",
        spoil: &[(
            Desktop,
            "printf 'PubkeyAuthentication no\\nPasswordAuthentication yes\\n' > /etc/ssh/sshd_config.d/own.conf; \
             systemctl reload ssh",
        )],
        remedy: &[
            there("`PubkeyAuthentication yes`").by("echo PubkeyAuthentication yes > /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "AuthorizedKeysFile is another file",
        spoil: &[(
            Desktop,
            "echo AuthorizedKeysFile /etc/ssh/keys/%u > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there("sudo sshd -T -C user=nix-builder | grep -i authorizedkeysfile").shows("/etc/ssh/keys/%u"),
            there("Put the public half of the key into").by(
                "install -D -m 644 /etc/ssh/authorized_keys/nix-builder /etc/ssh/keys/nix-builder",
            ),
        ],
        proof: Builds,
    },
    Row {
        reason: AuthRejected,
        cause: "PubkeyAcceptedAlgorithms lacks the key's",
        spoil: &[(
            Desktop,
            "echo PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256 > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there(LOG).shows("not in PubkeyAcceptedAlgorithms"),
            there("`PubkeyAcceptedAlgorithms`").by("rm /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
];

#[tokio::test]
async fn who_is_not_let_in_gets_in_by_the_remedy() {
    follow(Kind::Builder, &ROWS).await;
}
