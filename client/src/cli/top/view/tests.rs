use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{
    Kind, OverallState, Reason, Snapshot, Stage, TargetState, WarningCode,
    cli::top::{
        builds::{Build, Builds},
        model::Log,
    },
    snapshot::{BuilderFacts, CauseKind, Facts, RootCause, Target, Warning},
};

const NOW: u64 = 1_700_000_000_000_000;
const MINUTE: u64 = 60_000_000;

fn ago(minutes: u64) -> u64 {
    NOW - minutes * MINUTE
}

fn ready() -> Snapshot {
    let cache = Target {
        name: "desktop".into(),
        uri: "http://192.0.2.6:5000".into(),
        address: "192.0.2.6:5000".into(),
        state: TargetState::Ready,
        stage: Stage::Signature,
        state_change_timestamp: ago(180),
        last_success_timestamp: ago(2),
        latency_usec: 1_200,
        ..Target::default()
    };
    let builder = Target {
        kind: Kind::Builder,
        uri: "ssh-ng://nix-builder@192.0.2.6".into(),
        address: "192.0.2.6:22".into(),
        stage: Stage::System,
        latency_usec: 18_400,
        facts: Facts::Builder(BuilderFacts {
            max_jobs: 8,
            ..BuilderFacts::default()
        }),
        ..cache.clone()
    };
    Snapshot {
        state: OverallState::Ready,
        builder_state: OverallState::Ready,
        cache_state: OverallState::Ready,
        state_change_timestamp: ago(180),
        targets: vec![cache, builder].into(),
        ..Snapshot::default()
    }
}

fn down() -> Snapshot {
    let mut now = ready();
    now.state = OverallState::Degraded;
    now.builder_state = OverallState::Offline;
    now.state_change_timestamp = ago(3);
    for target in now.targets.iter_mut().filter(|t| t.kind == Kind::Builder) {
        target.state = TargetState::Down;
        target.reason = Reason::Refused;
        target.stage = Stage::Connect;
        target.state_change_timestamp = ago(3);
        target
            .details
            .insert("error".into(), "Connection refused (os error 111)".into());
    }
    now.root_cause = Some(RootCause {
        kind: CauseKind::Reason,
        code: "refused".into(),
        target: Some((Kind::Builder, "desktop".into())),
        ..RootCause::default()
    });
    now.warnings = vec![Warning {
        code: WarningCode::DaemonConfigStale,
        ..Warning::default()
    }];
    now
}

/// The cache is as ever, four checks long; the builder has just gone.
fn model() -> Model {
    let mut model = Model::new(false, false);
    for (check, latency) in [900, 1_300, 4_800, 1_200].into_iter().enumerate() {
        let mut now = ready();
        for target in now.targets.iter_mut() {
            target.last_success_timestamp = ago(10) + check as u64 * MINUTE;
            target.latency_usec = latency;
        }
        model.observe(now);
    }
    model.observe(down());
    model
}

fn draw(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| view(model, NOW, frame.area(), frame.buffer_mut()))
        .unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content.chunks(usize::from(width).max(1));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| format!("{}\n", row.trim_end())).collect()
}

fn building(names: &[&str]) -> Builds {
    let build = |name: &&str| Build {
        builder: "ssh-ng:__nix-builder@192.0.2.6".into(),
        since: ago(2),
        name: Some((*name).into()),
    };
    Builds::of(names.iter().map(build).collect())
}

