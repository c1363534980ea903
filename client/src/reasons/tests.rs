use std::collections::HashSet;

use super::*;
use crate::{
    Kind, Stage,
    snapshot::{Detail, Target},
};

#[test]
fn every_reason_but_none_has_its_words() {
    for reason in Reason::ALL {
        let Text {
            title,
            explanation,
            remedy,
        } = text(*reason);
        let wordless = title.is_empty() && explanation.is_empty() && remedy.is_empty();
        let complete = !title.is_empty() && !explanation.is_empty() && !remedy.is_empty();
        assert_eq!(wordless, *reason == Reason::None, "{reason:?}");
        assert_eq!(complete, *reason != Reason::None, "{reason:?}");
    }
}

#[test]
fn no_two_reasons_share_a_title() {
    let titles: HashSet<_> = Reason::ALL.iter().map(|r| text(*r).title).collect();
    assert_eq!(titles.len(), Reason::ALL.len());
}

#[test]
fn titles_are_headlines_and_explanations_are_sentences() {
    for reason in Reason::ALL.iter().filter(|r| **r != Reason::None) {
        let words = text(*reason);
        assert!(words.title.chars().count() <= 40, "{reason:?}");
        assert!(!words.title.ends_with('.'), "{reason:?}");
        assert!(words.explanation.ends_with('.'), "{reason:?}");
        assert!(words.remedy.ends_with('.'), "{reason:?}");
    }
}

#[test]
fn no_template_is_left_unfilled() {
    // What a shell may do with it.
    let pipes = ["| grep", "| nix", "| tail", "| openssl", "| sudo tee"];
    for (reason, stage) in Reason::ALL
        .iter()
        .flat_map(|reason| Stage::ALL.iter().map(move |stage| (*reason, *stage)))
    {
        for uri in [
            "ssh-ng://nix-builder@192.0.2.6",
            "http://192.0.2.6:5000",
            "",
        ] {
            for kind in [Kind::Cache, Kind::Builder] {
                let target = Target {
                    kind,
                    reason,
                    stage,
                    uri: uri.into(),
                    ..Target::default()
                };
                let words = explanation_for(&target) + &remedy_for(&target);
                let words = pipes.iter().fold(words, |all, pipe| all.replace(pipe, ""));
                assert!(!words.contains(['{', '}', '|']), "{words}");
            }
        }
    }
}

#[test]
fn a_redirect_that_leads_back_here_is_mended_where_it_comes_from() {
    let mut target = Target {
        reason: Reason::Redirected,
        stage: Stage::Http,
        uri: "http://192.0.2.6:5000".into(),
        ..Target::default()
    };
    let mut tell = |key: &str, value: Detail| {
        target.details.insert(key.into(), value);
        explanation_for(&target) + &remedy_for(&target)
    };
    tell("redirected_to", "127.0.0.1:8080".into());
    let words = tell("moved_to", "http://127.0.0.1:8080/nix".into());
    assert!(words.contains("`http://127.0.0.1:8080/nix` in `substituters`"));
    assert!(words.contains("offloadctl check"), "{words}");
    // No check goes there, whoever asks for it.
    let words = tell("leads_back", true.into());
    assert!(words.contains("127.0.0.1:8080, which is this very machine"));
    assert!(!words.contains("offloadctl check"), "{words}");
}

#[test]
fn a_connection_closed_before_a_word_of_ssh_has_its_own_words() {
    let at = |stage| {
        let target = Target {
            reason: Reason::ConnectionLost,
            stage,
            uri: "ssh-ng://builder@192.0.2.6".into(),
            ..Target::default()
        };
        (explanation_for(&target), remedy_for(&target))
    };
    let (explanation, remedy) = at(Stage::Banner);
    assert!(explanation.contains("192.0.2.6 accepted"), "{explanation}");
    assert!(remedy.contains("MaxStartups"), "{remedy}");
    assert!(!remedy.contains("Start the service"), "{remedy}");
    assert_ne!(at(Stage::HostKey), (explanation, remedy));
}

