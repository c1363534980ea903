//! The words for differences between what is declared, deployed, loaded and observed.

use crate::{
    WarningCode,
    reasons::Text,
    snapshot::{Detail, Warning},
};

/// The words for `warning`, where what they are depends on more than its code: on which of two
/// addresses is wrong, and on what it is that Nix lacks.
pub(crate) fn text_for(warning: &Warning) -> Option<Text> {
    let particular = |key: &str| match warning.details.get(key) {
        Some(Detail::Text(text)) => text.as_str(),
        _ => "",
    };
    match (warning.code, particular("wrong"), particular("kind")) {
        (WarningCode::AddressMismatch, "declared", _) => Some(DECLARED_IS_WRONG),
        (WarningCode::AddressMoved, "deployed", _) => Some(DEPLOYED_IS_WRONG),
        (WarningCode::AddressMoved, "both", _) => Some(BOTH_ARE_WRONG),
        (WarningCode::NotInNixConf, _, "builder") => Some(BUILDER_MISSING),
        (WarningCode::BuildersDisabled, ..) if warning.details.contains_key("machines") => {
            Some(MACHINES_UNUSED)
        }
        (WarningCode::NotWatchable, ..) if warning.details.contains_key("refused") => Some(REFUSED),
        _ => None,
    }
}

const REFUSED: Text = Text {
    title: "not a store of Nix's",
    explanation: "Nix is configured to use {uri|something}, and can't go there itself.",
    remedy: "Write it as Nix reads it: `ssh-ng://USER@HOST`, `ssh://USER@HOST` or `http://HOST:PORT`, where it is set \
             ({file|/etc/nix/nix.conf}; on NixOS `nix.buildMachines` or `nix.settings.substituters`).",
};

const DECLARED_IS_WRONG: Text = Text {
    title: "the configuration has a wrong address",
    explanation: "The configuration says {expected} ({declared_at|offloadd's configuration}), Nix uses {actual} \
                  ({deployed_at|its own files}), and the desktop really is at {observed}. Nix has it right, until the \
                  next rebuild brings the wrong address.",
    remedy: "Correct {expected} to {actual} in the .nix files (`grep -rn {expected_host|ADDRESS} /etc/nixos` finds it; \
             `offloadctl doctor` shows the patch), then `sudo nixos-rebuild switch`. Without NixOS correct \
             {declared_at|/etc/offloadd/config.toml}.",
};

const DEPLOYED_IS_WRONG: Text = Text {
    title: "Nix has an old address",
    explanation: "The desktop is at {actual}, as the configuration says ({declared_at|offloadd's configuration}), and Nix \
                  still uses {expected} ({deployed_at|its own files}): its builds do not get there.",
    remedy: "Bring the configuration into force: `sudo nixos-rebuild switch`. Without NixOS change {expected} to \
             {actual} in {deployed_at|/etc/nix}, then `sudo systemctl restart nix-daemon`.",
};

const BOTH_ARE_WRONG: Text = Text {
    title: "the desktop is at a third address",
    explanation: "The configuration says {declared} ({declared_at|offloadd's configuration}), Nix uses {expected} \
                  ({deployed_at|its own files}), and the desktop is at {actual}: Nix's builds do not get there.",
    remedy: "Correct {declared} to {actual} in the .nix files (`grep -rn {declared_host|ADDRESS} /etc/nixos` finds it; \
             `offloadctl doctor` shows the patch), then `sudo nixos-rebuild switch`. Without NixOS change {expected} in \
             {deployed_at|/etc/nix}, then `sudo systemctl restart nix-daemon`.",
};

const BUILDER_MISSING: Text = Text {
    title: "Nix does not know the builder",
    explanation: "offloadd's configuration names {uri|a builder} ({declared_at|its own file}), and Nix has no such builder: \
                  nothing is built there.",
    remedy: "Add the line `{add|ssh-ng://USER@HOST}` to /etc/nix/machines. On NixOS add it to `nix.buildMachines`, with \
             `nix.distributedBuilds = true`, then `sudo nixos-rebuild switch`.",
};

const MACHINES_UNUSED: Text = Text {
    title: "builders are switched off",
    explanation: "`builders` is empty in {file|nix.conf}, so that Nix does not read {machines} and uses none of \
                  {expected|the builders there}.",
    remedy: "NixOS: `nix.distributedBuilds = true;`, then `sudo nixos-rebuild switch`. Elsewhere take the line `builders =` \
             out of {file|/etc/nix/nix.conf} (line {line|LINE}) and run `sudo systemctl restart nix-daemon`.",
};

