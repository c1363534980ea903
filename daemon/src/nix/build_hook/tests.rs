use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use proptest::{
    collection::vec, prelude::*, sample::subsequence, strategy::ValueTree, test_runner::TestRunner,
};
use rustix::fs::{FlockOperation, flock};

use super::*;
use crate::nix::{current_load, version::NixVersion};

const SYSTEMS: [&str; 3] = ["x86_64-linux", "i686-linux", "aarch64-linux"];
const FEATURES: [&str; 4] = ["kvm", "big-parallel", "benchmark", "gpu"];

/// A machine that nobody can reach, so that Nix tries the next.
fn machine(store: u8) -> Machine {
    Machine {
        // Not ssh: a socket that is not there fails at once.
        uri: format!("unix:///none/m{store}"),
        systems: vec!["x86_64-linux".to_owned()],
        ssh_key: None,
        max_jobs: 1,
        speed_factor: 1.0,
        supported_features: Vec::new(),
        mandatory_features: Vec::new(),
        host_key: None,
        file: "/etc/nix/machines".into(),
        line: None,
    }
}

fn build(system: &str, features: &[&str]) -> Build {
    Build {
        system: system.to_owned(),
        features: features.iter().map(|it| (*it).to_owned()).collect(),
        prefers_local: false,
    }
}

fn order_of(build: &Build, machines: &[(Machine, u32)], version: NixVersion) -> Vec<usize> {
    let lines = machines.iter();
    let lines = lines.map(|(machine, in_use)| Line {
        machine,
        in_use: *in_use,
    });
    order(build, &lines.collect::<Vec<_>>(), version)
}

#[test]
fn the_freest_then_the_fastest_then_the_first_is_tried() {
    let with = |store, max_jobs, speed_factor, in_use| {
        let machine = Machine {
            max_jobs,
            speed_factor,
            ..machine(store)
        };
        (machine, in_use)
    };
    let new = NixVersion::new(2, 34, 8);
    let any = build("x86_64-linux", &[]);
    let tried = |machines: &[(Machine, u32)], version| order_of(&any, machines, version);
    assert_eq!(
        tried(
            &[with(0, 4, 1.0, 0), with(1, 4, 2.0, 0), with(2, 4, 1.0, 0)],
            new
        ),
        [1, 0, 2]
    );
    assert_eq!(
        tried(&[with(0, 4, 1.0, 1), with(1, 4, 1.0, 0)], new),
        [1, 0]
    );
    assert_eq!(
        tried(&[with(0, 4, 4.0, 2), with(1, 4, 1.0, 1)], new),
        [0, 1]
    );
    assert_eq!(tried(&[with(0, 1, 9.0, 1), with(1, 4, 1.0, 3)], new), [1]);
    // What is divided is a whole number in older versions: both shares are nothing.
    let pair = [with(0, 8, 4.0, 3), with(1, 8, 4.0, 1)];
    assert_eq!(tried(&pair, new), [1, 0]);
    let pair = [with(0, 8, 8.0, 3), with(1, 8, 4.0, 0)];
    assert_eq!(
        (tried(&pair, new), tried(&pair, NixVersion::new(2, 8, 0))),
        (vec![1, 0], vec![0, 1])
    );
}

#[test]
fn what_keeps_a_build_away_is_told_whole() {
    let here = Here {
        systems: vec!["x86_64-linux".to_owned()],
        features: vec!["kvm".to_owned()],
        max_jobs: 0,
    };
    let wanted = build("aarch64-linux", &["kvm", "gpu"]);
    let gpu = || Obstacle::Feature("gpu".to_owned());
    assert_eq!(
        here.obstacles(&wanted),
        [Obstacle::System, gpu(), Obstacle::NoSlots]
    );
    assert_eq!(here.obstacles(&build("builtin", &["gpu"])), []);
    let machine = Machine {
        supported_features: vec!["kvm".to_owned()],
        mandatory_features: vec!["benchmark".to_owned()],
        ..machine(0)
    };
    let benchmark = Obstacle::Mandatory("benchmark".to_owned());
    assert_eq!(
        obstacles(&wanted, &machine),
        [Obstacle::System, gpu(), benchmark]
    );
    assert_eq!(
        obstacles(&build("x86_64-linux", &["kvm", "benchmark"]), &machine),
        []
    );
}

#[test]
fn nix_tries_the_same_machines_in_the_same_order() {
    let Some(version) = installed() else {
        println!("skipped: no nix");
        return;
    };
    let mut runner = TestRunner::deterministic();
    let cases = (builds(), vec(lines(version), 1..5));
    for _ in 0..60 {
        let (build, machines) = cases.new_tree(&mut runner).unwrap().current();
        let state = tempfile::tempdir().unwrap();
        let held = hold(&machines, state.path());
        // Two lines of one store have the same slots, and more of them are held than the line's own says.
        let machines: Vec<(Machine, u32)> = machines
            .iter()
            .map(|(machine, _)| {
                let slots = current_load::slots(state.path(), &machine.uri);
                let (used, _) =
                    current_load::in_use([(slots.as_slice(), machine.max_jobs)]).unwrap();
                (machine.clone(), used)
            })
            .collect();
        let tried = order_of(&build, &machines, version);
        let is_full = |(place, (machine, _)): (usize, &(Machine, u32))| {
            let suits = obstacles(&build, machine)
                .iter()
                .all(|it| *it == Obstacle::NoSlots);
            suits && !tried.contains(&place)
        };
        // What this machine can build it does rather than wait.
        let waits = machines.iter().enumerate().any(is_full) && build.system != "x86_64-linux";
        let reply = if waits { "# postpone" } else { "# decline" };
        let stores = tried.iter().map(|place| machines[*place].0.uri.clone());
        let said = ask_nix(&build, &machines, state.path(), version);
        assert_eq!(
            said,
            (stores.collect(), reply.to_owned()),
            "{build:?} {machines:#?}"
        );
        drop(held);
    }
}

