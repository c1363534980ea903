//! What a reason means more precisely at the stage it was seen, or of a target that is away.

use super::{Text, english, login, proxy};
use crate::{Kind, Reason, Stage, TargetState, snapshot::Target, template};

/// Whether a test build ended before the builder had a part in it: what a builder's Nix says comes behind
/// `cannot build on`.
fn lacks_own_daemon(target: &Target) -> bool {
    let error = template::detail(&target.details, crate::test_build::ERROR).unwrap_or_default();
    error.trim_start().starts_with("cannot connect to socket")
}

/// The words for a target's reason.
pub(super) fn words(target: &Target) -> Text {
    if matches!(target.state, TargetState::Away) {
        return away(target.reason);
    }
    if let Some(words) = proxy::words(target) {
        return words;
    }
    match (target.reason, target.stage) {
        (Reason::ConnectionLost, Stage::Banner) => Text {
            explanation: "{address} accepted the connection, and closed it before a word of SSH.",
            remedy: "Read `journalctl {journal} -n 50` on the desktop: sshd turns connections away while too many \
                     wait to log in (`MaxStartups`) or after this machine failed too often \
                     (`PerSourcePenalties`), and hangs up where it can't start a process for them. Where it \
                     has nothing to say, a port forwarder or a proxy accepts in its place.",
            ..english(Reason::ConnectionLost)
        },
        (Reason::ConnectionLost, Stage::Handshake | Stage::Trust | Stage::System) => Text {
            explanation: "The login to {host} works, but the connection was cut while Nix was to answer there.",
            remedy: "Read `journalctl {journal} -t nix-daemon -n 50` on the desktop at that moment: sshd or nix-daemon was \
                     restarted, ran out of memory, or the machine was shut down.",
            ..english(Reason::ConnectionLost)
        },
        (Reason::BuildFailed, Stage::Build) if lacks_own_daemon(target) => Text {
            title: "this machine's nix-daemon is not there",
            explanation: "Nix could not begin the test build: nobody answers at this machine's own nix-daemon. Of {host} that says \
                          nothing.",
            remedy: "Start it here: `sudo systemctl start nix-daemon.socket`, and `systemctl status nix-daemon.socket` says why it \
                     does not run. Then `offloadctl test-build {name}` again.",
        },
        (Reason::TimedOut, Stage::Auth) if target.details.contains_key("auth_banner") => Text {
            title: "the builder waits for somebody",
            explanation: "{host} lets nobody in before somebody does what it shows: {auth_banner}",
            remedy: "Do what it shows. Nix can't, and a build waits for it each time: let this machine in without (Tailscale's SSH: \
                     `accept` in place of `check` as `action` in the tailnet's policy), or give the builder an sshd of its \
                     own. `sudo ssh {login} true` then comes back at once.",
        },
        (
            Reason::TimedOut,
            Stage::Banner
            | Stage::HostKey
            | Stage::Auth
            | Stage::Tls
            | Stage::Http
            | Stage::CacheInfo,
        ) => Text {
            title: "connected, and then silence",
            explanation: "{address} takes the connection, and then says nothing more: no firewall does that.",
            remedy: "The service there hangs, or the whole machine: `systemctl status {service}` on the desktop, and `sudo systemctl \
                     restart {service}` where it does. Where nobody can log in either, its memory or a disk is at its end \
                     (`dmesg | tail` on its screen).",
        },
        (Reason::TimedOut, Stage::System) => Text {
            explanation: "Nix answered on {host}, and then the connection went silent.",
            remedy: "The desktop was suspended or lost its network in that moment, or hangs: see whether \
                     `ssh {login} true` comes back.",
            ..english(Reason::TimedOut)
        },
        (Reason::TimedOut, Stage::Handshake | Stage::Trust) => Text {
            explanation: "SSH answers on {host}, but Nix there does not: `{command|nix-daemon --stdio}` said nothing in time.",
            remedy: "See on the desktop whether nix-daemon hangs, `systemctl status nix-daemon.service`, and whether the machine is \
                     out of memory or its disk does not answer (`dmesg | tail`). `sudo systemctl restart nix-daemon.service` \
                     there ends a daemon that hangs, and the builds that it runs.",
            ..english(Reason::TimedOut)
        },
        (Reason::Redirected, _) if target.details.contains_key("leads_back") => Text {
            explanation: "What answers at {address} sends on to {redirected_to|an address}, which is this very machine, or the link it is \
                          on: Nix would look for the cache here.",
            remedy: "Correct where the desktop's web server sends to (nginx: `return 301`, `server_name_in_redirect`): it must \
                     be a name or an address that other machines reach it by. See it with `curl -i {uri}/nix-cache-info`. If \
                     the cache does run on this machine, name it in place of {uri} in `substituters`.",
            ..english(Reason::Redirected)
        },
        (Reason::Redirected, Stage::Signature) => Text {
            title: "files kept at another host",
            explanation: "The cache at {address} has the files behind its narinfos at {redirected_to|another host}. Nix goes there; \
                          offloadd does not, because whoever answers could send it anywhere: whether they are there is not known.",
            remedy: "See it with `curl -I {nar|URL}`. To have it watched, let the cache serve its files itself: `URL: nar/…` in its \
                     narinfos, as `nix copy` writes them.",
        },
        (Reason::CaptivePortal, Stage::Http) => Text {
            explanation: "What answers at {address} wants something else first: it sends on to {redirected_to|a page of its own} \
                          instead of serving nix-cache-info.",
            ..english(Reason::CaptivePortal)
        },
        (Reason::HttpStatus, _) if says(target, "login", "refused") => Text {
            title: "login refused",
            explanation: "The cache at {address} refuses the login that {netrc|the netrc file} has for {host}.",
            remedy: "Correct `login` and `password` behind `machine {host}` in {netrc|/etc/nix/netrc}; nothing has to be started \
                     again. Try it: `sudo curl -i --netrc-file {netrc|/etc/nix/netrc} {uri}/nix-cache-info`.",
        },
        (Reason::HttpStatus, _) if says(target, "login", "none") => Text {
            title: "login wanted",
            explanation: "The cache at {address} wants a login, or does not let this machine in, and {netrc|the netrc file} has \
                          no login for {host}.",
            remedy: "Add the line `machine {host} login USER password PASSWORD` to {netrc|/etc/nix/netrc} (`sudo install -m 600 \
                     /dev/null {netrc|/etc/nix/netrc}` makes the file where there is none; NixOS: `nix.settings.netrc-file`). \
                     Try it: `sudo curl -i --netrc-file {netrc|/etc/nix/netrc} {uri}/nix-cache-info`. If it wants none, the \
                     web server's rules keep this machine out (nginx: `deny`).",
        },
        (Reason::TlsFailed, _) => tls(target),
        (Reason::NotVisible, _) if says(target, "login", "not-visible") => Text {
            title: "a login that only root may read",
            explanation: "The cache at {address} wants a login. Nix takes it from {netrc|its netrc file}, which offloadd may \
                          not read: whether it is the right one is not known here.",
            ..english(Reason::NotVisible)
        },
        (Reason::NotVisible, Stage::Auth) => Text {
            title: "a key that only root may use",
            explanation: "The builder {host} wants a key, and {keys_not_visible|root's keys} can't be used by offloadd: whether Nix \
                          is let in is not known here.",
            ..english(Reason::NotVisible)
        },
        (Reason::SshConfigPrevents, Stage::Resolve)
            if !target.details.contains_key("ssh_config_option") =>
        {
            Text {
                explanation: "ssh itself refuses what it is configured with for {host}, and with it every connection there.",
                remedy: "`sudo ssh -G {host} > /dev/null` names the file and the line (for what stands in `NIX_SSHOPTS` of nix-daemon: \
                     `systemctl show -p Environment nix-daemon`); correct it, until that prints nothing. On NixOS it comes from \
                     `programs.ssh`.",
                ..english(Reason::SshConfigPrevents)
            }
        }
        (Reason::NotTrusted, _) if target.details.contains_key("read_only") => Text {
            title: "only to be read from",
            explanation: "The login to {host} may read its store, and may not build: its `nix-store --serve` is called without `--write`.",
            remedy: "Write `nix-store --serve --write` in place of `nix-store --serve` in the desktop's forced command: `command=` in \
                     the authorized_keys of {user|the user}, or `ForceCommand` in sshd_config (NixOS: `nix.sshServe.write = true;`).",
        },
        (Reason::NixDaemonDown, _) if says(target, "nix_conf", "broken") => Text {
            title: "nix.conf on the desktop is broken",
            explanation: "Nix on {host} refuses its own configuration, and with it everybody who asks.",
            remedy: "Correct what it names in the desktop's /etc/nix/nix.conf: there `nix --extra-experimental-features nix-command \
                     config show > /dev/null` prints nothing then. `sudo systemctl restart nix-daemon` brings it into force (NixOS: \
                     `nix.settings` and `nix.extraOptions`).",
        },
        (Reason::SystemMissing, _) if target.details.contains_key("meant") => Text {
            explanation: "This machine's entry promises {missing|a system}, which is none: nothing is ever built for it.",
            remedy: "Did you mean `{meant|x86_64-linux}`? Write that in place of {missing|it} in this machine's entry for the builder \
                     (NixOS: `systems` in nix.buildMachines; elsewhere the second field in /etc/nix/machines).",
            ..english(Reason::SystemMissing)
        },
        (Reason::FeatureMissing | Reason::HostKeyUnknown, _)
            if target.details.contains_key("misplaced") =>
        {
            Text {
                title: "a host key among the features",
                explanation: "This machine's entry for {host} has a public host key in the place of features: a field is left out before it. \
                          Nix sends nothing there, and does not hold the host to that key.",
                remedy: "Write `-` for the field that is left out, so that the host key is the eighth in /etc/nix/machines: URI, systems, \
                     key, jobs, speed, features, mandatory features, host key (NixOS: `publicHostKey` in nix.buildMachines).",
            }
        }
        (Reason::SystemMissing | Reason::FeatureMissing, _)
            if target.details.contains_key("own_builders") =>
        {
            Text {
                explanation: "Nix would send builds that need {missing|more} to {host}, which does not build them itself. It has builders of \
                              its own ({own_builders|its list}), and Nix hands on to those nothing that another machine sends.",
                remedy: "Name the machine that builds them in this machine's own list of builders, and take {missing|it} out of the \
                         entry for {host} (NixOS: `nix.buildMachines`; elsewhere /etc/nix/machines). Or let the desktop build \
                         it itself; where it offers nothing for `max-jobs = 0`, set that to `auto` in its nix.conf.",
                ..english(target.reason)
            }
        }
        (Reason::AuthRejected, _) if target.details.contains_key("demanded") => {
            login::MORE_THAN_A_KEY
        }
        (Reason::AuthRejected, _) if target.details.contains_key("login_methods") => login::NO_KEYS,
        (Reason::Refused, _) if target.kind == Kind::Builder => Text {
            remedy: "Start the service on the desktop: `sudo systemctl start {service}`; `systemctl status {service}` says why it \
                     does not run. Where it runs, compare its port with the one in {uri}.",
            ..english(Reason::Refused)
        },
        (Reason::NotVisible, _) if says(target, "login", "withheld") => Text {
            title: "a login that is not sent there",
            explanation: "What answers at {address} wants a login, which offloadd sends to the cache's own host and address alone: \
                          whether Nix would be let in is not known here.",
            remedy: "See what Nix makes of it: `sudo nix store info --store {uri}`. If the cache is at {address} for good, name \
                     that in `substituters` and in {netrc|/etc/nix/netrc}.",
        },
        (Reason::HttpStatus, Stage::Signature) => Text {
            explanation: "The cache at {address} serves nix-cache-info, but answered with an error when asked for a store path.",
            remedy: "Ask it yourself: `curl -i {uri}/{narinfo|HASH.narinfo}`. 500 or 502 mean that the server can't read its \
                     store or database: read its log on the desktop, `journalctl -u harmonia -u nix-serve -n 50`.",
            ..english(Reason::HttpStatus)
        },
        (Reason::TimedOut | Reason::ConnectionLost, Stage::Signature) => Text {
            explanation: "The cache at {address} serves nix-cache-info, but did not finish its answer when asked for a store path.",
            remedy: "Ask it yourself: `curl -i {uri}/{narinfo|HASH.narinfo}`. The server is overloaded or its disk is slow: read \
                     its log on the desktop, `journalctl -u harmonia -u nix-serve -n 50`.",
            ..english(target.reason)
        },
        (reason, _) => english(reason),
    }
}

