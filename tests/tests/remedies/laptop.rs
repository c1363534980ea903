//! What the laptop itself has wrong: its keys, what it knows of the desktop, ssh_config, nix.conf and the list of builders.

use offload_client::{
    Kind,
    Reason::{
        BuilderWithoutSlots, BuildersDisabled, DnsFailed, FeatureMissing, HostKeyMismatch,
        HostKeyUnknown, KeyUnreadable, MachinesFileBroken, NixConfBroken, NotSsh, ProxyFailed,
        SshConfigPrevents, SshConfigUnsupported, SshProtocol,
    },
};

use crate::{
    machines::Machine::{Desktop, Laptop},
    row::{
        Proof::{self, Builds},
        Row, follow, here, there,
    },
};

const RESTART: &str = "sudo systemctl restart nix-daemon";
const NEW_HOST_KEY: &str = "rm /etc/ssh/test_host_key; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/test_host_key; \
                            cp /etc/ssh/test_host_key.pub /etc/ssh/ssh_host_ed25519_key.pub; systemctl restart ssh";

const ROWS: [Row; 20] = [
    Row {
        reason: KeyUnreadable,
        cause: "the path of the key is wrong",
        spoil: &[(Laptop, "sed -i s/builder_ed25519/builder_ed/ /etc/nix/machines")],
        remedy: &[here("the third field in /etc/nix/machines").by("sed -i s/builder_ed/builder_ed25519/ /etc/nix/machines")],
        proof: Builds,
    },
    Row {
        reason: KeyUnreadable,
        cause: "a key that others may read",
        spoil: &[(Laptop, "chmod 644 /etc/nix/builder_ed25519")],
        remedy: &[here("sudo chmod 600 /etc/nix/builder_ed25519")],
        proof: Builds,
    },
    Row {
        reason: KeyUnreadable,
        cause: "a key with a passphrase",
        spoil: &[(Laptop, "ssh-keygen -q -p -N secret -f /etc/nix/builder_ed25519 > /dev/null")],
        remedy: &[
            here("sudo ssh-keygen -p -N '' -f /etc/nix/builder_ed25519")
                .by("sudo ssh-keygen -p -P secret -N '' -f /etc/nix/builder_ed25519"),
        ],
        proof: Builds,
    },
    Row {
        reason: KeyUnreadable,
        cause: "the public half in the key's place",
        spoil: &[(
            Laptop,
            "cp /etc/nix/builder_ed25519 /etc/nix/builder; ssh-keygen -yf /etc/nix/builder > /etc/nix/builder.pub; \
             chmod 600 /etc/nix/builder.pub; sed -i s/builder_ed25519/builder.pub/ /etc/nix/machines",
        )],
        remedy: &[here("Correct the path").by("sed -i s/builder.pub/builder/ /etc/nix/machines")],
        proof: Builds,
    },
    Row {
        reason: HostKeyUnknown,
        cause: "in no known_hosts",
        spoil: &[(Laptop, "rm /etc/ssh/ssh_known_hosts"), (Desktop, NEW_HOST_KEY)],
        remedy: &[
            there("cat /etc/ssh/ssh_host_ed25519_key.pub").shows("ssh-ed25519"),
            here("ssh-keyscan -t ed25519 -p 22 192.0.2.6").shows("ssh-ed25519"),
            here("add the scan's line to /etc/ssh/ssh_known_hosts")
                .by("ssh-keyscan -t ed25519 -p 22 192.0.2.6 2> /dev/null > /etc/ssh/ssh_known_hosts"),
        ],
        proof: Builds,
    },
    Row {
        reason: HostKeyUnknown,
        cause: "a field is left out before the host key",
        spoil: &[(
            Laptop,
            "key=$(cut -d' ' -f2- /etc/ssh/ssh_known_hosts | base64 -w0); rm /etc/ssh/ssh_known_hosts; \
             sed -i \"s|\\$| $key|\" /etc/nix/machines",
        )],
        remedy: &[
            here("Write `-` for the field that is left out").by("sed -i 's/ kvm / kvm - /' /etc/nix/machines"),
        ],
        proof: Builds,
    },
    Row {
        reason: FeatureMissing,
        cause: "a field is left out before the host key, which ssh knows",
        spoil: &[(
            Laptop,
            "key=$(cut -d' ' -f2- /etc/ssh/ssh_known_hosts | base64 -w0); sed -i \"s|\\$| $key|\" /etc/nix/machines",
        )],
        remedy: &[
            here("Write `-` for the field that is left out").by("sed -i 's/ kvm / kvm - /' /etc/nix/machines"),
        ],
        proof: Builds,
    },
    Row {
        reason: HostKeyMismatch,
        cause: "a new host key, and known_hosts has the old one",
        spoil: &[(Desktop, NEW_HOST_KEY)],
        remedy: &[
            there("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").shows("SHA256:"),
            here("sudo ssh-keygen -R '192.0.2.6' -f /etc/ssh/ssh_known_hosts"),
            here("ssh-keyscan -t ed25519 -p 22 192.0.2.6 | sudo tee -a /etc/ssh/ssh_known_hosts"),
        ],
        proof: Builds,
    },
    Row {
        reason: HostKeyMismatch,
        cause: "a new host key, and the machines line has the old one",
        spoil: &[
            (
                Laptop,
                "key=$(cut -d' ' -f2- /etc/ssh/ssh_known_hosts | base64 -w0); rm /etc/ssh/ssh_known_hosts; \
                 sed -i \"s|\\$| - $key|\" /etc/nix/machines",
            ),
            (Desktop, NEW_HOST_KEY),
        ],
        remedy: &[
            here("eighth field in /etc/nix/machines").by(
                "key=$(ssh-keyscan -t ed25519 192.0.2.6 2> /dev/null | grep -v ^# | cut -d' ' -f2- | base64 -w0); \
                 sed -i \"s|kvm .*|kvm - $key|\" /etc/nix/machines",
            ),
        ],
        proof: Builds,
    },
    Row {
        reason: DnsFailed,
        cause: "a name that nobody knows",
        spoil: &[
            (Laptop, "sed -i s/192.0.2.6/desktop.example/ /etc/nix/machines; sed -i s/192.0.2.6/*/ /etc/ssh/ssh_known_hosts"),
        ],
        remedy: &[
            here("getent ahosts desktop.example").by("! getent ahosts desktop.example"),
            here("a fixed address in the URI").by("sed -i s/desktop.example/192.0.2.6/ /etc/nix/machines"),
        ],
        proof: Builds,
    },
    Row {
        reason: NotSsh,
        cause: "ssh_config has another service's port",
        spoil: &[(Laptop, "printf 'Host 192.0.2.6\\nPort 5000\\n' >> /etc/ssh/ssh_config.d/own.conf")],
        remedy: &[here("or in ssh_config").by("rm /etc/ssh/ssh_config.d/own.conf")],
        proof: Builds,
    },
    Row {
        reason: SshProtocol,
        cause: "no cipher in common",
        spoil: &[(Desktop, "echo Ciphers aes128-cbc > /etc/ssh/sshd_config.d/own.conf; systemctl reload ssh")],
        remedy: &[
            here("ssh -vv nix-builder@192.0.2.6 true").shows("no matching cipher"),
            there("`Ciphers`").by("rm /etc/ssh/sshd_config.d/own.conf"),
            there("sudo systemctl reload sshd"),
        ],
        proof: Builds,
    },
    Row {
        reason: SshConfigPrevents,
        cause: "RemoteCommand",
        spoil: &[(Laptop, "printf 'Host 192.0.2.6\\nRemoteCommand tmux\\n' > /etc/ssh/ssh_config.d/own.conf")],
        remedy: &[
            here("grep -rni remotecommand /etc/ssh/ssh_config /etc/ssh/ssh_config.d /root/.ssh/config").shows("RemoteCommand tmux"),
            here("correct it").by("rm /etc/ssh/ssh_config.d/own.conf"),
            here("sudo ssh nix-builder@192.0.2.6 echo works")
                .by("sudo ssh -i /etc/nix/builder_ed25519 nix-builder@192.0.2.6 echo works")
                .shows("works"),
        ],
        proof: Builds,
    },
    Row {
        reason: SshConfigPrevents,
        cause: "an ssh_config that ssh refuses",
        spoil: &[(Laptop, "echo Prot 22 > /etc/ssh/ssh_config.d/own.conf")],
        remedy: &[
            here("sudo ssh -G 192.0.2.6 > /dev/null").shows("/etc/ssh/ssh_config.d/own.conf"),
            here("correct").by("rm /etc/ssh/ssh_config.d/own.conf"),
        ],
        proof: Builds,
    },
    Row {
        reason: SshConfigUnsupported,
        cause: "KnownHostsCommand",
        spoil: &[(
            Laptop,
            "printf 'KnownHostsCommand /bin/cat /etc/ssh/ssh_known_hosts\\n' > /etc/ssh/ssh_config.d/own.conf",
        )],
        remedy: &[
            here("ssh -G 192.0.2.6").shows("knownhostscommand"),
            here("an entry of its own").by("printf 'Host 192.0.2.6\\nKnownHostsCommand none\\n' > /etc/ssh/ssh_config.d/own.conf"),
        ],
        proof: Proof::None,
    },
    Row {
        reason: ProxyFailed,
        cause: "a ProxyCommand that is not there",
        spoil: &[(Laptop, "printf 'Host 192.0.2.6\\nProxyCommand /opt/hop %%h %%p\\n' > /etc/ssh/ssh_config.d/own.conf")],
        remedy: &[
            here("ssh -G 192.0.2.6 | grep -i proxy").shows("proxycommand /opt/hop"),
            here("sudo ssh -v nix-builder@192.0.2.6 true").shows("/opt/hop"),
            here("what is configured").by("rm /etc/ssh/ssh_config.d/own.conf"),
        ],
        proof: Builds,
    },
    Row {
        reason: BuildersDisabled,
        cause: "`builders =` in nix.conf",
        spoil: &[(Laptop, "echo 'builders =' >> /etc/nix/nix.conf; systemctl stop nix-daemon")],
        remedy: &[
            here("take the line `builders =` out of /etc/nix/nix.conf").by("sed -i '/^builders =$/d' /etc/nix/nix.conf"),
            here(RESTART),
        ],
        proof: Builds,
    },
    Row {
        reason: MachinesFileBroken,
        cause: "a number of jobs that is none",
        spoil: &[(Laptop, "sed -i 's/ 2 1 kvm/ two 1 kvm/' /etc/nix/machines")],
        remedy: &[here("Correct line 1 of /etc/nix/machines").by("sed -i 's/ two 1 kvm/ 2 1 kvm/' /etc/nix/machines")],
        proof: Builds,
    },
    Row {
        reason: BuilderWithoutSlots,
        cause: "maxJobs 0",
        spoil: &[(Laptop, "sed -i 's/ 2 1 kvm/ 0 1 kvm/' /etc/nix/machines")],
        remedy: &[here("/etc/nix/machines").by("sed -i 's/ 0 1 kvm/ 2 1 kvm/' /etc/nix/machines")],
        proof: Builds,
    },
    Row {
        reason: NixConfBroken,
        cause: "a line that is none",
        spoil: &[(Laptop, "echo max-jobs >> /etc/nix/nix.conf")],
        remedy: &[
            here("nix config show").shows("max-jobs"),
            here("`nix config show` names the fault").by("sed -i '/^max-jobs$/d' /etc/nix/nix.conf"),
        ],
        proof: Builds,
    },
];

#[tokio::test]
async fn what_the_laptop_has_wrong_is_right_by_the_remedy() {
    follow(Kind::Builder, &ROWS).await;
}
