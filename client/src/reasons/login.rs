//! The words for a login that fails, and for what a login finds in Nix's place.
//!
//! sshd tells whom it turns away nothing and its journal all: its own words there lead to the line to change. Its processes
//! are found by their names, for those of a login leave the service's unit, and that is called `ssh` or `sshd`.

use super::Text;

pub(super) const AUTH_REJECTED: Text = Text {
    title: "key not accepted",
    explanation: "The builder knows nobody called {user|nix-builder} with the key that Nix would use.",
    remedy: "Put the public half of the key into ~{user|nix-builder}/.ssh/authorized_keys on the desktop (NixOS: \
             `users.users.{user|nix-builder}.openssh.authorizedKeys.keys`). Where `getent passwd {user|nix-builder}` prints nothing \
             there, correct the user in {uri}. If the key is there, sshd's log says why it does not count: `journalctl -t sshd -t \
             sshd-session -n 20`. It may be its line (`from=`, `expiry-time=`), who may write there (`sudo chmod go-w \
             ~{user|nix-builder} ~{user|nix-builder}/.ssh ~{user|nix-builder}/.ssh/authorized_keys`, `sudo chown -R \
             {user|nix-builder}: ~{user|nix-builder}/.ssh`), the account (locked: `sudo usermod -p '*' {user|nix-builder}`; its \
             shell is not there: `sudo usermod -s /bin/sh {user|nix-builder}`), or /etc/ssh/sshd_config (`AllowUsers`, \
             `AllowGroups`, `DenyUsers`, `PubkeyAcceptedAlgorithms`, and where `sudo sshd -T -C user={user|nix-builder} | grep -i \
             authorizedkeysfile` looks for keys): correct it, and `sudo systemctl reload sshd` (NixOS: \
             `services.openssh.settings`). Try it as root, as Nix does: `sudo ssh -i {identity|/PATH/TO/KEY} {login} true`.",
};

/// Of a server that takes the key, and something beside it that Nix has not.
pub(super) const MORE_THAN_A_KEY: Text = Text {
    title: "more than a key is asked for",
    explanation: "The builder knows the key of {user|nix-builder}, and demands {demanded|more} as well, which nobody is there to give.",
    remedy: "Let a key be enough: in /etc/ssh/sshd_config on the desktop the lines `Match User {user|nix-builder}` and \
             `AuthenticationMethods publickey` at its end, then `sudo systemctl reload sshd` (NixOS: \
             `services.openssh.extraConfig`).",
};

/// Of a server that does not ask for keys at all.
pub(super) const NO_KEYS: Text = Text {
    title: "keys are not taken",
    explanation: "The SSH server on {host} takes no keys, but {login_methods|other proofs} alone, which nobody is there to give.",
    remedy: "In /etc/ssh/sshd_config on the desktop let `PubkeyAuthentication yes` hold, and take out an `AuthenticationMethods` that \
             begins with something else, then `sudo systemctl reload sshd` (NixOS: `services.openssh.settings`).",
};

pub(super) const LOGIN_REFUSED: Text = Text {
    title: "login ended though the key is known",
    explanation: "{host} knows the key that Nix would use, and ends the login of {user|the user} all the same.",
    remedy: "sshd says why in its log on the desktop: `journalctl -t sshd -t sshd-session -n 20`. An account or its password that \
             has expired: `sudo chage -d -1 -E -1 -M -1 {user|nix-builder}`; a machine that is closed to users: `cat /etc/nologin` \
             says why, `sudo rm /etc/nologin` opens it; in /etc/ssh/sshd_config `MaxSessions 0`, `PermitRootLogin \
             forced-commands-only`, or a `ChrootDirectory` that is not there: correct it, and `sudo systemctl reload sshd` (NixOS: \
             `services.openssh.settings`).",
};

pub(super) const TURNED_AWAY: Text = Text {
    title: "turned away for a while",
    explanation: "sshd on {host} lets nobody in from this machine for now, because logins from here have failed too often.",
    remedy: "Wait: it forgets within ten minutes, and is looked at again by itself. What made the logins fail stands in \
             its log on the desktop: `journalctl -t sshd -t sshd-session -n 50`. `PerSourcePenaltyExemptList` with this machine's \
             address in /etc/ssh/sshd_config there, and `sudo systemctl reload sshd` (NixOS: `services.openssh.settings`), let this \
             machine in whatever happens.",
};

pub(super) const KEY_UNREADABLE: Text = Text {
    title: "SSH key unreadable",
    explanation: "The private key {identity|that Nix would use} can't be read: it is missing, not permitted, encrypted, or no key.",
    remedy: "Correct the path (NixOS: `sshKey` in nix.buildMachines; the third field in \
             /etc/nix/machines). A key that others may read, ssh refuses: `sudo chmod 600 {identity|KEY}`. One of root's that \
             only offloadd's own configuration names is handed over by systemd: `sudo systemctl edit offloadd`, there `[Service]` and \
             `LoadCredential={credential|NAME}:{identity|PATH}`, and a restart. A key with a passphrase \
             can't be used by the Nix daemon; `sudo ssh-keygen -p -N '' -f {identity|KEY}` removes it, `ssh-keygen -t ed25519 -N ''` \
             makes a new one.",
};

pub(super) const PROFILE_OUTPUT: Text = Text {
    title: "shell profile prints",
    explanation: "The login shell on {host} prints before Nix speaks ({noise|some text}), and Nix takes that for a broken answer.",
    remedy: "Find what prints in ~{user|nix-builder}/.bashrc, .zshenv, .config/fish/config.fish or .ssh/rc on the desktop, \
             or in their counterparts in /etc, and let it print for people only: \
             `case $- in *i*) echo hello ;; esac` (fish: `if status is-interactive; echo hello; end`). After that `ssh {login} true` \
             prints nothing.",
};

pub(super) const NOT_NIX: Text = Text {
    title: "another program than Nix answers",
    explanation: "The login works, but on {host} something else than `{program|nix-daemon}` runs: a forced command, or a login shell that lets nobody in.",
    remedy: "Look at `getent passwd {user|nix-builder}` on the desktop: the last field must be a shell (`sudo usermod -s /bin/sh \
             {user|nix-builder}`; NixOS: `users.users.{user|nix-builder}.useDefaultShell = true;`). Take `command=` out of \
             ~{user|nix-builder}/.ssh/authorized_keys there, and `ForceCommand` out of /etc/ssh/sshd_config, then `sudo systemctl \
             reload sshd` (NixOS: `services.openssh.settings`).",
};
