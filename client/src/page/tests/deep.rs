//! What the deep stages and test builds add to the page.

use super::*;
use crate::{JobState, snapshot::Detail, test_build::TestBuild};

/// A builder that was checked as deep as Nix goes, and its last test build.
fn tested(details: &[(&str, Detail)]) -> Target {
    let facts = BuilderFacts {
        protocol: "ssh-ng".into(),
        systems: vec!["x86_64-linux".into(), "aarch64-linux".into()],
        features: vec!["kvm".into()],
        max_jobs: 8,
        speed_factor: 1.5,
        nix_version: "2.31.2".into(),
        trusted: "yes".into(),
        host_key_fingerprint: "SHA256:abc".into(),
    };
    Target {
        stage: Stage::System,
        facts: Facts::Builder(facts),
        details: details
            .iter()
            .map(|(key, value)| ((*key).into(), value.clone()))
            .collect(),
        ..builder()
    }
}

#[test]
fn a_builder_that_is_ready_says_when_nix_has_built_there() {
    let page = |details: &[(&str, Detail)], width| {
        let style = Style { width, ..style() };
        render_targets(&[tested(details)], &style)
    };
    let line = |proof: &str| {
        format!("✔ ready   builder/desktop   192.0.2.6:22   18 ms   for 3 h{proof}\n")
    };
    let built = [
        ("test_build", "succeeded".into()),
        ("test_build_timestamp", (NOW - 3 * HOUR).into()),
    ];
    assert_eq!(page(&built, 80), line("   proved 3 h ago"));
    // The verdict of its checks is worth more.
    assert_eq!(page(&built, 70), line(""));
    assert_eq!(
        page(&[("test_build", "".into())], 80),
        line("   not proved yet")
    );
    // Nobody proves it, or what failed is no fault of its own.
    assert_eq!(page(&[], 80), line(""));
    assert_eq!(page(&[("test_build", "failed".into())], 80), line(""));
}

#[test]
fn verbose_tells_what_a_deep_check_found_and_the_last_test_build() {
    let verbose = Style {
        verbose: true,
        ..style()
    };
    let mut details = vec![
        ("protocol_version", "1.37".into()),
        ("command", "nix-daemon --stdio".into()),
        ("program", "nix-daemon".into()),
        ("slots", 8.into()),
        ("slots_in_use", 2.into()),
        ("boot_id", "2b1d".into()),
        ("features_unlisted", vec!["benchmark"].into()),
        ("store_free", 15_000_000_000_u64.into()),
        ("store_free_inodes", 70_000.into()),
        ("hostname", "tower".into()),
        ("system_unknown", "nix: command not found".into()),
        ("test_build", "succeeded".into()),
        ("test_build_timestamp", (NOW - HOUR).into()),
        ("test_build_usec", 3_200_000.into()),
        ("test_build_place", "tower".into()),
        ("some_usec", 1_500_000.into()),
        ("some_timestamp", (NOW - HOUR).into()),
    ];
    let page = render_targets(&[tested(&details)], &verbose);
    assert_eq!(
        page,
        "\
✔ ready   builder/desktop   192.0.2.6:22   18 ms   for 3 h   proved 1 h ago
    not verified: the other systems and the features that Nix's list of builders promises
    uri             ssh-ng://nix-builder@192.0.2.6
    stage           system
    checked         4 s ago, next in 26 s
    protocol        ssh-ng 1.37
    command         nix-daemon --stdio
    systems         x86_64-linux, aarch64-linux
    features        kvm
    jobs            8, speed 1.5
    not listed      benchmark (the builder has them, its entry does not: builds that ask for them go elsewhere)
    store           13.9 GiB free, 70000 inodes
    slots           2 of 8 in use
    nix             2.31.2
    trusted         yes
    host key        SHA256:abc
    last test build 1 h ago: built on tower in 3.2 s
    boot id         2b1d
    hostname        tower
    some            1 h ago
    some            1.5 s
    system unknown  nix: command not found
"
    );
    let plain = render_targets(&[tested(&details)], &style());
    assert_eq!(plain.lines().count(), 2, "{plain}");
    let known = render_targets(&[tested(&details[..7])], &style());
    assert_eq!(known.lines().count(), 1, "{known}");

    details[11] = ("test_build", "failed".into());
    details.push(("test_build_reason", "build-failed".into()));
    details.push(("test_build_error", "error: no space left on device".into()));
    let page = render_targets(&[tested(&details)], &verbose);
    let line = "    last test build 1 h ago: test build failed after 3.2 s \
                · error: no space left on device\n";
    assert!(page.contains(line), "{page}");
}

