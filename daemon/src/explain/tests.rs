use offload_client::{Reason, snapshot::Targets};

use super::*;
use crate::{
    nix::{Machine, NixVersion, build_hook},
    target::TargetId,
};

fn hook(names: &[&str]) -> Hook {
    let line = |name: &&str| HookLine {
        machine: Machine {
            uri: format!("ssh://{name}"),
            systems: vec!["x86_64-linux".to_owned(), "aarch64-linux".to_owned()],
            ssh_key: None,
            max_jobs: 2,
            speed_factor: 1.0,
            supported_features: vec!["kvm".to_owned()],
            mandatory_features: Vec::new(),
            host_key: None,
            file: "/etc/nix/machines".into(),
            line: None,
        },
        uri: format!("ssh://{name}").into(),
        source: "/etc/nix/machines:1".into(),
        target: Some(TargetId::builder(name)),
        slots: Vec::new(),
    };
    Hook {
        is_known: true,
        version: NixVersion::new(2, 34, 8),
        here: build_hook::Here {
            systems: vec!["x86_64-linux".to_owned()],
            features: Vec::new(),
            max_jobs: 4,
        },
        lines: names.iter().map(line).collect(),
        unused: Reason::None,
    }
}

fn snapshot(states: &[(&str, TargetState, Reason, Stage)]) -> Snapshot {
    let target = |(name, state, reason, stage): &(&str, TargetState, Reason, Stage)| Target {
        name: (*name).into(),
        kind: Kind::Builder,
        state: *state,
        reason: *reason,
        stage: *stage,
        ..Target::default()
    };
    Snapshot {
        targets: states.iter().map(target).collect::<Targets>(),
        ..Snapshot::default()
    }
}

fn build(system: &str, features: &[&str]) -> Build {
    Build {
        system: system.to_owned(),
        features: features.iter().map(|it| (*it).to_owned()).collect(),
        prefers_local: false,
    }
}

const READY: (TargetState, Reason, Stage) = (TargetState::Ready, Reason::None, Stage::System);
const OFF: (TargetState, Reason, Stage) = (TargetState::Down, Reason::TimedOut, Stage::Connect);

fn fate(
    build: &Build,
    hook: &Hook,
    states: &[(TargetState, Reason, Stage)],
    taken: u32,
) -> (Fate, Option<usize>) {
    let names = ["a", "b"];
    let states = names.iter().zip(states);
    let states: Vec<_> = states
        .map(|(name, (state, reason, stage))| (*name, *state, *reason, *stage))
        .collect();
    let explained = explain_with(build, hook, &snapshot(&states), |_| Some(taken));
    (explained.fate, explained.builder)
}

#[test]
fn a_build_goes_to_the_first_that_nix_reaches() {
    let hook = hook(&["a", "b"]);
    let native = build("x86_64-linux", &[]);
    let wants = |states: &[_]| fate(&native, &hook, states, 0);
    assert_eq!(wants(&[READY, READY]), (Fate::Builder, Some(0)));
    assert_eq!(wants(&[OFF, READY]), (Fate::Builder, Some(1)));
    assert_eq!(wants(&[OFF, OFF]), (Fate::Here, None));
    let refused = (TargetState::Degraded, Reason::AuthRejected, Stage::Auth);
    assert_eq!(wants(&[refused, READY]), (Fate::Builder, Some(1)));
    let moved = (TargetState::Degraded, Reason::AddressMoved, Stage::System);
    assert_eq!(wants(&[moved, READY]), (Fate::Builder, Some(1)));
    // It has the connection, and the build fails or is copied in vain there.
    let lacking = (TargetState::Degraded, Reason::SystemMissing, Stage::System);
    assert_eq!(wants(&[lacking, READY]), (Fate::Builder, Some(0)));
    let unseen = (TargetState::Unknown, Reason::NotVisible, Stage::Auth);
    assert_eq!(wants(&[unseen, READY]), (Fate::Unknown, Some(0)));
    assert_eq!(wants(&[OFF, unseen]), (Fate::Unknown, Some(1)));
}

#[test]
fn a_build_that_nobody_reached_can_have_stays_waits_or_fails() {
    let hook = hook(&["a", "b"]);
    let foreign = build("aarch64-linux", &[]);
    assert_eq!(fate(&foreign, &hook, &[OFF, OFF], 0), (Fate::Nowhere, None));
    assert_eq!(
        fate(&foreign, &hook, &[READY, READY], 2),
        (Fate::Waits, None)
    );
    let native = build("x86_64-linux", &[]);
    assert_eq!(fate(&native, &hook, &[READY, READY], 2), (Fate::Here, None));
    let gpu = build("x86_64-linux", &["gpu"]);
    assert_eq!(fate(&gpu, &hook, &[READY, READY], 0), (Fate::Nowhere, None));
    let none = Hook {
        lines: Vec::new(),
        ..hook
    };
    assert_eq!(fate(&native, &none, &[], 0), (Fate::Here, None));
}

#[test]
fn what_has_no_slots_at_all_is_waited_for() {
    let mut hook = hook(&["a"]);
    hook.lines[0].machine.max_jobs = 0;
    let foreign = build("aarch64-linux", &[]);
    assert_eq!(fate(&foreign, &hook, &[READY], 0), (Fate::Waits, None));
}

#[test]
fn what_prefers_this_machine_stays_where_it_can() {
    let hook = hook(&["a"]);
    let prefers = |system: &str| Build {
        prefers_local: true,
        ..build(system, &[])
    };
    assert_eq!(
        fate(&prefers("x86_64-linux"), &hook, &[READY], 0),
        (Fate::Here, None)
    );
    assert_eq!(
        fate(&prefers("aarch64-linux"), &hook, &[READY], 0),
        (Fate::Builder, Some(0))
    );
}

#[test]
fn each_machine_says_why_not() {
    let hook = hook(&["a", "b"]);
    let states = [("a", OFF.0, OFF.1, OFF.2)];
    let wanted = build("riscv64-linux", &["gpu", "tpu"]);
    let explained = explain_with(&wanted, &hook, &snapshot(&states), |_| Some(0));
    let told: Vec<(Obstacle, usize)> = explained.builders[0]
        .obstacles
        .iter()
        .map(|it| (it.obstacle, it.features.len()))
        .collect();
    assert_eq!(told, [(Obstacle::System, 0), (Obstacle::Feature, 2)]);
    assert_eq!(explained.builders[0].reason, Reason::TimedOut);
    // Not watched.
    assert_eq!(explained.builders[1].name, None);
    assert_eq!(explained.here.obstacles, explained.builders[0].obstacles);
    let full = explain_with(
        &build("x86_64-linux", &[]),
        &hook,
        &snapshot(&states),
        |_| Some(2),
    );
    assert_eq!(full.builders[0].obstacles[0].obstacle, Obstacle::SlotsTaken);
}
