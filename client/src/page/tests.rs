use super::*;
use crate::{
    JobState, Stage, TargetState, WarningCode,
    snapshot::{BuilderFacts, CacheFacts, Detail, Facts, Warning},
    test_build::TestBuild,
};

const NOW: u64 = 1_700_000_000_000_000;
const HOUR: u64 = 3_600_000_000;

fn style() -> Style {
    Style {
        now_realtime_usec: NOW,
        ..Style::default()
    }
}

fn cache() -> Target {
    Target {
        name: "desktop".into(),
        kind: Kind::Cache,
        uri: "http://192.0.2.6:5000".into(),
        address: "192.0.2.6:5000".into(),
        state: TargetState::Ready,
        stage: Stage::CacheInfo,
        state_change_timestamp: NOW - 3 * HOUR,
        last_check_timestamp: NOW - 4_000_000,
        next_check_timestamp: NOW + 26_000_000,
        latency_usec: 1_234,
        facts: Facts::Cache(CacheFacts {
            store_dir: "/nix/store".into(),
            priority: 40,
            want_mass_query: true,
            signing_key: String::new(),
        }),
        ..Target::default()
    }
}

fn builder() -> Target {
    Target {
        name: "desktop".into(),
        kind: Kind::Builder,
        uri: "ssh-ng://nix-builder@192.0.2.6".into(),
        address: "192.0.2.6:22".into(),
        stage: Stage::Auth,
        latency_usec: 18_400,
        facts: Facts::Builder(BuilderFacts::default()),
        ..cache()
    }
}

fn snapshot(cache: Target, builder: Target) -> Snapshot {
    let ready = |target: &Target| match target.state {
        TargetState::Ready => OverallState::Ready,
        TargetState::Degraded => OverallState::Degraded,
        TargetState::Paused => OverallState::Paused,
        _ => OverallState::Offline,
    };
    let (cache_state, builder_state) = (ready(&cache), ready(&builder));
    Snapshot {
        version: "0.1.0".into(),
        state: match (cache_state, builder_state) {
            (one, other) if one == other => one,
            _ => OverallState::Degraded,
        },
        cache_state,
        builder_state,
        state_change_timestamp: NOW - 120_000_000,
        targets: vec![cache, builder],
        ..Snapshot::default()
    }
}

fn failed(target: Target, state: TargetState, stage: Stage, reason: Reason) -> Target {
    Target {
        state,
        stage,
        reason,
        state_change_timestamp: NOW - 120_000_000,
        ..target
    }
}

#[test]
fn all_is_well() {
    assert_eq!(
        render(&snapshot(cache(), builder()), &style()),
        "\
✔ ready: Nix can use the cache and the builder (for 2 min)

✔ ready   cache/desktop     192.0.2.6:5000   1.2 ms   for 3 h
✔ ready   builder/desktop   192.0.2.6:22      18 ms   for 3 h
"
    );
}

#[test]
fn a_key_that_is_not_accepted() {
    let mut builder = failed(
        builder(),
        TargetState::Degraded,
        Stage::Auth,
        Reason::AuthRejected,
    );
    builder
        .details
        .insert("identity".into(), "/etc/nix/builder_ed25519".into());
    assert_eq!(
        render(&snapshot(cache(), builder), &style()),
        "\
▲ degraded: cache ready, builder degraded (for 2 min)

✔ ready      cache/desktop     192.0.2.6:5000   1.2 ms   for 3 h
▲ degraded   builder/desktop   192.0.2.6:22              for 2 min
    auth: key not accepted
    The builder knows nobody called nix-builder with the key that Nix would use.
    → Put the public half of the key into ~nix-builder/.ssh/authorized_keys on
      the desktop (NixOS:
      `users.users.nix-builder.openssh.authorizedKeys.keys`). Try it as root, as
      Nix does:
      `sudo ssh -i /etc/nix/builder_ed25519 nix-builder@192.0.2.6 true`.
"
    );
}

#[test]
fn a_host_that_is_away_is_explained_once() {
    let down = |target| failed(target, TargetState::Down, Stage::Connect, Reason::TimedOut);
    assert_eq!(
        render(&snapshot(down(cache()), down(builder())), &style()),
        "\
✗ offline: Nix can't use the cache or the builder: builds run on this machine alone (for 2 min)

✗ down   cache/desktop     192.0.2.6:5000   for 2 min
    connect: no answer
    Nothing came back from 192.0.2.6:5000 in time.
    → See whether the desktop is on and awake, and still has that address
      (`ip -brief address` on it). If it is and does, a firewall drops the
      packets: on NixOS open the port with
      `networking.firewall.allowedTCPPorts`.
✗ down   builder/desktop   192.0.2.6:22     for 2 min
    connect: no answer, as for cache/desktop
"
    );
}

#[test]
fn nothing_is_configured() {
    let snapshot = Snapshot {
        reason: Reason::NotConfigured,
        ..Snapshot::default()
    };
    assert_eq!(
        render(&snapshot, &style()),
        "\
? unknown: nothing to watch
    Neither Nix nor offloadd is configured to use a cache or a builder of your
    own.
    → Give Nix a desktop: on NixOS `nix.settings.substituters` and
      `nix.buildMachines`, elsewhere `substituters` and `builders` in
      /etc/nix/nix.conf. Or tell offloadd alone:
      `offloadd --cache http://HOST:5000 --builder ssh-ng://nix-builder@HOST`.
"
    );
}