/// The words for `code` alone.
pub(crate) const fn english(code: WarningCode) -> Text {
    match code {
        WarningCode::AddressMismatch => Text {
            title: "two addresses for one desktop",
            explanation: "The configuration says {expected} ({declared_at|offloadd's configuration}), and Nix uses {actual} \
                          ({deployed_at|its own files}). Which of them is right is not known: the desktop is seen \
                          at neither now.",
            remedy: "Switch the desktop on, or read its address there: `ip -brief address`. If {expected} is right: \
                     `sudo nixos-rebuild switch`. If {actual} is right, correct {expected} in the .nix files.",
        },
        WarningCode::AddressMoved => Text {
            title: "the desktop has moved",
            explanation: "Nix is configured with {expected} ({deployed_at|its own files}), and the desktop is at {actual} now: \
                          Nix's builds do not get there.",
            remedy: "Change {expected} to {actual} in the .nix files (`grep -rn {expected_host|ADDRESS} /etc/nixos`), then \
                     `sudo nixos-rebuild switch`. Without NixOS change {deployed_at|/etc/nix}. A fixed lease in the router, \
                     or a name in place of the address, keeps it from happening again.",
        },
        WarningCode::NotInNixConf => Text {
            title: "Nix does not use the cache",
            explanation: "offloadd's configuration names {uri|a cache} ({declared_at|its own file}), and Nix has no such \
                          substituter: nothing is fetched from there.",
            remedy: "Add the lines `extra-substituters = {add|URL}` and `extra-trusted-public-keys = {keys|NAME:…}` to \
                     /etc/nix/nix.conf and run `sudo systemctl restart nix-daemon`. NixOS: `nix.settings.substituters` and \
                     `nix.settings.trusted-public-keys`, then `sudo nixos-rebuild switch`.",
        },
        WarningCode::BuildersDisabled => Text {
            title: "Nix is told to use no builders",
            explanation: "`builders` is empty in {file|nix.conf}, so that Nix uses none of {expected|those in the configuration}.",
            remedy: "NixOS: `nix.distributedBuilds = true;`, with the builder in `nix.buildMachines`, then \
                     `sudo nixos-rebuild switch`. Elsewhere take the line `builders =` out of {file|/etc/nix/nix.conf} \
                     (line {line|LINE}), name the builder in /etc/nix/machines and run `sudo systemctl restart nix-daemon`.",
        },
        WarningCode::DaemonConfigStale => Text {
            title: "nix-daemon has an old configuration",
            explanation: "{file|nix.conf} was changed after nix-daemon had started, and it reads it at its start only: what \
                          stands there now is not in force.",
            remedy: "`sudo systemctl restart nix-daemon`. Builds that run go on.",
        },
        WarningCode::DaemonConfigUnknown => Text {
            title: "what nix-daemon has read is not known",
            explanation: "{file|nix.conf} was changed after nix-daemon had started, and before offloadd had: nix-daemon goes by what \
                          stood there before, which is not known here.",
            remedy: "`sudo systemctl restart nix-daemon`. Builds that run go on.",
        },
        WarningCode::SshConfigMismatch => Text {
            title: "ssh_config leads elsewhere",
            explanation: "The builder is configured at {expected}, and ssh_config sends Nix's ssh to {actual}.",
            remedy: "See `sudo ssh -G {expected_host|HOST}`. Correct `HostName` in /etc/ssh/ssh_config or \
                     /root/.ssh/config (NixOS: `programs.ssh.extraConfig`), or the address in the configuration if \
                     {actual} is right.",
        },
        WarningCode::HostKeyNotKnown => Text {
            title: "Nix does not know the host key",
            explanation: "The builder proved the host key of offloadd's configuration, {expected|FINGERPRINT}, but Nix's ssh knows \
                          none of it and would refuse to connect.",
            remedy: "Add the line `{known_hosts|HOST ssh-ed25519 AAAA…}` to /etc/ssh/ssh_known_hosts (NixOS: \
                     `programs.ssh.knownHosts`), or set `publicHostKey = \"{public_host_key|BASE64}\";` in \
                     `nix.buildMachines` (the eighth field of /etc/nix/machines).",
        },
        WarningCode::HostKeyMismatch => Text {
            title: "another machine at the builder's address",
            explanation: "At {address} another machine answers than the builder ({reason}): it showed {actual|no host key of its own} \
                          in place of {expected|the builder's}. Nothing was sent to it; the builder itself answers at \
                          {observed|another address}.",
            remedy: "Take {address} out of the builder's addresses, or find out whose it is: `ssh-keyscan -t ed25519 HOST`. \
                     If you did not put a machine there, somebody may be posing as your desktop.",
        },
        WarningCode::OtherCache => Text {
            title: "something else at the cache's address",
            explanation: "What answers at {address} is not the cache ({reason}): it showed {actual|no signature of its own} in \
                          place of {expected|the cache's key}. It is not used; the cache itself answers at \
                          {observed|another address}.",
            remedy: "Take {address} out of the cache's addresses, or see what it is: `curl -i http://{address}/nix-cache-info`.",
        },
        WarningCode::NegativeCacheStale => Text {
            title: "Nix remembers misses that are none",
            explanation: "{actual|Some} of the paths that Nix remembers as missing from {uri|the cache} are there. For up to an \
                          hour after a miss Nix does not ask again, and builds them itself.",
            remedy: "`offloadctl forget-misses {name}` has Nix ask again. Or wait an hour, or run the build once with \
                     `--option narinfo-cache-negative-ttl 0`.",
        },
        WarningCode::PositiveCacheStale => Text {
            title: "Nix remembers paths that are gone",
            explanation: "{actual|Some} of the paths that Nix remembers as being in {uri|the cache}, and that are not on this \
                          machine, can't be fetched from there any more. For up to 30 days Nix does not ask again: it tries \
                          them in vain and builds them itself, and what it has no derivation of fails.",
            remedy: "Build once with `--option narinfo-cache-positive-ttl 0`, which has Nix ask again. What the desktop is to keep \
                     needs a root there that its garbage collector honours: `nix build --out-link LINK`.",
        },
        WarningCode::FallbackOff => Text {
            title: "a cache that fails, fails the build",
            explanation: "`fallback` is off. Where {uri|the desktop's cache} goes away in the middle of a download, Nix gives up \
                          the build in place of building itself.",
            remedy: "Add the lines `fallback = true` and `connect-timeout = 5` to /etc/nix/nix.conf and run \
                     `sudo systemctl restart nix-daemon`. NixOS: `nix.settings.fallback = true;` and \
                     `nix.settings.connect-timeout = 5;`.",
        },
        WarningCode::LanCacheLast => Text {
            title: "without the desktop's cache no build works",
            explanation: "{uri|The desktop's cache} is the last that Nix asks, and `fallback` is off: while the desktop is away, \
                          what is in no other cache fails in place of being built here.",
            remedy: "Add the line `fallback = true` to /etc/nix/nix.conf and run `sudo systemctl restart nix-daemon` (NixOS: \
                     `nix.settings.fallback = true;`). To have it asked before cache.nixos.org, which has priority 40, put \
                     `?priority=30` behind its URL.",
        },
        WarningCode::NotSteered => Text {
            title: "Nix does not follow the desktop",
            explanation: "Steering is on, and Nix goes to {uri|the desktop} by itself: it waits where that is away, and does not \
                          find it where it moves. It should go by {expected|offloadd}.",
            remedy: "`offloadctl steer --print` writes what ssh_config and nix.conf need; NixOS: \
                     `services.offloadd.steer.enable = true;`.",
        },
        // Those have their words in `warnings`.
        WarningCode::Unknown
        | WarningCode::NixConfBroken
        | WarningCode::MachinesFileBroken
        | WarningCode::NotVisible
        | WarningCode::NixVersion
        | WarningCode::BuilderWithoutSlots
        | WarningCode::TwoHostKeys
        | WarningCode::NotWatchable
        | WarningCode::TooManyBuilders
        | WarningCode::SshOptionIgnored
        | WarningCode::HostKeyDiffers
        | WarningCode::KeyNotTrusted
        | WarningCode::SubstitutionOff
        | WarningCode::SshMissing
        | WarningCode::StoreNearlyFull
        | WarningCode::OnlyMandatory
        | WarningCode::StoreElsewhere
        | WarningCode::ForeignBuildHook
        | WarningCode::ConfigRejected => crate::warnings::english(code),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;
    use crate::warnings::{explanation_for, remedy_for, title_for};

    fn warning(code: WarningCode, details: &[(&str, &str)]) -> Warning {
        let details = details.iter();
        Warning {
            code,
            target: None,
            details: details
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
        }
    }

    fn mismatch(wrong: &str, observed: &str) -> Warning {
        warning(
            WarningCode::AddressMismatch,
            &[
                ("expected", "127.0.15.7:5000"),
                ("actual", "127.0.15.6:5000"),
                ("observed", observed),
                ("wrong", wrong),
                ("declared_at", "/etc/offloadd/config.toml:3"),
                ("deployed_at", "/etc/nix/nix.conf:12"),
            ],
        )
    }

    fn moved(wrong: &str, declared: &str) -> Warning {
        warning(
            WarningCode::AddressMoved,
            &[
                ("expected", "127.0.15.6:5000"),
                ("actual", "127.0.15.9:5000"),
                ("wrong", wrong),
                ("declared", declared),
                ("deployed_at", "/etc/nix/nix.conf:12"),
            ],
        )
    }

    #[test]
    fn the_remedy_of_two_addresses_depends_on_which_is_wrong() {
        let declared = mismatch("declared", "127.0.15.6:5000");
        let told = remedy_for(&declared);
        let right = "Correct 127.0.15.7:5000 to 127.0.15.6:5000 in the .nix files \
                     (`grep -rn 127.0.15.7 /etc/nixos`";
        assert!(told.starts_with(right), "{told}");
        let told = explanation_for(&declared);
        assert!(told.contains("really is at 127.0.15.6:5000"), "{told}");
        assert!(told.contains("(/etc/nix/nix.conf:12)"), "{told}");

        let deployed = moved("deployed", "127.0.15.9:5000");
        let told = remedy_for(&deployed);
        assert!(told.contains("`sudo nixos-rebuild switch`"), "{told}");
        assert!(told.contains("/etc/nix/nix.conf:12"), "{told}");
        assert!(!told.contains("Correct"), "{told}");

        let told = remedy_for(&moved("both", "127.0.15.7:5000"));
        let right = "Correct 127.0.15.7:5000 to 127.0.15.9:5000 in the .nix files \
                     (`grep -rn 127.0.15.7 /etc/nixos`";
        assert!(told.starts_with(right), "{told}");

        let told = explanation_for(&mismatch("", ""));
        assert!(told.contains("is not known"), "{told}");
    }

    #[test]
    fn what_is_to_be_added_is_told_as_it_is_written() {
        let line = "ssh-ng://nix@192.0.2.6 x86_64-linux - 4 1 - - -";
        let builder = warning(
            WarningCode::NotInNixConf,
            &[("kind", "builder"), ("add", line)],
        );
        let told = remedy_for(&builder);
        let add = format!("Add the line `{line}` to /etc/nix/machines.");
        assert!(told.starts_with(&add), "{told}");
        let cache = warning(
            WarningCode::NotInNixConf,
            &[("kind", "cache"), ("add", "http://192.0.2.6:5000")],
        );
        let told = remedy_for(&cache);
        assert!(
            told.contains("`extra-substituters = http://192.0.2.6:5000`"),
            "{told}"
        );
    }

    #[test]
    fn variants_have_titles_of_their_own() {
        let machines = warning(WarningCode::BuildersDisabled, &[("machines", "/m")]);
        let builder = warning(WarningCode::NotInNixConf, &[("kind", "builder")]);
        let variants = [
            mismatch("declared", ""),
            moved("deployed", ""),
            moved("both", ""),
            machines,
            builder,
        ];
        let variants = variants.iter().map(title_for);
        let plain = WarningCode::ALL.iter();
        let plain = plain.map(|code| crate::warnings::text(*code).title);
        let titles: Vec<_> = variants.chain(plain).collect();
        let unique: HashSet<_> = titles.iter().collect();
        assert_eq!(unique.len(), titles.len(), "{titles:?}");
    }

    #[test]
    fn no_particular_is_needed_to_read_a_warning() {
        for code in WarningCode::ALL {
            let bare = Warning {
                code: *code,
                target: None,
                details: BTreeMap::new(),
            };
            let told = format!("{} {}", explanation_for(&bare), remedy_for(&bare));
            assert!(!told.contains('{') && !told.contains('}'), "{told}");
        }
    }
}