fn builder(reason: Reason, stage: Stage, uri: &str) -> Target {
    Target {
        kind: Kind::Builder,
        reason,
        stage,
        uri: uri.into(),
        ..Target::default()
    }
}

#[test]
fn silence_of_nix_is_told_from_silence_of_the_network() {
    for stage in [Stage::Handshake, Stage::Trust, Stage::System] {
        for reason in [Reason::TimedOut, Reason::ConnectionLost] {
            let target = builder(reason, stage, "ssh-ng://builder@192.0.2.6");
            let words = explanation_for(&target) + &remedy_for(&target);
            assert!(words.contains("Nix"), "{words}");
            assert!(!words.contains("firewall"), "{words}");
        }
    }
    let cache = Target {
        reason: Reason::HttpStatus,
        stage: Stage::Signature,
        uri: "http://192.0.2.6:5000".into(),
        details: [("narinfo".into(), "abc.narinfo".into())].into(),
        ..Target::default()
    };
    let remedy = remedy_for(&cache);
    assert!(
        remedy.contains("`curl -i http://192.0.2.6:5000/abc.narinfo`"),
        "{remedy}"
    );
}

#[test]
fn a_remedy_names_the_command_of_the_builders_protocol() {
    let remedy = |uri| remedy_for(&builder(Reason::ProtocolMismatch, Stage::Handshake, uri));
    let (ssh, ng) = (remedy("ssh://b@desktop"), remedy("ssh-ng://b@desktop"));
    assert!(ssh.contains("`nix-store --serve --write`"), "{ssh}");
    assert!(ssh.contains("nix.sshServe.protocol = \"ssh\""), "{ssh}");
    assert!(ng.contains("`nix-daemon --stdio`"), "{ng}");
    assert!(ng.contains("nix.sshServe.protocol = \"ssh-ng\""), "{ng}");
    let remedy = remedy_for(&builder(
        Reason::NixMissing,
        Stage::Handshake,
        "ssh://b@desktop",
    ));
    assert!(
        remedy.contains("`ssh b@desktop command -v nix-store`"),
        "{remedy}"
    );
}

#[test]
fn what_is_to_be_added_is_there_to_be_copied() {
    let mut target = builder(Reason::NotTrusted, Stage::Trust, "ssh-ng://b@desktop");
    let remedy = remedy_for(&target);
    assert!(remedy.contains("`extra-trusted-users = b`"), "{remedy}");
    assert!(
        remedy.contains("`nix.settings.trusted-users = [ \"b\" ];`"),
        "{remedy}"
    );
    target.reason = Reason::FeatureMissing;
    let missing = vec!["kvm".to_owned(), "big-parallel".to_owned()];
    target.details.insert("missing".into(), missing.into());
    let remedy = remedy_for(&target);
    assert!(
        remedy.contains("`extra-system-features = kvm big-parallel`"),
        "{remedy}"
    );
}

#[test]
fn a_remedy_names_the_target_it_is_for() {
    let target = Target {
        reason: Reason::AuthRejected,
        uri: "ssh-ng://builder@192.0.2.6".into(),
        ..Target::default()
    };
    let remedy = remedy_for(&target);
    assert!(remedy.contains("~builder/.ssh/authorized_keys"), "{remedy}");
    assert!(
        remedy.contains("users.users.builder.openssh.authorizedKeys.keys"),
        "{remedy}"
    );
    assert!(remedy.contains("builder@192.0.2.6"), "{remedy}");
}

#[test]
fn commands_name_the_port_and_no_firewall_is_blamed_for_who_has_answered() {
    let target = builder(Reason::AuthRejected, Stage::Auth, "ssh-ng://b@desktop:2222");
    let remedy = remedy_for(&target);
    assert!(remedy.contains("-p 2222 b@desktop true`"), "{remedy}");
    assert!(remedy.contains("journalctl -t sshd"), "{remedy}");
    let target = builder(
        Reason::HostKeyMismatch,
        Stage::HostKey,
        "ssh-ng://b@desktop:2222",
    );
    let remedy = remedy_for(&target);
    assert!(
        remedy.contains("`sudo ssh-keygen -R '[desktop]:2222' -f"),
        "{remedy}"
    );
    for stage in [Stage::Banner, Stage::Auth, Stage::Http] {
        let target = builder(Reason::TimedOut, stage, "ssh-ng://b@desktop");
        assert!(!remedy_for(&target).contains("firewall"), "{stage}");
    }
}

