//! What each reason means and how to mend it: people's words, kept off the bus.
//!
//! Remedies name the command to run or the option to change. They are templates: `{host}`, or
//! `{user|nix-builder}` with a fallback; [`remedy_for`] fills them from a target.

mod login;
mod mac;
mod of_target;
mod proxy;
mod staged;

pub use self::of_target::{explanation_for, remedy_for, title_for};

use crate::{Reason, WarningCode, language::tr, warnings};

/// What people are told of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// A few words: the headline.
    pub title: &'static str,
    /// What was seen, in a sentence; a template.
    pub explanation: &'static str,
    /// What to do about it; empty where there is nothing to do; a template.
    pub remedy: &'static str,
}

/// The words for `reason`.
pub fn text(reason: Reason) -> Text {
    english(reason).translated()
}

impl Text {
    pub(crate) fn translated(self) -> Self {
        Self {
            title: tr(self.title),
            explanation: tr(self.explanation),
            remedy: tr(self.remedy),
        }
    }
}

/// The words for `reason`, as the catalogues know them.
const fn english(reason: Reason) -> Text {
    match reason {
        Reason::None => Text {
            title: "",
            explanation: "",
            remedy: "",
        },
        Reason::NotConfigured => Text {
            title: "nothing to watch",
            explanation: "Neither Nix nor offloadd is configured to use a cache or a builder of your own.",
            remedy: "Give Nix a desktop: on NixOS `nix.settings.substituters` and `nix.buildMachines`, \
                     elsewhere `substituters` and `builders` in /etc/nix/nix.conf. Or tell offloadd alone: \
                     `offloadd --cache http://HOST:5000 --builder ssh-ng://nix-builder@HOST`.",
        },
        Reason::DnsFailed => Text {
            title: "name not found",
            explanation: "The name {host} has no address here, or no resolver answered.",
            remedy: "See what this machine makes of the name with `getent ahosts {host}`. A name that ends \
                     in .local needs mDNS on both machines (NixOS: `services.avahi.enable` and \
                     `services.avahi.nssmdns4`); a fixed address in the URI, or in `networking.hosts`, needs nothing.",
        },
        Reason::Refused => Text {
            title: "connection refused",
            explanation: "The machine at {address} is there, but nothing accepts connections on that port.",
            remedy: "Start the service on the desktop: `systemctl status {service}` says why it does not \
                     run, `sudo systemctl start` starts it. Where it runs, compare its port with the one in {uri}.",
        },
        Reason::TimedOut => Text {
            title: "no answer",
            explanation: "Nothing came back from {address} in time.",
            remedy: "See whether the desktop is on and awake, and still has that address \
                     (`ip -brief address` on it). If it is and does, a firewall drops the packets: on NixOS \
                     open the port with `networking.firewall.allowedTCPPorts`.",
        },
        Reason::NoRoute => Text {
            title: "no route",
            explanation: "This machine has no route to {address}.",
            remedy: "Connect this machine to the desktop's network or its VPN; `ip route get ADDRESS` says \
                     which way a packet would go.",
        },
        Reason::HostUnreachable => Text {
            title: "host unreachable",
            explanation: "The network says that no machine is there at {address}.",
            remedy: "Switch the desktop on or wake it. If it is on, its address has changed: compare \
                     `ip -brief address` on it with {uri}.",
        },
        Reason::ConnectionLost => Text {
            title: "connection lost",
            explanation: "{address} answered, and cut the connection in the middle of the exchange.",
            remedy: "Read the log on the desktop at that moment (`journalctl {journal} -n 50`): \
                     the service restarted, crashed, or limits its connections (sshd: `MaxStartups`, \
                     `PerSourcePenalties`).",
        },
        Reason::OutOfResources => Text {
            title: "this machine is out of resources",
            explanation: "{host} could not be checked, which is not its fault: this machine has no open files, threads or memory left.",
            remedy: "See what uses them up: `free -h`, `cat /proc/sys/fs/file-nr`, `systemctl status offloadd` (Tasks, Memory). \
                     Where it is offloadd's own limit, raise it: `sudo systemctl edit offloadd`, there `[Service]` and \
                     `LimitNOFILE=524288` or `TasksMax=infinity`, and a restart.",
        },
        Reason::TlsFailed => Text {
            title: "TLS failed",
            explanation: "{address} answered, but its certificate or its TLS version was not accepted.",
            remedy: "See the certificate with `curl -v {uri}/nix-cache-info`. For a CA of your own, give Nix its \
                     certificate: `ssl-cert-file` in nix.conf (NixOS: `security.pki.certificateFiles`). \
                     A cache without TLS has an http:// URL.",
        },
        Reason::NotHttp => Text {
            title: "not HTTP",
            explanation: "What answers at {address} does not speak HTTP.",
            remedy: "Another service listens on that port, or it expects TLS. See with \
                     `curl -v {uri}/nix-cache-info`, then correct the port, or http to https, in \
                     `substituters` (NixOS: `nix.settings.substituters`).",
        },
        Reason::HttpStatus => Text {
            title: "HTTP error",
            explanation: "The server at {address} answered, but not with status 200.",
            remedy: "Ask it yourself: `curl -i {uri}/nix-cache-info`. 404 means that the URL's path is wrong, 502 or \
                     503 that the cache behind the proxy is down.",
        },
        Reason::NotVisible => Text {
            title: "something only root may read",
            explanation: "Nix takes what {host} wants from a file of root's that offloadd may not read: whether it is the right \
                          one is not known here.",
            remedy: "Look as root: `sudo offloadd --once`. The service reads it through offload-helper: `systemctl status \
                     offload-helper.socket` says whether it is there, `journalctl -u offload-helper` what it refuses and why.",
        },
        Reason::Redirected => Text {
            title: "sends on to another host",
            explanation: "What answers at {address} sends on to {redirected_to|another host}. Nix goes there; offloadd does \
                          not by itself, because whoever answers could send it anywhere.",
            remedy: "If {redirected_to|that} is your cache, name it in place of {uri}: `{moved_to|http://HOST}` in \
                     `substituters` (NixOS: `nix.settings.substituters`). To see how Nix fares as it is: \
                     `offloadctl check {name}` goes there once. On a foreign network it may be the network's start page.",
        },
        Reason::CaptivePortal => Text {
            title: "not a cache: a web page answers",
            explanation: "A page came back from {address} instead of nix-cache-info.",
            remedy: "On a foreign network: log in at its start page in a browser. At home: the URL leads to \
                     another web server; see `curl -iL {uri}/nix-cache-info` and correct `substituters`.",
        },
        Reason::CacheInfoInvalid => Text {
            title: "nix-cache-info unreadable",
            explanation: "The cache at {address} answered with a nix-cache-info that Nix could not read.",
            remedy: "See `curl {uri}/nix-cache-info`: it must be short lines such as `StoreDir: /nix/store`. \
                     Update or restart the cache's server on the desktop.",
        },
        Reason::StoreDirMismatch => Text {
            title: "another store directory",
            explanation: "The cache serves the store {actual|of another directory}, and this machine's Nix has {expected|its own}.",
            remedy: "Nix can use a cache of its own store directory only: take {uri} out of `substituters`, or run \
                     the cache on a machine whose store is {expected|/nix/store}.",
        },
        Reason::NotSsh => Text {
            title: "not SSH",
            explanation: "What answers at {address} is not an SSH server.",
            remedy: "Another service listens on that port. Correct the port in the builder's URI \
                     (ssh-ng://{login}:PORT) or in ssh_config; \
                     `ssh -v {login}` shows what answers.",
        },
        Reason::SshProtocol => Text {
            title: "SSH exchange failed",
            explanation: "The SSH server at {address} and this machine share no algorithm, or it broke the protocol.",
            remedy: "Look at `ssh -vv {login} true`, and at `KexAlgorithms`, `Ciphers` and \
                     `HostKeyAlgorithms` in the desktop's sshd_config: after a change `sudo systemctl reload sshd` (NixOS: `services.openssh.settings`). \
                     An SSH server of before 2015 needs an update.",
        },
        Reason::HostKeyUnknown => Text {
            title: "host key not known",
            explanation: "The builder {host} proved a host key that this machine has no record of, so Nix would refuse it.",
            remedy: "Read the key on the desktop itself: `cat /etc/ssh/ssh_host_ed25519_key.pub`; it must be the one that \
                     `ssh-keyscan -t ed25519 -p {port|22} {host}` shows. Then make it known: on NixOS \
                     `programs.ssh.knownHosts.\"{host}\".publicKey`, or `publicHostKey` in nix.buildMachines \
                     (`base64 -w0` of that file); elsewhere add the scan's line to /etc/ssh/ssh_known_hosts.",
        },
        Reason::KnownHostsUnreadable => Text {
            title: "known_hosts unreadable",
            explanation: "The builder {host} proved a host key that is in none of the files offloadd may read. Nix, which \
                          runs ssh as root, also looks in {known_hosts_unreadable|root's known_hosts}, and may well know it.",
            remedy: "Compare the key with the desktop's own (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there) and \
                     write it where both can read it: `publicHostKey` in nix.buildMachines (`base64 -w0` of that \
                     file), on NixOS `programs.ssh.knownHosts.\"{host}\".publicKey`, elsewhere /etc/ssh/ssh_known_hosts. \
                     Or look as root: `sudo offloadd --once`. The service reads it through offload-helper: `systemctl \
                     status offload-helper.socket` says whether it is there, `journalctl -u offload-helper` what it refuses.",
        },
        Reason::HostKeyMismatch => Text {
            title: "HOST KEY CHANGED",
            explanation: "{address} proved another host key than the one known for this builder: another machine \
                          answers there, or the desktop was reinstalled. Nothing was sent to it.",
            remedy: "Compare with the key on the desktop itself: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`. If \
                     the desktop really has a new key, replace the old one: NixOS: `programs.ssh.knownHosts`, or \
                     `publicHostKey` in nix.buildMachines; elsewhere `sudo ssh-keygen -R '{known_name}' -f /etc/ssh/ssh_known_hosts` \
                     (the same for /root/.ssh/known_hosts) and `ssh-keyscan -t ed25519 -p {port|22} {host} | sudo tee -a \
                     /etc/ssh/ssh_known_hosts`, or `base64 -w0` of the desktop's file in the eighth field in /etc/nix/machines. If \
                     not, another machine has its address: find out which before you build anything.",
        },
        Reason::AuthRejected => login::AUTH_REJECTED,
        Reason::LoginRefused => login::LOGIN_REFUSED,
        Reason::TurnedAway => login::TURNED_AWAY,
        Reason::KeyUnreadable => login::KEY_UNREADABLE,
        Reason::ProxyFailed => Text {
            title: "proxy command failed",
            explanation: "The proxy command that ssh_config names for {host} ended, or could not be started.",
            remedy: "See what is configured with `ssh -G {host} | grep -i proxy`, and try it: \
                     `sudo ssh -v {login} true`. The machine in between must be reachable first.",
        },
        Reason::SshConfigPrevents => Text {
            title: "ssh_config keeps Nix out",
            explanation: "With {ssh_config_option|what ssh_config has} for {host}, ssh can't do what Nix asks of it.",
            remedy: "Find the line with `grep -rni {ssh_config_keyword|OPTION} /etc/ssh/ssh_config /etc/ssh/ssh_config.d /root/.ssh/config` \
                     (or in `NIX_SSHOPTS` of nix-daemon) and correct it for {host}; on NixOS it comes from `programs.ssh`. \
                     `sudo ssh {login} echo works` then prints `works`.",
        },
        Reason::SshConfigUnsupported => Text {
            title: "not to be judged by offloadd",
            explanation: "Whether ssh gets to {host} hangs on something that offloadd does not do ({ssh_config_option|see the error}), \
                          so a verdict would not be Nix's.",
            remedy: "See how Nix fares: `offloadctl test-build {name}`. To have it watched, give the builder an entry of its own in \
                     ssh_config without that (NixOS: `programs.ssh.extraConfig`); `ssh -G {host}` shows what is in force.",
        },
        Reason::NixMissing => Text {
            title: "Nix not found",
            explanation: "{user|The user} can log in to {host}, but `{program|nix-daemon}` is not on the PATH that SSH gives there.",
            remedy: "Install Nix on the desktop. Where it is installed, SSH does not see it, because login profiles are not read for a \
                     command: link it, `sudo ln -s /nix/var/nix/profiles/default/bin/nix* /usr/local/bin/`, or give the builder's \
                     URI the parameter `remote-program=/nix/var/nix/profiles/default/bin/{program|nix-daemon}`. Then \
                     `ssh {login} command -v {program|nix-daemon}` prints a path.",
        },
        Reason::NixDaemonDown => Text {
            title: "nix-daemon down",
            explanation: "Nix answers on {host}, but can't reach the nix-daemon that would do the build.",
            remedy: "Start it on the desktop: `sudo systemctl start nix-daemon.socket`; \
                     `systemctl status nix-daemon.socket nix-daemon.service` says why it does not run. Where it runs, \
                     `allowed-users` in the desktop's nix.conf must let {user|nix-builder} in (then `sudo systemctl restart \
                     nix-daemon`; NixOS: `nix.settings.allowed-users`), and `ls -ld /nix/var/nix/daemon-socket` names a group \
                     that {user|nix-builder} must be in: `sudo usermod -aG GROUP {user|nix-builder}`.",
        },
        Reason::ProfileOutput => login::PROFILE_OUTPUT,
        Reason::NotNix => login::NOT_NIX,
        Reason::ProtocolMismatch => Text {
            title: "Nix protocol mismatch",
            explanation: "Nix answers on {host}, but in a version or a dialect of its protocol that this machine's Nix does not speak.",
            remedy: "Compare `nix --version` here with `ssh {login} nix --version`, and update the older one. \
                     A forced command on the desktop must be `{command|nix-daemon --stdio}`, which {uri} asks for (NixOS: \
                     `nix.sshServe.protocol = \"{protocol|ssh-ng}\";`, and for ssh `nix.sshServe.write = true;`).",
        },
        Reason::NotTrusted => Text {
            title: "user not trusted",
            explanation: "The nix-daemon on {host} does not trust {user|the user}, so it takes from this machine only what somebody it \
                          trusts has signed, and refuses builds that need anything else.",
            remedy: "On the desktop add the line `extra-trusted-users = {user|nix-builder}` to /etc/nix/nix.conf and run \
                     `sudo systemctl restart nix-daemon`; on NixOS set `nix.settings.trusted-users = [ \"{user|nix-builder}\" ];` instead (for the user \
                     nix-ssh: `nix.sshServe.trusted = true;`). Whom Nix trusts can become root there: give the key to nobody else.",
        },
        Reason::SystemMissing => Text {
            title: "system not built for",
            explanation: "Nix would send builds for {missing|a system} to {host}, which builds for {offered|others} only.",
            remedy: "Take {missing|it} out of this machine's entry for the builder (NixOS: `systems` in nix.buildMachines; elsewhere the \
                     second field in /etc/nix/machines). Or let the desktop build it: on NixOS \
                     `boot.binfmt.emulatedSystems`, elsewhere `extra-platforms = {missing_spaced|SYSTEM}` in its nix.conf. With \
                     `max-jobs = 0` there it builds nothing at all: set it to `auto`. `sudo systemctl restart nix-daemon` brings its \
                     nix.conf into force.",
        },
        Reason::FeatureMissing => Text {
            title: "feature missing",
            explanation: "Nix would send builds that need {missing|a feature} to {host}, whose Nix offers {offered|none}.",
            remedy: "Add the line `extra-system-features = {missing_spaced|FEATURE}` to the desktop's /etc/nix/nix.conf and run \
                     `sudo systemctl restart nix-daemon` there (NixOS: `nix.settings.extra-system-features`). Or take {missing|it} out of this machine's entry \
                     for the builder (NixOS: `supportedFeatures` and `mandatoryFeatures` in nix.buildMachines; elsewhere the \
                     sixth and seventh fields in /etc/nix/machines).",
        },
        Reason::NarinfoInvalid => Text {
            title: "narinfo unreadable",
            explanation: "The cache at {address} answered for {sample|a store path} with something that Nix can't read as a narinfo.",
            remedy: "See it with `curl {uri}/{narinfo|HASH.narinfo}`: it must begin with lines such as `StorePath: /nix/store/…`. \
                     Update or restart the cache's server on the desktop.",
        },
        Reason::NarMissing => Text {
            title: "file missing behind a narinfo",
            explanation: "The cache at {address} says that it has {sample|a store path}, and its file can't be had: {detail|it is not there}. \
                          Nix believes it, fails to fetch the file, and builds instead or gives up.",
            remedy: "See it with `curl -I {uri}/{nar|nar/…}`. A cache of files has lost some: on the desktop copy the path there again \
                     (`nix copy --to file://…`), or remove {narinfo|the narinfo}. A server that packs its own store (harmonia, nix-serve) \
                     may not read it: its log says why, and `nix-store --verify --check-contents` what is broken.",
        },
        Reason::NixDeclines => Text {
            title: "Nix itself can't use the cache",
            explanation: "The cache at {address} answers offloadd, and serves what Nix would take; but this machine's nix-daemon, asked for a \
                          path of it, says: {error|that it can't}. Nix fetches nothing from there.",
            remedy: "See what Nix sees: `sudo nix store ping --store {uri}` (newer Nix: `nix store info --refresh`), and \
                     `systemctl cat nix-daemon` and `systemctl show nix-daemon -p Environment` for what its unit sets otherwise: a proxy, \
                     authorities, limits of its network. Where nix.conf has changed since: `sudo systemctl restart nix-daemon`.",
        },
        Reason::Unsigned => Text {
            title: "not signed",
            explanation: "The cache has {sample|this machine's paths}, but without a signature: Nix ignores what it serves and builds instead.",
            remedy: "Let the desktop sign. There: `sudo nix-store --generate-binary-cache-key {name}-1 /var/lib/cache.secret /var/lib/cache.pub`, \
                     then give /var/lib/cache.secret to the server (NixOS: `services.harmonia.cache.signKeyPaths`, \
                     in older releases `services.harmonia.signKeyPaths`, or `services.nix-serve.secretKeyFile`). Here: add the line \
                     `extra-trusted-public-keys = ` with what is in cache.pub to /etc/nix/nix.conf, then `sudo systemctl restart nix-daemon` \
                     (NixOS: `nix.settings.trusted-public-keys`).",
        },
        Reason::UntrustedSignature => Text {
            title: "signature not trusted",
            explanation: "The cache signs with {signed_by|a key}, which this machine's Nix does not accept: it ignores what is served and builds instead.",
            remedy: "Get the public key on the desktop, \
                     `sudo cat SECRET-KEY-FILE | nix --extra-experimental-features nix-command key convert-secret-to-public`, which must begin \
                     with `{signed_by|NAME}:`. Add it here: the line `extra-trusted-public-keys = {signed_by|NAME}:…` in \
                     /etc/nix/nix.conf, then `sudo systemctl restart nix-daemon`; on NixOS `nix.settings.trusted-public-keys = [ \"{signed_by|NAME}:…\" ];`. \
                     A key of that name which is there already is an old one: replace it.",
        },
        Reason::StoreFull => Text {
            title: "the desktop's store is full",
            explanation: "Nix on {host} has no room left to build in: {detail|nothing is free in its store}.",
            remedy: "On the desktop: `df -h /nix/store` and `df -i /nix/store` show what is full, `sudo nix-collect-garbage -d` makes room \
                     (NixOS: `nix.gc.automatic = true;`, or `nix.settings.min-free` for a store that makes room by itself).",
        },
        Reason::BuildFailed => Text {
            title: "test build failed",
            explanation: "Nix handed a trivial build to {host}, and got no result.",
            remedy: "The log says how far it came: `offloadctl test-build {name}` shows it, and `journalctl -u nix-daemon -n 50` on \
                     both machines has the rest. Often the desktop's disk is full (`df -h /nix /tmp` there), or its sandbox does not work.",
        },
        Reason::BuiltLocally => Text {
            title: "built on this machine",
            explanation: "A test build that was meant for {host} ran on this machine.",
            remedy: "See whether that address leads back here: `ssh {login} hostname` must print another name than \
                     `hostname`. If it does, read the log: `offloadctl test-build {name}`.",
        },
        Reason::BuiltElsewhere => Text {
            title: "built on another builder",
            explanation: "A test build that was meant for {host} ran on {test_build_place|another builder}.",
            remedy: "Either the builder hands on what it gets (`builders` in the desktop's nix.conf; NixOS: `nix.buildMachines` \
                     there), or this machine's nix-daemon does not let root choose: `trusted-users` in /etc/nix/nix.conf must name \
                     root (NixOS: `nix.settings.trusted-users`), or, where offload-helper is not running, the user that \
                     offloadd runs as.",
        },
        Reason::BuilderFull => Text {
            title: "no free slot",
            explanation: "All slots that this machine's Nix has for {host} are in use by builds, so the test build could not begin.",
            remedy: "Try again when one of them is done. If the desktop could do more at once, raise the number of jobs in this \
                     machine's entry for the builder (NixOS: `maxJobs` in nix.buildMachines; elsewhere the fourth field in /etc/nix/machines).",
        },
        Reason::Paused => Text {
            title: "checks paused",
            explanation: "Somebody paused the checks; nothing is known of the desktop meanwhile.",
            remedy: "`offloadctl resume` starts them again.",
        },
        Reason::NixConfBroken => warnings::english(WarningCode::NixConfBroken),
        Reason::StoreElsewhere => warnings::english(WarningCode::StoreElsewhere),
        Reason::ForeignBuildHook => warnings::english(WarningCode::ForeignBuildHook),
        Reason::DaemonConfigStale => warnings::english(WarningCode::DaemonConfigStale),
        Reason::DaemonConfigUnknown => warnings::english(WarningCode::DaemonConfigUnknown),
        Reason::MachinesFileBroken => warnings::english(WarningCode::MachinesFileBroken),
        Reason::SubstitutionOff => warnings::english(WarningCode::SubstitutionOff),
        Reason::BuildersDisabled => warnings::english(WarningCode::BuildersDisabled),
        Reason::SshMissing => warnings::english(WarningCode::SshMissing),
        Reason::AddressMoved => warnings::english(WarningCode::AddressMoved),
        Reason::NotInNixConf => warnings::english(WarningCode::NotInNixConf),
        Reason::NixVersion => warnings::english(WarningCode::NixVersion),
        Reason::BuilderWithoutSlots => warnings::english(WarningCode::BuilderWithoutSlots),
        Reason::HostKeyNotKnown => warnings::english(WarningCode::HostKeyNotKnown),
    }
}

#[cfg(test)]
mod tests;