#[test]
fn verbose_tells_whose_signature_was_seen_or_why_none() {
    let verbose = Style {
        verbose: true,
        ..style()
    };
    let mut signed = cache();
    signed.stage = Stage::Signature;
    if let Facts::Cache(facts) = &mut signed.facts {
        facts.signing_key = "desktop-1:AAAA".into();
    }
    signed
        .details
        .insert("sample".into(), "/nix/store/abc-x".into());
    signed
        .details
        .insert("signed_by".into(), "desktop-1".into());
    let page = render_targets(&[signed], &verbose);
    assert!(page.contains("    signing key     desktop-1:AAAA\n"));
    assert_eq!(page.matches("desktop-1").count(), 1);
    assert!(page.contains("    sample          /nix/store/abc-x\n"));

    let mut empty = cache();
    empty.details.insert("sample_missing".into(), true.into());
    empty.details.insert("samples_tried".into(), 8.into());
    let page = render_targets(&[empty.clone()], &verbose);
    assert!(
        page.contains(
            "    signature       not checked: none of the paths that were asked for shows one (8 tried)\n"
        ),
        "{page}"
    );
    assert_eq!(page.matches("8 tried").count(), 1);

    // Who wants to know less still reads that it is not known.
    let plain = render_targets(&[empty.clone()], &style());
    let line = "    not verified: its signature: none of the paths that were asked for shows one\n";
    assert!(plain.ends_with(line), "{plain}");
    empty.state = TargetState::Down;
    let down = render_targets(&[empty], &style());
    assert!(!down.contains("not verified"), "{down}");
}

#[test]
fn a_test_build_that_failed_is_explained() {
    let failed = Target {
        state: TargetState::Degraded,
        stage: Stage::Build,
        reason: Reason::BuildFailed,
        state_change_timestamp: NOW - 120_000_000,
        ..tested(&[
            ("error", "of an older check".into()),
            ("test_build_error", "error: no space left".into()),
        ])
    };
    assert_eq!(
        render_targets(&[failed], &style()),
        "\
▲ degraded   builder/desktop   192.0.2.6:22   for 2 min
    build: test build failed · error: no space left
    Nix handed a trivial build to 192.0.2.6, and got no result.
    → The log says how far it came: `offloadctl test-build desktop` shows it,
      and `journalctl -u nix-daemon -n 50` on both machines has the rest. Often
      the desktop's disk is full (`df -h /nix /tmp` there), or its sandbox does
      not work.
"
    );
}

#[test]
fn the_end_of_a_test_build_is_a_line_and_help_where_it_failed() {
    let build = |state, reason| TestBuild {
        state,
        reason,
        duration_usec: 75_000_000,
        place: "laptop".into(),
        ..TestBuild::default()
    };
    let page = |state, reason| render_test_build(&builder(), &build(state, reason), &style());
    assert_eq!(
        page(JobState::Succeeded, Reason::None),
        "✔ builder/desktop: built on laptop in 1 min\n"
    );
    assert_eq!(
        page(JobState::Cancelled, Reason::None),
        "‖ builder/desktop: cancelled after 1 min\n"
    );
    // A newer daemon's reason.
    assert_eq!(
        page(JobState::Failed, Reason::None),
        "✗ builder/desktop: test build failed after 1 min\n"
    );
    assert_eq!(
        page(JobState::Failed, Reason::BuiltElsewhere),
        "\
✗ builder/desktop: built on another builder in 1 min
    A test build that was meant for 192.0.2.6 ran on laptop.
    → Either the builder hands on what it gets (`builders` in the desktop's
      nix.conf; NixOS: `nix.buildMachines` there), or this machine's nix-daemon
      does not let root choose: `trusted-users` in /etc/nix/nix.conf must name
      root (NixOS: `nix.settings.trusted-users`), or, where offload-helper is
      not running, the user that offloadd runs as.
"
    );
}

#[test]
fn an_untrusted_user_reads_what_to_add() {
    let untrusted = failed(
        builder(),
        TargetState::Degraded,
        Stage::Trust,
        Reason::NotTrusted,
    );
    assert_eq!(
        render_targets(&[untrusted], &style()),
        "\
▲ degraded   builder/desktop   192.0.2.6:22   for 2 min
    trust: user not trusted
    The nix-daemon on 192.0.2.6 does not trust nix-builder, so it takes from
    this machine only what somebody it trusts has signed, and refuses builds
    that need anything else.
    → On the desktop add the line `extra-trusted-users = nix-builder` to
      /etc/nix/nix.conf and run `sudo systemctl restart nix-daemon`; on NixOS
      set `nix.settings.trusted-users = [ \"nix-builder\" ];` instead (for the
      user nix-ssh: `nix.sshServe.trusted = true;`). Whom Nix trusts can become
      root there: give the key to nobody else.
"
    );
}

#[test]
fn a_certificate_that_names_its_host_in_the_old_way_is_told_to_who_wants_to_know_all() {
    let cache = Target {
        details: [("certificate_name".into(), "common-name".into())].into(),
        ..cache()
    };
    let verbose = Style {
        verbose: true,
        ..style()
    };
    let page = render_targets(&[cache], &verbose);
    assert!(page.contains("common name alone"), "{page}");
    assert!(!page.contains("common-name"), "{page}");
}