#[test]
fn no_words_have_gaps() {
    for reason in Reason::ALL {
        let Text {
            explanation,
            remedy,
            ..
        } = text(*reason);
        assert!(
            !format!("{explanation} {remedy}").contains("  "),
            "{reason}"
        );
    }
}

#[test]
fn a_mac_is_not_told_of_systemd() {
    let this_machine_s = ["offload", "-p Environment"];
    let is_a_cache_s = |stage: &&Stage| {
        let of_caches = [Stage::Tls, Stage::Http, Stage::CacheInfo, Stage::Signature];
        of_caches.contains(*stage)
    };
    let mut told = Vec::new();
    // What keeps Nix from a builder stands in this machine's own configuration.
    for reason in Reason::ALL.iter().filter(|it| it.hindrance().is_none()) {
        for stage in Stage::ALL.iter().filter(|stage| !is_a_cache_s(stage)) {
            let mut target = builder(*reason, *stage, "ssh-ng://b@mac");
            target.facts = crate::snapshot::Facts::Builder(crate::snapshot::BuilderFacts {
                systems: vec!["aarch64-darwin".into()],
                ..Default::default()
            });
            let remedy = remedy_for(&target);
            let is_this_machine_s = this_machine_s.iter().any(|it| remedy.contains(it));
            let is_systemd_s = remedy.contains("systemctl") || remedy.contains("journalctl");
            if is_systemd_s && !is_this_machine_s {
                told.push(format!("{reason} {stage}: {remedy}"));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    let mut target = builder(Reason::NixDaemonDown, Stage::Handshake, "ssh-ng://b@mac");
    target.facts = crate::snapshot::Facts::Builder(crate::snapshot::BuilderFacts {
        systems: vec!["aarch64-darwin".into()],
        ..Default::default()
    });
    assert!(remedy_for(&target).contains("sudo launchctl kickstart system/org.nixos.nix-daemon"));
}

#[test]
fn a_mac_s_commands_find_their_place_in_portuguese_too() {
    let catalogue = crate::language::portuguese();
    let mut found = 0;
    for (linux, _) in mac::COMMANDS {
        let said = catalogue.get(linux).unwrap_or(linux);
        for english in catalogue.keys().filter(|text| text.contains(linux)) {
            let portuguese = catalogue.get(english).unwrap_or_default();
            assert!(portuguese.contains(said), "{said} in {portuguese}");
            found += 1;
        }
    }
    assert!(found >= mac::COMMANDS.len(), "{found}");
}

#[test]
fn a_builder_that_waits_for_somebody_shows_what_it_wants() {
    let mut target = builder(Reason::TimedOut, Stage::Auth, "ssh-ng://b@desktop");
    let words = "To authenticate, visit: https://login.example.org/a/1234";
    target.details.insert("auth_banner".into(), words.into());
    assert!(explanation_for(&target).ends_with(words));
}

#[test]
fn a_test_build_without_a_nix_daemon_of_one_s_own_blames_nobody_else() {
    let mut target = builder(Reason::BuildFailed, Stage::Build, "ssh-ng://b@desktop");
    let said = "cannot connect to socket at '/nix/var/nix/daemon-socket/socket': No such file or directory";
    for (error, is_ours) in [
        (format!(" {said}"), true),
        (
            format!("cannot build on 'ssh-ng://b@desktop': error: {said}"),
            false,
        ),
    ] {
        let details = [(crate::test_build::ERROR.into(), error.as_str().into())];
        target.details = details.into();
        let remedy = remedy_for(&target);
        assert_eq!(remedy.contains("df -h"), !is_ours, "{remedy}");
        assert_eq!(remedy.starts_with("Start it here"), is_ours, "{remedy}");
    }
}