/// The words for what is wrong with a certificate, a protocol, or the file of authorities.
fn tls(target: &Target) -> Text {
    let fault = template::detail(&target.details, "tls_fault").unwrap_or_default();
    let whole = english(Reason::TlsFailed);
    match fault.as_str() {
        "expired" => Text {
            title: "certificate expired",
            explanation: "The certificate that {address} shows has expired.",
            remedy: "Renew it on the desktop; NixOS: `systemctl status 'acme-*'`. Its dates: `openssl s_client -connect {address} \
                     </dev/null 2>/dev/null | openssl x509 -noout -dates`. If they are good, it is this machine's clock that is \
                     wrong: `timedatectl`.",
        },
        "not-yet-valid" => Text {
            title: "certificate not valid yet",
            explanation: "The certificate that {address} shows is not valid yet, by this machine's clock.",
            remedy: "See `timedatectl` on both machines, and set the clock that is wrong. The certificate's dates: `openssl s_client \
                     -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -dates`.",
        },
        "other-name" => Text {
            title: "certificate of another name",
            explanation: "The certificate that {address} shows is not for {host}.",
            remedy: "Its names: `openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -ext \
                     subjectAltName`. Write one of them into the URL in `substituters` (NixOS: `nix.settings.substituters`), or make \
                     the certificate again with `subjectAltName=DNS:{host}` (`IP:` for an address).",
        },
        "self-signed" => Text {
            title: "certificate signs itself",
            explanation: "The certificate that {address} shows vouches for itself, and is not in {authorities|the file of authorities}, \
                          which Nix goes by.",
            remedy: "If it is yours, have this machine trust it. NixOS: `security.pki.certificateFiles`. Debian: copy it to \
                     /usr/local/share/ca-certificates/desktop.crt and run `sudo update-ca-certificates`. Elsewhere: add it to \
                     {authorities|the file that `ssl-cert-file` in nix.conf names}. Then `sudo systemctl restart nix-daemon`.",
        },
        "unknown-authority" => Text {
            title: "certificate of an unknown authority",
            explanation: "Nobody in {authorities|the file of authorities}, which Nix goes by, vouches for the certificate that \
                          {address} shows.",
            remedy: "Have this machine trust the authority that made it (its own certificate, not the desktop's). NixOS: \
                     `security.pki.certificateFiles`. Debian: copy it to /usr/local/share/ca-certificates/own-ca.crt and run \
                     `sudo update-ca-certificates`. Elsewhere: add it to {authorities|the file that `ssl-cert-file` in nix.conf \
                     names}. Then `sudo systemctl restart nix-daemon`. If a public authority made it, the desktop may leave out \
                     what is between: nginx wants the whole chain in `ssl_certificate`.",
        },
        "too-old" => Text {
            title: "TLS too old",
            explanation: "{address} speaks no version of TLS that is in use today (1.2 or 1.3).",
            remedy: "Let the desktop's web server speak them: `ssl_protocols TLSv1.2 TLSv1.3;` in nginx, then `sudo systemctl reload \
                     nginx` there.",
        },
        "client-certificate" => Text {
            title: "a certificate is asked for",
            explanation: "{address} lets in only who shows a certificate, and Nix is not configured to show one.",
            remedy: "Take `ssl_verify_client` out of the cache's `server` block in the desktop's nginx, and run `sudo systemctl reload \
                     nginx` there: a binary cache is protected by its signatures, and by a login in {netrc|/etc/nix/netrc}.",
        },
        "not-tls" => Text {
            title: "not TLS",
            explanation: "What answers at {address} does not speak TLS.",
            remedy: "Write http:// in place of https:// in `substituters` (NixOS: `nix.settings.substituters`) if the cache has no \
                     TLS: `curl -v http://{address}/nix-cache-info` shows it. Else correct the port.",
        },
        "authorities" => Text {
            title: "no certificate authorities",
            explanation: "{authorities|The file of authorities}, which Nix holds certificates against, can't be read or has none in it.",
            remedy: "Correct `ssl-cert-file` in nix.conf (or `NIX_SSL_CERT_FILE` of nix-daemon.service), or install the file: Debian's \
                     package ca-certificates; NixOS makes it itself. Then `sudo systemctl restart nix-daemon`.",
        },
        _ => whole,
    }
}

/// Whether the detail `key` is `value`.
fn says(target: &Target, key: &str, value: &str) -> bool {
    template::detail(&target.details, key).is_some_and(|said| said == value)
}

/// The words for a reason of what this machine is on no network of: nothing is broken.
const fn away(reason: Reason) -> Text {
    if matches!(reason, Reason::DnsFailed) {
        return Text {
            explanation: "Nobody on this network knows the name {host}, as it is anywhere but at home: Nix does without it \
                          meanwhile. It is looked at again as soon as the networks change.",
            remedy: "To use it from here, connect this machine to the desktop's network, its VPN or its tailnet. If this is the \
                     desktop's network, `getent ahosts {host}` must print an address: a name in .local takes avahi on both machines \
                     (NixOS: `services.avahi.enable` and `services.avahi.nssmdns4`), any other the router's name service.",
            ..english(reason)
        };
    }
    Text {
        explanation: "This machine is on no network of {host}: Nix does without it meanwhile. It is looked at again as soon as \
                      the networks change.",
        remedy: "To use it from here, connect this machine to the desktop's network or its VPN. If this is the desktop's network, \
                 its address has changed: `offloadctl discover` looks for it.",
        ..english(reason)
    }
}