#[test]
fn a_screen_of_eighty_columns_has_all_of_it() {
    let mut model = model();
    model.select(1);
    assert_eq!(
        draw(&model, 80, 24),
        "\
▲ degraded: cache ready, builder offline (for 3 min)
  target           state    stage      latency         slots  since
  cache/desktop    ✔ ready  signature   1.2 ms  ▁▂█▂▂         for 3 h
▸ builder/desktop  ✗ down   connect             ▁▁▂▁█  ?/8    for 3 min
── builder/desktop ────────────────────────────────── 3 more lines: PgUp PgDn ──
    connect: connection refused · Connection refused (os error 111)
    The machine at 192.0.2.6:22 is there, but nothing accepts connections on
    that port.
    → Start the service on the desktop: `sudo systemctl start sshd`;
      `systemctl status sshd` says why it does not run. Where it runs, compare
      its port with the one in ssh-ng://nix-builder@192.0.2.6.

! nix-daemon has an old configuration
    nix.conf was changed after nix-daemon had started, and it reads it at its
    start only: what stands there now is not in force.
    → `sudo systemctl restart nix-daemon`. Builds that run go on.

    uri             ssh-ng://nix-builder@192.0.2.6
    stage           connect
── changes ─────────────────────────────────────────────────────────────────────
  3 min ago    ✗ builder/desktop down, connection refused
  3 h ago      ✔ builder/desktop ready
  3 h ago      ✔ cache/desktop ready
q quit  c check  t test build  p pause  / filter  ? help
"
    );
}

#[test]
fn which_of_two_daemons_it_is_stands_above_the_keys() {
    let mut model = model();
    let told = "So says the daemon on the system bus; another one is there with \
                `--bus unix:path=/run/user/1000/offloadd/embedded/bus`.";
    model.which = Some(told.to_owned());
    let screen = draw(&model, 80, 24);
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines[21..23].join(" "), told, "{screen}");
    assert!(lines[23].starts_with("q quit"), "{screen}");
    assert!(!draw(&model, 80, 15).contains("So says"));
    model.lose(Link::NoDaemon, NOW);
    assert!(!draw(&model, 80, 24).contains("So says"));
}

#[test]
fn a_long_headline_has_two_lines_and_what_is_cut_off_says_so() {
    let mut now = down();
    now.state = OverallState::Offline;
    let mut model = Model::new(false, false);
    model.observe(now);
    let screen = draw(&model, 80, 24);
    let mut lines = screen.lines();
    assert_eq!(
        lines.next(),
        Some("✗ offline: Nix can't use the cache or the builder: builds run on this machine"),
        "{screen}"
    );
    assert_eq!(lines.next(), Some("  alone (for 3 min)"), "{screen}");
    assert!(lines.next().unwrap().starts_with("  target "), "{screen}");
    assert!(screen.ends_with("? help\n"), "{screen}");
    model.log = Some(Log::new("builder/desktop".into(), NOW));
    model.log_line("x".repeat(81).into());
    let log = format!("\n{}…\n", "x".repeat(79));
    assert!(draw(&model, 80, 24).contains(&log), "{screen}");
}

#[test]
fn a_small_one_has_what_counts() {
    let mut model = model();
    model.select(1);
    model.builds = building(&["hello-2.12.1"]);
    assert_eq!(
        draw(&model, 60, 20),
        "\
▲ degraded: cache ready, builder offline (for 3 min)
  target           state    latency  slots  since
  cache/desktop    ✔ ready   1.2 ms         for 3 h
▸ builder/desktop  ✗ down            1/8    for 3 min
    hello-2.12.1 for 2 min
── builder/desktop ───────────── 12 more lines: PgUp PgDn ──
    connect: connection refused · Connection refused (os
    error 111)
    The machine at 192.0.2.6:22 is there, but nothing
    accepts connections on that port.
    → Start the service on the desktop:
      `sudo systemctl start sshd`; `systemctl status sshd`
      says why it does not run. Where it runs, compare its
      port with the one in ssh-ng://nix-builder@192.0.2.6.

── changes ─────────────────────────────────────────────────
  3 min ago    ✗ builder/desktop down, connection refused
  3 h ago      ✔ builder/desktop ready
  3 h ago      ✔ cache/desktop ready
q quit  c check  t test build  p pause  / filter  ? help
"
    );
}

