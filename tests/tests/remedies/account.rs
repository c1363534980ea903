//! Logins that end although the key is known, and what else than Nix a login finds.

use offload_client::{
    Kind,
    Reason::{LoginRefused, NotNix, ProfileOutput, TurnedAway},
};

use crate::{
    machines::Machine::{Desktop, Laptop},
    row::{Proof::Builds, Row, follow, here, there},
};

const LOG: &str = "journalctl -t sshd -t sshd-session -n 20";
const RELOAD: &str = "sudo systemctl reload sshd";

const ROWS: [Row; 14] = [
    Row {
        reason: LoginRefused,
        cause: "an expired account",
        spoil: &[(Desktop, "chage -E 2020-01-01 nix-builder")],
        remedy: &[
            there(LOG).shows("has expired"),
            there("sudo chage -d -1 -E -1 -M -1 nix-builder"),
        ],
        proof: Builds,
    },
    Row {
        reason: LoginRefused,
        cause: "a password that is too old",
        spoil: &[(Desktop, "chage -d 2020-01-01 -M 30 -I 1 nix-builder")],
        remedy: &[
            there(LOG).shows("has expired"),
            there("sudo chage -d -1 -E -1 -M -1 nix-builder"),
        ],
        proof: Builds,
    },
    Row {
        reason: LoginRefused,
        cause: "a password that is to be changed first",
        spoil: &[(Desktop, "chage -d 0 nix-builder")],
        remedy: &[there("sudo chage -d -1 -E -1 -M -1 nix-builder")],
        proof: Builds,
    },
    Row {
        reason: LoginRefused,
        cause: "/etc/nologin",
        spoil: &[(Desktop, "echo going down > /etc/nologin")],
        remedy: &[
            there("cat /etc/nologin").shows("going down"),
            there("sudo rm /etc/nologin"),
        ],
        proof: Builds,
    },
    Row {
        reason: LoginRefused,
        cause: "MaxSessions 0",
        spoil: &[(
            Desktop,
            "echo MaxSessions 0 > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there("`MaxSessions 0`").by("rm /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: LoginRefused,
        cause: "a ChrootDirectory that is not there",
        spoil: &[(
            Desktop,
            "echo ChrootDirectory /nowhere > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there(LOG).shows("/nowhere"),
            there("`ChrootDirectory`").by("rm /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: LoginRefused,
        cause: "PermitRootLogin forced-commands-only, and root's login",
        spoil: &[
            (
                Desktop,
                "mkdir -m 700 -p /root/.ssh; cp /etc/ssh/authorized_keys/nix-builder /root/.ssh/authorized_keys; \
             echo PermitRootLogin forced-commands-only > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
            ),
            (Laptop, "sed -i s/nix-builder/root/ /etc/nix/machines"),
        ],
        remedy: &[
            there("PermitRootLogin forced-commands-only")
                .by("echo PermitRootLogin prohibit-password > /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: TurnedAway,
        cause: "sshd's penalty for logins that failed",
        spoil: &[
            (
                Desktop,
                "sed -i /PerSourcePenalties/d /etc/ssh/sshd_config.d/test.conf; \
             echo 'PerSourcePenalties authfail:600s min:1s' > /etc/ssh/sshd_config.d/own.conf; systemctl restart ssh",
            ),
            (
                Laptop,
                "for try in 1 2 3; do ssh -o BatchMode=yes -o StrictHostKeyChecking=no nobody@192.0.2.6; done 2> /dev/null; true",
            ),
        ],
        remedy: &[
            there("`PerSourcePenaltyExemptList`").by(
                "echo PerSourcePenaltyExemptList 192.0.2.0/24 >> /etc/ssh/sshd_config.d/own.conf",
            ),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: NotNix,
        cause: "a login shell that lets nobody in",
        spoil: &[(Desktop, "usermod -s /usr/sbin/nologin nix-builder")],
        remedy: &[
            there("getent passwd nix-builder").shows("/usr/sbin/nologin"),
            there("sudo usermod -s /bin/sh nix-builder"),
        ],
        proof: Builds,
    },
    Row {
        reason: NotNix,
        cause: "command= in authorized_keys",
        spoil: &[(
            Desktop,
            "sed -i 's/^/command=\"uptime\" /' /home/nix-builder/.ssh/authorized_keys",
        )],
        remedy: &[there("`command=`")
            .by("sed -i 's/^command=[^ ]* //' /home/nix-builder/.ssh/authorized_keys")],
        proof: Builds,
    },
    Row {
        reason: NotNix,
        cause: "ForceCommand internal-sftp",
        spoil: &[(
            Desktop,
            "echo ForceCommand internal-sftp > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh",
        )],
        remedy: &[
            there("`ForceCommand`").by("rm /etc/ssh/sshd_config.d/own.conf"),
            there(RELOAD),
        ],
        proof: Builds,
    },
    Row {
        reason: ProfileOutput,
        cause: "echo in .bashrc",
        spoil: &[(Desktop, "echo 'echo hello' > /home/nix-builder/.bashrc")],
        remedy: &[
            there("case $- in *i*) echo hello ;; esac")
                .by("echo 'case $- in *i*) echo hello ;; esac' > /home/nix-builder/.bashrc"),
            here("ssh nix-builder@192.0.2.6 true").by(
                "test -z \"$(ssh -i /etc/nix/builder_ed25519 nix-builder@192.0.2.6 true 2>&1)\"",
            ),
        ],
        proof: Builds,
    },
    Row {
        reason: ProfileOutput,
        cause: "echo in /etc/bash.bashrc",
        spoil: &[(
            Desktop,
            "sed -i '1i echo welcome to the desktop' /etc/bash.bashrc",
        )],
        remedy: &[there("counterparts in /etc")
            .by("sed -i 's/^echo welcome.*/case $- in *i*) & ;; esac/' /etc/bash.bashrc")],
        proof: Builds,
    },
    Row {
        reason: ProfileOutput,
        cause: "echo in .ssh/rc",
        spoil: &[(Desktop, "echo 'echo hello' > /home/nix-builder/.ssh/rc")],
        remedy: &[there(".ssh/rc").by("rm /home/nix-builder/.ssh/rc")],
        proof: Builds,
    },
];

#[tokio::test]
async fn whose_login_ends_stays_by_the_remedy() {
    follow(Kind::Builder, &ROWS).await;
}
