mod deep;
mod explain;
mod hindered;
mod many;
mod unwatched;

use super::*;
use crate::{
    Stage, TargetState, WarningCode,
    snapshot::{BuilderFacts, CacheFacts, Facts, Warning},
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
            signing_key: "".into(),
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
        targets: vec![cache, builder].into(),
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
      `users.users.nix-builder.openssh.authorizedKeys.keys`). Where
      `getent passwd nix-builder` prints nothing there, correct the user in
      ssh-ng://nix-builder@192.0.2.6. If the key is there, sshd's log says why
      it does not count: `journalctl -t sshd -t sshd-session -n 20`. It may be
      its line (`from=`, `expiry-time=`), who may write there (`sudo chmod go-w
      ~nix-builder ~nix-builder/.ssh ~nix-builder/.ssh/authorized_keys`, `sudo
      chown -R nix-builder: ~nix-builder/.ssh`), the account (locked: `sudo
      usermod -p '*' nix-builder`; its shell is not there: `sudo usermod -s
      /bin/sh nix-builder`), or /etc/ssh/sshd_config (`AllowUsers`,
      `AllowGroups`, `DenyUsers`, `PubkeyAcceptedAlgorithms`, and where
      `sudo sshd -T -C user=nix-builder | grep -i authorizedkeysfile` looks for
      keys): correct it, and `sudo systemctl reload sshd` (NixOS:
      `services.openssh.settings`). Try it as root, as Nix does:
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
fn where_this_machine_builds_nothing_the_headline_says_so() {
    let refused = |target| failed(target, TargetState::Down, Stage::Connect, Reason::Refused);
    let away = |target| failed(target, TargetState::Away, Stage::Connect, Reason::NoRoute);
    let cases = [
        (OverallState::Offline, refused(cache()), refused(builder())),
        (OverallState::Degraded, cache(), refused(builder())),
        (OverallState::Away, away(cache()), away(builder())),
    ];
    for (state, cache, builder) in cases {
        let mut snapshot = Snapshot {
            state,
            ..snapshot(cache, builder)
        };
        let headline = |snapshot: &Snapshot| {
            let page = render(snapshot, &style());
            page.lines().next().unwrap_or_default().to_owned()
        };
        let nothing = ": nothing is built, as `max-jobs` is 0 here (";
        snapshot.here.max_jobs = Some(4);
        assert!(!headline(&snapshot).contains(nothing), "{state}");
        snapshot.here.max_jobs = Some(0);
        let told = headline(&snapshot);
        assert!(told.contains(nothing), "{told}");
        assert!(!told.contains("on this machine"), "{told}");
    }
    let mut snapshot = snapshot(refused(cache()), builder());
    snapshot.state = OverallState::Degraded;
    snapshot.here.max_jobs = Some(0);
    let page = render(&snapshot, &style());
    assert!(!page.contains("nothing is built"), "{page}");
}

#[test]
fn what_is_away_is_nothing_to_mend() {
    let away = |target| failed(target, TargetState::Away, Stage::Connect, Reason::NoRoute);
    let snapshot = Snapshot {
        state: OverallState::Away,
        ..snapshot(away(cache()), away(builder()))
    };
    assert_eq!(
        render(&snapshot, &style()),
        "\
◌ away: this machine is on no network that reaches the desktop (for 2 min)

◌ away   cache/desktop     192.0.2.6:5000   for 2 min
    connect: no route
    This machine is on no network of 192.0.2.6: Nix does without it meanwhile.
    It is looked at again as soon as the networks change.
    → To use it from here, connect this machine to the desktop's network or its
      VPN. If this is the desktop's network, its address has changed:
      `offloadctl discover` looks for it.
◌ away   builder/desktop   192.0.2.6:22     for 2 min
    connect: no route, as for cache/desktop
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
            ("file".into(), "/etc/nix/machines".into()),
            ("line".into(), 3.into()),
            ("error".into(), "speed is not a number: \"fast\"".into()),
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
    One bad line in /etc/nix/machines makes Nix drop the whole list: no build
    goes to a builder.
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
        targets: vec![cache()].into(),
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
    target.uri = format!("ssh://{evil}@{evil}").into();
    target.details.insert("error".into(), evil.into());
    target.details.insert(evil.into(), evil.into());
    let mut snapshot = snapshot(cache(), target);
    snapshot.version = evil.into();
    snapshot.warnings.push(Warning {
        code: WarningCode::NixConfBroken,
        target: Some((Kind::Builder, evil.into())),
        details: [("file".into(), evil.into())].into(),
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
