//! What each warning means and how to mend it: people's words, kept off the bus.

use crate::{WarningCode, language::tr, reasons::Text, snapshot::Warning, template};

/// The headline of a warning: that of its code, or one that its particulars make more exact.
pub fn title_for(warning: &Warning) -> &'static str {
    tr(text_for(warning).title)
}

/// The explanation of a warning, filled with its particulars.
pub fn explanation_for(warning: &Warning) -> String {
    filled(tr(text_for(warning).explanation), warning)
}

/// The remedy for a warning, filled with its particulars.
pub fn remedy_for(warning: &Warning) -> String {
    filled(tr(text_for(warning).remedy), warning)
}

/// The words for `warning`, by its code and by what else is known of it.
fn text_for(warning: &Warning) -> Text {
    crate::warnings_drift::text_for(warning).unwrap_or(english(warning.code))
}

/// The words for `code`; explanation and remedy are templates over the warning's details.
pub fn text(code: WarningCode) -> Text {
    english(code).translated()
}

/// The words for `code`, as the catalogues know them.
pub(crate) const fn english(code: WarningCode) -> Text {
    match code {
        WarningCode::Unknown => Text {
            title: "a warning of a newer daemon",
            explanation: "The daemon warns of something that this program has no words for.",
            remedy: "Update offloadctl to the daemon's version; `offloadctl status --json` shows the warning as it is.",
        },
        WarningCode::NixConfBroken => Text {
            title: "nix.conf is broken",
            explanation: "Nix itself would refuse {file|its configuration}, or it can't be read.",
            remedy: "`nix config show` names the fault. On NixOS change `nix.settings` or `nix.extraOptions`; \
                     /etc/nix/nix.conf is generated from them. A file that is not there is named by `conf` below `[nix]` in \
                     /etc/offloadd/config.toml.",
        },
        WarningCode::MachinesFileBroken => Text {
            title: "the list of builders is broken",
            explanation: "One bad line in {file|the list of builders} makes Nix drop the whole list: \
                          no build goes to a builder.",
            remedy: "Correct line {line|LINE} of {file|/etc/nix/machines}: URI, systems, key, jobs, speed, features, \
                     mandatory features, host key, with `-` for what is left out. On NixOS it comes from \
                     `nix.buildMachines`.",
        },
        WarningCode::NotVisible => Text {
            title: "not judged: a file that may not be read",
            explanation: "{file|A file} may be read by root alone, as whom Nix reads it ({error|permission denied}). What \
                          stands there is in force, and not known here.",
            remedy: "Run `sudo offloadd --once`. The service reads it through offload-helper: `systemctl status \
                     offload-helper.socket` says whether it is there, `journalctl -u offload-helper` what it refuses and why.",
        },
        WarningCode::NixVersion => Text {
            title: "this Nix reads it otherwise",
            explanation: "Nix {version|of this machine} does not take what {file|its configuration} says of {uri|a builder}: \
                          {error|it is of a newer version}.",
            remedy: "{fix|Write it as this version reads it, or update Nix on this machine}.",
        },
        WarningCode::BuilderWithoutSlots => Text {
            title: "a builder without slots",
            explanation: "{file|The list of builders} gives {uri|a builder} 0 jobs at once: Nix never sends it a build, and \
                          waits without an end for what no other builds.",
            remedy: "Set the fourth field of line {line|LINE} in {file|/etc/nix/machines} to how many builds it may have at \
                     once (NixOS: `maxJobs` in `nix.buildMachines`), or take the line out.",
        },
        WarningCode::NotWatchable => Text {
            title: "not watched",
            explanation: "Nix is configured to use {uri|something} that offloadd can't watch.",
            remedy: "Nothing is wrong with it for that. `nix.exclude` in /etc/offloadd/config.toml hides it here.",
        },
        WarningCode::TooManyBuilders => Text {
            title: "more builders than are watched",
            explanation: "Nix is configured with more builders than offloadd watches: {left_out|some} are left out, from {uri|one} \
                          at line {line|?} of {file|the list of builders} on. Nix uses them all the same.",
            remedy: "Nothing is wrong with them for that. Put those that matter first in {file|the list of builders}: the \
                     first 1024 are watched.",
        },
        WarningCode::SshOptionIgnored => Text {
            title: "an SSH option is not honoured",
            explanation: "ssh_config asks for {option|an option} that offloadd does not do: Nix may connect in another way.",
            remedy: "See `ssh -G HOST`. Take the option out of the builder's entry in ssh_config, or trust \
                     `nix store info --store ssh-ng://HOST` more than this verdict.",
        },
        WarningCode::HostKeyDiffers => Text {
            title: "two host keys for one builder",
            explanation: "Nix is configured with the host key {expected|of its own} for {uri|a builder}, and offloadd with \
                          {actual|another}. Checks hold the builder to Nix's, as Nix does.",
            remedy: "Read the key on the desktop: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`. Correct the one that \
                     differs: `publicHostKey` in nix.buildMachines (the eighth field of /etc/nix/machines), or \
                     `host_key` in /etc/offloadd/config.toml, which may as well be left out.",
        },
        WarningCode::TwoHostKeys => Text {
            title: "two lines, two host keys",
            explanation: "Nix's list of builders names {uri|a builder} more than once, with the host key {expected|of one line} \
                          and with {actual|another}: by one of the lines Nix refuses it.",
            remedy: "Read the key on the desktop: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, and write the same \
                     `publicHostKey` into each of its entries in nix.buildMachines (the eighth field of \
                     /etc/nix/machines).",
        },
        WarningCode::KeyNotTrusted => Text {
            title: "a signing key that Nix does not trust",
            explanation: "offloadd's configuration names {actual|a key} for {uri|a cache}, and Nix does not trust it: what is \
                          signed with it alone, Nix ignores.",
            remedy: "Add the line `extra-trusted-public-keys = {actual_spaced|NAME:…}` to /etc/nix/nix.conf and run \
                     `sudo systemctl restart nix-daemon` (NixOS: `nix.settings.trusted-public-keys`). If the key is an old \
                     one, take it out of `public_keys` in /etc/offloadd/config.toml.",
        },
        WarningCode::AddressMismatch
        | WarningCode::AddressMoved
        | WarningCode::NotInNixConf
        | WarningCode::BuildersDisabled
        | WarningCode::DaemonConfigStale
        | WarningCode::DaemonConfigUnknown
        | WarningCode::SshConfigMismatch
        | WarningCode::HostKeyNotKnown
        | WarningCode::HostKeyMismatch
        | WarningCode::OtherCache
        | WarningCode::NegativeCacheStale
        | WarningCode::PositiveCacheStale
        | WarningCode::FallbackOff
        | WarningCode::LanCacheLast
        | WarningCode::NotSteered => crate::warnings_drift::english(code),
        WarningCode::SubstitutionOff => Text {
            title: "Nix is told to use no caches",
            explanation: "`substitute = false` stands in nix.conf, so that Nix uses none of {expected|the caches in the \
                          configuration}.",
            remedy: "Take the line out of /etc/nix/nix.conf (NixOS: `nix.settings.substitute`) and run \
                     `sudo systemctl restart nix-daemon`. If it is meant so, take the caches out as well.",
        },
        WarningCode::StoreElsewhere => Text {
            title: "Nix works in another machine's store",
            explanation: "`store = {actual|URL}` stands in {file|nix.conf}: Nix builds and fetches everything there, by that machine's \
                          configuration, and uses none of the builders and caches of this one's.",
            remedy: "Take line {line|LINE} out of {file|/etc/nix/nix.conf} (NixOS: `nix.settings.store`) and run \
                     `sudo systemctl restart nix-daemon`. If it is meant so, take the builders and caches out as well.",
        },
        WarningCode::StoreNearlyFull => Text {
            title: "the desktop's store is nearly full",
            explanation: "Builds go to {uri|the builder}, and its store has only {actual|little room} free: a larger one fails there.",
            remedy: "On the desktop: `sudo nix-collect-garbage -d` makes room (NixOS: `nix.gc.automatic = true;`, or \
                     `nix.settings.min-free` for a store that makes room by itself).",
        },
        WarningCode::OnlyMandatory => Text {
            title: "ordinary builds stay here",
            explanation: "{uri|The builder} takes only builds that ask for {actual|its mandatory features}, and no other builder takes \
                          the rest: what asks for no feature is built on this machine.",
            remedy: "If that is not meant so, move them from the seventh field of /etc/nix/machines to the sixth (NixOS: from \
                     `mandatoryFeatures` to `supportedFeatures` in `nix.buildMachines`).",
        },
        WarningCode::ForeignBuildHook => Text {
            title: "another program says where builds go",
            explanation: "`build-hook = {actual|PROGRAM}` stands in {file|nix.conf}: what it does with the list of builders only it \
                          knows. Builds go there once a test build has shown it.",
            remedy: "`offloadctl test-build` shows whether a build goes there. If it is not meant so, take line {line|LINE} out of \
                     {file|/etc/nix/nix.conf} (NixOS: `nix.settings.build-hook`) and run `sudo systemctl restart nix-daemon`.",
        },
        WarningCode::SshMissing => Text {
            title: "Nix finds no ssh",
            explanation: "Nix calls `ssh` for its builders, and there is none on its PATH ({actual|which it has from its unit}).",
            remedy: "Install it: `sudo apt install openssh-client` on Debian. Where it is installed, the PATH of nix-daemon leads past \
                     it: `systemctl show nix-daemon -p Environment` shows what sets it (NixOS: \
                     `systemd.services.nix-daemon.path`). Then `sudo systemctl restart nix-daemon`.",
        },
        WarningCode::ConfigRejected => Text {
            title: "new configuration rejected",
            explanation: "offloadd's configuration was changed but has an error; the old one is still in force.",
            remedy: "`offloadd --check-config` names the file and the key; it is taken up when they are right.",
        },
    }
}