fn builds() -> impl Strategy<Value = Build> {
    let system = prop::sample::select(&SYSTEMS[..]);
    let features = subsequence(&FEATURES[..], 0..2);
    (system, features).prop_map(|(system, features)| build(system, &features))
}

fn lines(version: NixVersion) -> impl Strategy<Value = (Machine, u32)> {
    let least = if version.has_whole_speed_factors() {
        3.0
    } else {
        0.5
    };
    let speeds = [1.0, 2.0, least];
    let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let parts = (
        0..3_u8,
        subsequence(&SYSTEMS[..], 1..3),
        0..4_u32,
        prop::sample::select(speeds.to_vec()),
        subsequence(&FEATURES[..], 0..4),
        subsequence(&FEATURES[..], 0..2),
        0..3_u32,
    );
    parts.prop_map(
        move |(store, systems, max_jobs, speed_factor, supported, mandatory, held)| {
            let machine = Machine {
                systems: words(systems),
                max_jobs,
                speed_factor,
                supported_features: words(supported),
                mandatory_features: words(mandatory),
                ..machine(store)
            };
            (machine, held)
        },
    )
}

/// Holds the first slots of each, as builds do.
fn hold(machines: &[(Machine, u32)], state: &Path) -> Vec<File> {
    fs::create_dir(state.join("current-load")).unwrap();
    let slots = machines.iter().flat_map(|(machine, held)| {
        let prefixes = current_load::slots(state, &machine.uri).into_iter();
        prefixes.flat_map(move |prefix| {
            (0..*held).map(move |number| format!("{}{number}", prefix.display()))
        })
    });
    slots
        .filter_map(|path| {
            let file = File::create(path).unwrap();
            flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
            Some(file)
        })
        .collect()
}

fn installed() -> Option<NixVersion> {
    match Command::new("nix").arg("--version").output() {
        Ok(said) => NixVersion::parse(&String::from_utf8_lossy(&said.stdout)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

/// Which stores Nix's hook tries to reach, and what it answers.
fn ask_nix(
    build: &Build,
    machines: &[(Machine, u32)],
    state: &Path,
    version: NixVersion,
) -> (Vec<String>, String) {
    let lines: Vec<String> = machines
        .iter()
        .map(|(machine, _)| machine.to_string())
        .collect();
    let settings = [
        ("builders", lines.join(";")),
        ("system", "x86_64-linux".to_owned()),
        ("extra-platforms", String::new()),
        ("system-features", FEATURES.join(" ")),
    ];
    let mut question = Vec::new();
    let number = |number: u64, to: &mut Vec<u8>| to.extend(number.to_le_bytes());
    let string = |text: &str, to: &mut Vec<u8>| {
        number(text.len() as u64, to);
        to.extend(text.as_bytes());
        to.extend(vec![0; text.len().next_multiple_of(8) - text.len()]);
    };
    for (name, value) in &settings {
        number(1, &mut question);
        string(name, &mut question);
        string(value, &mut question);
    }
    number(0, &mut question);
    string("try", &mut question);
    number(1, &mut question);
    string(&build.system, &mut question);
    string(
        "/nix/store/00000000000000000000000000000000-a.drv",
        &mut question,
    );
    number(build.features.len() as u64, &mut question);
    for feature in &build.features {
        string(feature, &mut question);
    }
    // As Nix starts it; with what the builder's ssh says on descriptor 5.
    let mut hook = if version < NixVersion::new(2, 10, 0) {
        let mut hook = Command::new("nix");
        hook.arg0("build-remote").arg("3");
        hook
    } else {
        let mut hook = Command::new("sh");
        hook.args(["-c", "exec nix __build-remote 3 5< /dev/null"]);
        hook
    };
    let mut hook = hook
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", state)
        .env("NIX_CONF_DIR", state)
        .env("NIX_STATE_DIR", state)
        .env("NIX_REMOTE", "dummy://")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    hook.stdin.take().unwrap().write_all(&question).unwrap();
    let said = hook.wait_with_output().unwrap().stderr;
    let said = String::from_utf8_lossy(&said);
    let tried = said.lines().filter(|line| line.contains("cannot build on"));
    let tried = tried.map(|line| {
        let (_, rest) = line.split_once("unix:///none/").unwrap();
        format!("unix:///none/{}", &rest[..2])
    });
    let reply = said.lines().filter(|line| line.starts_with("# "));
    (tried.collect(), reply.collect())
}