#[test]
fn a_wide_one_has_the_addresses_and_the_facts_too() {
    let mut model = model();
    model.builds = building(&["a", "b", "c", "d", "e", "f"]);
    let screen = draw(&model, 200, 60);
    let has = |part: &str| assert!(screen.contains(part), "no {part}:\n{screen}");
    has("▸ cache/desktop    ✔ ready  signature  192.0.2.6:5000   1.2 ms  ▁▂█▂▂         for 3 h\n");
    has("  builder/desktop  ✗ down   connect    192.0.2.6:22");
    has("    d for 2 min\n    and 2 more\n── cache/desktop ─");
    has("! nix-daemon has an old configuration");
    has("    uri             http://192.0.2.6:5000\n");
    assert_eq!(screen.lines().count(), 60);
    assert_eq!(screen.lines().last(), Some(HINTS));
}

#[test]
fn what_is_selected_is_seen_however_many_there_are() {
    let mut model = Model::new(false, false);
    let mut many = ready();
    let target = |i: usize| Target {
        name: format!("n{i}").into(),
        ..Target::default()
    };
    many.targets = (0..1000).map(target).collect::<Vec<_>>().into();
    model.observe(many);
    for by in [0, 1, 500, isize::MAX, -1, isize::MIN] {
        model.select(by);
        let label = model.selected().unwrap().label();
        for (width, height) in [(80, 24), (60, 20), (30, 8)] {
            let screen = draw(&model, width, height);
            assert!(
                screen.contains(&format!("▸ {label}  ")),
                "{label}:\n{screen}"
            );
        }
    }
    model.filter = "n77".to_owned();
    model.select(0);
    assert!(draw(&model, 80, 24).contains("▸ cache/n77 "));
    model.filter = "ready".to_owned();
    assert_eq!(model.shown().len(), 0);
    draw(&model, 80, 24);
}

#[test]
fn the_log_of_a_test_build_is_read_at_its_end_and_scrolled_back() {
    let mut model = model();
    model.log = Some(Log::new("builder/desktop".into(), NOW - 4_000_000));
    for i in 0..40 {
        model.log_line(format!("line {i}").into());
    }
    let screen = draw(&model, 80, 24);
    assert!(screen.contains("── test build on builder/desktop: for 4 s; x ends it ─"));
    assert!(
        screen.contains("\nline 39\n") && !screen.contains("line 1\n"),
        "{screen}"
    );
    model.scroll = 1000;
    assert!(draw(&model, 80, 24).contains("\nline 0\n"));
}

#[test]
fn who_is_not_there_is_said_and_no_target_is_shown_as_it_was() {
    let mut model = model();
    model.lose(Link::NoDaemon, NOW);
    let screen = draw(&model, 80, 24);
    assert!(screen.starts_with("? offloadd is not running: `sudo systemctl start offloadd`\n"));
    assert!(!screen.contains("✔ ready  "), "{screen}");
    assert!(
        screen.contains("just now     ? offloadd went away\n"),
        "{screen}"
    );
    model.lose(Link::NoBus, NOW);
    assert!(draw(&model, 80, 24).starts_with("? no bus: waiting for one\n"));
}

#[test]
fn a_terminal_without_other_characters_gets_none() {
    let mut model = model();
    model.ascii = true;
    for mode in [Mode::Show, Mode::Help, Mode::Filter] {
        model.mode = mode;
        let screen = draw(&model, 80, 24);
        assert!(screen.is_ascii(), "{screen}");
        assert!(
            !screen.contains('?') || mode != Mode::Show || screen.contains("? help"),
            "{screen}"
        );
    }
}

#[test]
fn no_size_is_too_small() {
    let mut model = model();
    model.builds = building(&["a"]);
    for mode in [Mode::Show, Mode::Help, Mode::Filter] {
        model.mode = mode;
        for width in 0..30 {
            for height in 0..14 {
                draw(&model, width, height);
            }
        }
    }
}