fn filled(words: &str, warning: &Warning) -> String {
    template::fill(words, |key| match key.strip_suffix("_host") {
        // The same address without its port, as it stands in a configuration.
        Some(address) if !warning.details.contains_key(key) => {
            template::detail(&warning.details, address).map(|address| without_port(&address))
        }
        _ => template::detail_or_spaced(&warning.details, key),
    })
}

/// The host of `host:port` or `[v6]:port`.
fn without_port(address: &str) -> String {
    let host = match address.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, _)) => host,
        None => match address.rsplit_once(':') {
            Some((host, _)) if !host.contains(':') => host,
            _ => address,
        },
    };
    host.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::snapshot::Detail;

    #[test]
    fn every_warning_has_its_words() {
        for code in WarningCode::ALL {
            let words = text(*code);
            assert!(!words.title.is_empty(), "{code}");
            assert!(words.explanation.ends_with('.'), "{code}");
            assert!(words.remedy.ends_with('.'), "{code}");
        }
    }

    #[test]
    fn no_two_warnings_share_a_title() {
        let titles: HashSet<_> = WarningCode::ALL.iter().map(|c| text(*c).title).collect();
        assert_eq!(titles.len(), WarningCode::ALL.len());
    }

    #[test]
    fn several_keys_are_told_as_nix_conf_has_them() {
        let keys = Detail::List(vec!["a-1:x".into(), "b-1:y".into()]);
        let warning = Warning {
            code: WarningCode::KeyNotTrusted,
            details: [("actual".into(), keys)].into(),
            ..Warning::default()
        };
        let told = remedy_for(&warning);
        let line = "`extra-trusted-public-keys = a-1:x b-1:y`";
        assert!(told.contains(line), "{told}");
    }

    #[test]
    fn a_remedy_names_file_and_line() {
        let warning = Warning {
            code: WarningCode::MachinesFileBroken,
            details: [
                ("file".into(), "/etc/nix/machines".into()),
                ("line".into(), 3.into()),
            ]
            .into(),
            ..Warning::default()
        };
        assert!(remedy_for(&warning).contains("line 3 of /etc/nix/machines"));
    }
}