#[test]
fn a_pause_is_explained_once() {
    let paused = |target| failed(target, TargetState::Paused, Stage::None, Reason::Paused);
    assert_eq!(
        render(&snapshot(paused(cache()), paused(builder())), &style()),
        "\
‖ paused: checks paused (for 2 min)
    Somebody paused the checks; nothing is known of the desktop meanwhile.
    → `offloadctl resume` starts them again.

‖ paused   cache/desktop     192.0.2.6:5000   for 2 min
‖ paused   builder/desktop   192.0.2.6:22     for 2 min
"
    );
}

#[test]
fn warnings_come_last() {
    let mut snapshot = snapshot(cache(), builder());
    snapshot.warnings.push(Warning {
        code: WarningCode::MachinesFileBroken,
        target: None,
        details: [
            ("file".to_owned(), "/etc/nix/machines".into()),
            ("line".to_owned(), 3.into()),
            ("error".to_owned(), "speed is not a number: \"fast\"".into()),
        ]
        .into(),
    });
    let page = render(&snapshot, &style());
    assert!(
        page.ends_with(
            "\
for 3 h

! the list of builders is broken · /etc/nix/machines:3 · speed is not a number:
    \"fast\"
    One bad line in /etc/nix/machines makes Nix drop the whole list: every build
    stays on this machine.
    → Correct line 3 of /etc/nix/machines: URI, systems, key, jobs, speed,
      features, mandatory features, host key, with `-` for what is left out. On
      NixOS it comes from `nix.buildMachines`.
"
        ),
        "{page}"
    );
}

#[test]
fn verbose_adds_what_is_known() {
    let verbose = Style {
        verbose: true,
        ..style()
    };
    let snapshot = Snapshot {
        targets: vec![cache()],
        builder_state: OverallState::Unknown,
        ..snapshot(cache(), builder())
    };
    assert_eq!(
        render(&snapshot, &verbose),
        "\
✔ ready: Nix can use the cache (for 2 min)

✔ ready   cache/desktop   192.0.2.6:5000   1.2 ms   for 3 h
    uri             http://192.0.2.6:5000
    stage           cache-info
    checked         4 s ago, next in 26 s
    store           /nix/store
    priority        40
    mass queries    yes

offloadd 0.1.0
"
    );
}

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
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
        ..builder()
    }
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
✔ ready   builder/desktop   192.0.2.6:22   18 ms   for 3 h
    uri             ssh-ng://nix-builder@192.0.2.6
    stage           system
    checked         4 s ago, next in 26 s
    protocol        ssh-ng 1.37
    command         nix-daemon --stdio
    systems         x86_64-linux, aarch64-linux
    features        kvm
    jobs            8, speed 1.5
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
    assert_eq!(plain.lines().count(), 1, "{plain}");

    details[8] = ("test_build", "failed".into());
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
    let page = render_targets(&[empty], &verbose);
    assert!(
        page.contains(
            "    signature       not checked: it has none of this machine's paths (8 tried)\n"
        ),
        "{page}"
    );
    assert_eq!(page.matches("8 tried").count(), 1);
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
      does not let offloadd choose: `trusted-users` in /etc/nix/nix.conf must
      name the user that offloadd runs as (NixOS: `nix.settings.trusted-users`).
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
    The nix-daemon on 192.0.2.6 does not trust nix-builder, so it refuses what
    this machine sends to be built.
    → On the desktop add the line `extra-trusted-users = nix-builder` to
      /etc/nix/nix.conf and run `sudo systemctl restart nix-daemon`; on NixOS
      set `nix.settings.trusted-users = [ \"nix-builder\" ];` instead (for the
      user nix-ssh: `nix.sshServe.trusted = true;`). Whom Nix trusts can become
      root there: give the key to nobody else.
"
    );
}

#[test]
fn colours_come_only_when_asked_for() {
    let snapshot = snapshot(
        cache(),
        failed(
            builder(),
            TargetState::Down,
            Stage::Connect,
            Reason::Refused,
        ),
    );
    let coloured = Style {
        colour: true,
        ..style()
    };
    let plain = render(&snapshot, &style());
    let painted = render(&snapshot, &coloured);
    assert!(!plain.contains('\x1b'));
    assert!(painted.contains("\x1b[31m✗ down\x1b[0m"));
    let mut stripped = painted;
    for code in [0, 1, 2, 31, 32, 33, 36] {
        stripped = stripped.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn nothing_of_the_wire_commands_the_terminal() {
    let evil = "\x1b]0;owned\x07\n\u{202e}";
    let mut target = failed(builder(), TargetState::Down, Stage::Banner, Reason::NotSsh);
    target.name = evil.into();
    target.address = evil.into();
    target.uri = format!("ssh://{evil}@{evil}");
    target.details.insert("error".into(), evil.into());
    target.details.insert(evil.into(), evil.into());
    let mut snapshot = snapshot(cache(), target);
    snapshot.version = evil.into();
    snapshot.warnings.push(Warning {
        code: WarningCode::NixConfBroken,
        target: Some((Kind::Builder, evil.into())),
        details: [("file".to_owned(), evil.into())].into(),
    });
    for verbose in [false, true] {
        let page = render(&snapshot, &Style { verbose, ..style() });
        let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!page.contains(harmful), "{page:?}");
        assert!(page.lines().all(|line| !line.starts_with("]0;")), "{page}");
    }
}

#[test]
fn a_narrow_terminal_loses_columns_and_not_the_state() {
    let narrow = Style {
        width: 40,
        ..style()
    };
    let page = render_targets(&[cache(), builder()], &narrow);
    assert_eq!(
        page,
        "\
✔ ready   cache/desktop     for 3 h
✔ ready   builder/desktop   for 3 h
"
    );
}
