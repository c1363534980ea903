//! What the desktop's Nix is, has and allows.

use offload_client::{
    Kind,
    Reason::{FeatureMissing, NixDaemonDown, NixMissing, NotTrusted, Refused, SystemMissing},
};

use crate::{
    machines::Machine::{Desktop, Laptop},
    row::{
        Proof::{self, Builds, BuildsFromHere, BuildsWith},
        Row, follow, here, there,
    },
};

/// As Nix's own installer leaves it.
const HIDE: &str = "mkdir -p /nix/var/nix/profiles/default/bin; mv /usr/bin/nix* /nix/var/nix/profiles/default/bin/; \
                    mkdir -p /etc/systemd/system/nix-daemon.service.d; printf '[Service]\\nExecStart=\\n\
                    ExecStart=/nix/var/nix/profiles/default/bin/nix-daemon --daemon\\n' > \
                    /etc/systemd/system/nix-daemon.service.d/own.conf; systemctl daemon-reload";

const ROWS: [Row; 13] = [
    Row {
        reason: NixMissing,
        cause: "not on the PATH of a command",
        spoil: &[(Desktop, HIDE)],
        remedy: &[
            there("sudo ln -s /nix/var/nix/profiles/default/bin/nix* /usr/local/bin/"),
            here("ssh nix-builder@192.0.2.6 command -v nix-daemon")
                .by("ssh -i /etc/nix/builder_ed25519 nix-builder@192.0.2.6 command -v nix-daemon")
                .shows("/usr/local/bin/nix-daemon"),
        ],
        proof: Builds,
    },
    Row {
        reason: NixMissing,
        cause: "not on the PATH, mended by the URI",
        spoil: &[(Desktop, HIDE)],
        remedy: &[
            here("remote-program=/nix/var/nix/profiles/default/bin/nix-daemon").by(
                "sed -i 's|192.0.2.6|&?remote-program=/nix/var/nix/profiles/default/bin/nix-daemon|' /etc/nix/machines",
            ),
        ],
        proof: Builds,
    },
    Row {
        reason: NixDaemonDown,
        cause: "its socket was stopped",
        spoil: &[(
            Desktop,
            "systemctl stop nix-daemon.socket nix-daemon.service",
        )],
        remedy: &[there("sudo systemctl start nix-daemon.socket")],
        proof: Builds,
    },
    Row {
        reason: NixDaemonDown,
        cause: "the socket's group is not the user's",
        spoil: &[(
            Desktop,
            "gpasswd -d nix-builder nix-users > /dev/null",
        )],
        remedy: &[
            there("ls -ld /nix/var/nix/daemon-socket").shows("nix-users"),
            there("sudo usermod -aG GROUP nix-builder").by("sudo usermod -aG nix-users nix-builder"),
        ],
        proof: Builds,
    },
    Row {
        reason: NixDaemonDown,
        cause: "a broken nix.conf on the desktop",
        spoil: &[(
            Desktop,
            "echo include /nowhere >> /etc/nix/nix.conf; systemctl stop nix-daemon.service",
        )],
        remedy: &[
            there("nix --extra-experimental-features nix-command config show > /dev/null").shows("/nowhere"),
            there("Correct what it names in the desktop's /etc/nix/nix.conf").by("sed -i /nowhere/d /etc/nix/nix.conf"),
            there("sudo systemctl restart nix-daemon"),
        ],
        proof: Builds,
    },
    Row {
        reason: NotTrusted,
        cause: "trusted-users lacks the user",
        spoil: &[(
            Desktop,
            "sed -i 's/^trusted-users.*/trusted-users = root/' /etc/nix/nix.conf; systemctl stop nix-daemon.service",
        )],
        remedy: &[
            there("`extra-trusted-users = nix-builder`").by("echo extra-trusted-users = nix-builder >> /etc/nix/nix.conf"),
            there("sudo systemctl restart nix-daemon"),
        ],
        proof: BuildsFromHere,
    },
    Row {
        reason: FeatureMissing,
        cause: "system-features lacks one",
        spoil: &[(Laptop, "sed -i 's/kvm/kvm,nixos-test/' /etc/nix/machines")],
        remedy: &[
            there("`extra-system-features = nixos-test`").by("echo extra-system-features = nixos-test >> /etc/nix/nix.conf"),
            there("sudo systemctl restart nix-daemon"),
        ],
        proof: BuildsWith("nixos-test"),
    },
    Row {
        reason: FeatureMissing,
        cause: "the entry promises one too many",
        spoil: &[(Laptop, "sed -i 's/kvm/kvm,nixos-test/' /etc/nix/machines")],
        remedy: &[
            here("sixth and seventh fields in /etc/nix/machines").by("sed -i 's/kvm,nixos-test/kvm/' /etc/nix/machines"),
        ],
        proof: Proof::None,
    },
    Row {
        reason: SystemMissing,
        cause: "the entry promises one too many",
        spoil: &[(
            Laptop,
            "sed -i 's/x86_64-linux/x86_64-linux,riscv64-linux/' /etc/nix/machines",
        )],
        remedy: &[
            here("second field in /etc/nix/machines").by("sed -i 's/,riscv64-linux//' /etc/nix/machines"),
        ],
        proof: Proof::None,
    },
    Row {
        reason: SystemMissing,
        cause: "extra-platforms lacks it",
        spoil: &[(
            Laptop,
            "sed -i 's/x86_64-linux/x86_64-linux,riscv64-linux/' /etc/nix/machines",
        )],
        remedy: &[
            there("`extra-platforms = riscv64-linux`").by("echo extra-platforms = riscv64-linux >> /etc/nix/nix.conf"),
            there("sudo systemctl restart nix-daemon"),
        ],
        proof: Proof::None,
    },
    Row {
        reason: SystemMissing,
        cause: "a typo in the entry",
        spoil: &[(Laptop, "sed -i 's/x86_64-linux/x86_64/' /etc/nix/machines")],
        remedy: &[
            here("`x86_64-linux`").by("sed -i 's/x86_64/x86_64-linux/' /etc/nix/machines"),
        ],
        proof: Builds,
    },
    Row {
        reason: SystemMissing,
        cause: "max-jobs = 0 on the desktop",
        spoil: &[(
            Desktop,
            "echo max-jobs = 0 >> /etc/nix/nix.conf; systemctl stop nix-daemon.service",
        )],
        remedy: &[
            there("set it to `auto`").by("sed -i 's/^max-jobs.*/max-jobs = auto/' /etc/nix/nix.conf"),
            there("sudo systemctl restart nix-daemon"),
        ],
        proof: Builds,
    },
    Row {
        reason: Refused,
        cause: "sshd was stopped",
        spoil: &[(Desktop, "systemctl stop ssh.service ssh.socket 2> /dev/null; true")],
        remedy: &[there("sudo systemctl start sshd")],
        proof: Builds,
    },
];

#[tokio::test]
async fn what_its_nix_lacks_is_there_by_the_remedy() {
    follow(Kind::Builder, &ROWS).await;
}
