//! Test builds with a Nix that is a script of the test's.

use std::{
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

use super::Machine;
use crate::{
    clock::Stopwatch,
    helper::{Ended, Told},
    program::Stream,
};

/// Longer than any build of these takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Two lines for the one, one for the other.
const MACHINES: &str = "ssh-ng://nix@desktop x86_64-linux /root/key 2 1 kvm - -\n\
                        ssh://nix@tower x86_64-linux - 1 1 - - -\n\
                        ssh-ng://nix@desktop aarch64-linux /root/key 1 1 - - -\n";

/// A machine with that list of builders, whose `nix-build` is `script`.
fn machine(script: &str) -> Machine {
    let machine = Machine::with(&[("nix.conf", ""), ("machines", MACHINES)]);
    let program = machine.path("bin/nix-build");
    let place = machine.path("").display().to_string();
    std::fs::create_dir(machine.path("bin")).unwrap();
    std::fs::write(&program, format!("#!/bin/sh\ncd {place}\n{script}\n")).unwrap();
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    machine
}

/// How it ends, and what is told before.
async fn build(machine: &Machine, store: &str, within: Duration) -> (io::Result<Ended>, Vec<Told>) {
    let mut all = Vec::new();
    let helper = machine.helper();
    let built = helper.build(store, within, |told| all.push(told)).await;
    (built, all)
}

async fn appears(path: &Path) {
    let since = Stopwatch::start();
    while !path.exists() {
        assert!(since.elapsed() < PATIENCE, "{}", path.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn it_builds_on_the_one_that_was_asked_for_and_on_no_other() {
    let machine = machine(
        "echo $NIX_REMOTE; for word; do echo \"$word\"; done > said\n\
         printf 'building \\033[2J\\n' >&2; echo /nix/store/path; exit 3",
    );
    let (ended, told) = build(&machine, "ssh-ng://nix@desktop", PATIENCE).await;
    assert_eq!(ended.unwrap(), Ended::Failed("exit status: 3".into()));
    let Some(Told::Begun(nonce)) = told.first() else {
        panic!("{told:?}");
    };
    let line = |stream, text: &str| Told::Line(stream, text.to_owned());
    for expected in [
        line(Stream::Output, "daemon"),
        line(Stream::Output, "/nix/store/path"),
        line(Stream::Error, "building \\x1b[2J"),
    ] {
        assert!(told.contains(&expected), "{told:?}");
    }
    let said = std::fs::read_to_string(machine.path("said")).unwrap();
    let desktop = "--builders\n\
                   ssh-ng://nix@desktop x86_64-linux /root/key 2 1 kvm - -\n\
                   ssh-ng://nix@desktop aarch64-linux /root/key 1 1 - - -\n\
                   --option\n";
    assert!(said.contains(desktop), "{said}");
    assert!(said.contains("--max-jobs\n0\n"), "{said}");
    assert!(said.contains("--timeout\n30\n"), "{said}");
    assert!(said.contains(&**nonce) && !said.contains("tower"), "{said}");
}

#[tokio::test]
async fn what_is_no_builder_of_nix_s_is_not_built_on() {
    let machine = machine("echo > ran");
    for other in [
        "",
        "auto",
        "local",
        "@/etc/nix/machines",
        "ssh-ng://nix@laptop",
        "ssh-ng://nix@desktop ",
        "ssh-ng://nix@desktop x86_64-linux",
        "ssh-ng://nix@desktop\nssh://nix@laptop",
        "ssh-ng://nix@desktop; ssh://nix@laptop",
        "ssh-ng://nix@desktop?remote-program=id",
        "--store",
        "${builtins.readFile /etc/shadow}",
    ] {
        let (ended, told) = build(&machine, other, PATIENCE).await;
        assert_eq!(
            ended.unwrap_err().kind(),
            ErrorKind::PermissionDenied,
            "{other}"
        );
        assert_eq!(told, []);
    }
    assert!(!machine.path("ran").exists());
}

#[tokio::test]
async fn a_flood_is_not_handed_over_and_ends_when_its_time_is_over() {
    let machine = machine("yes this is said again and again >&2");
    let (ended, told) = build(&machine, "ssh://nix@tower", Duration::from_secs(1)).await;
    assert_eq!(ended.unwrap(), Ended::TimedOut);
    let length = |told: &Told| match told {
        Told::Begun(_) => 0,
        Told::Line(_, line) => line.len() + 1,
    };
    let all: usize = told.iter().map(length).sum();
    assert!((1..=1 << 20).contains(&all), "{all}");
    let machine = self::machine("head -c 9000 /dev/zero | tr '\\0' a >&2");
    let (_, told) = build(&machine, "ssh://nix@tower", PATIENCE).await;
    assert!(told.iter().all(|told| length(told) <= 1025), "{told:?}");
}

#[tokio::test]
async fn it_ends_with_all_that_it_started_when_who_asked_is_gone() {
    let machine = machine("sleep 1000 & echo $$ > tmp; mv tmp pid; wait");
    let helper = machine.helper();
    let building = helper.build("ssh://nix@tower", PATIENCE, |_| ());
    let pid = machine.path("pid");
    tokio::select! {
        ended = building => panic!("{ended:?}"),
        () = appears(&pid) => {}
    }
    // The future is dropped, and the connection with it.
    ends(&std::fs::read_to_string(pid).unwrap()).await;
}

/// Waits until the process group of this number is gone.
async fn ends(group: &str) {
    let group = rustix::process::Pid::from_raw(group.trim().parse().unwrap()).unwrap();
    let since = Stopwatch::start();
    while rustix::process::test_kill_process_group(group).is_ok() {
        assert!(since.elapsed() < PATIENCE, "it goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn no_more_than_eight_run_at_once_and_files_are_opened_meanwhile() {
    let machine = machine("touch $$.runs; sleep 1000");
    let helper = machine.helper();
    let build = |_| helper.build("ssh://nix@tower", PATIENCE, |_| ());
    let eight = futures_util::future::join_all((0..8).map(build));
    let running = || -> Vec<String> {
        let files = std::fs::read_dir(machine.path("")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let groups = names.filter_map(|name| Some(name.strip_suffix(".runs")?.to_owned()));
        groups.collect()
    };
    let all = async {
        let since = Stopwatch::start();
        while running().len() < 8 {
            assert!(since.elapsed() < PATIENCE, "{:?} run", running());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let one_more = build(9).await.unwrap_err();
        assert_eq!(one_more.kind(), ErrorKind::PermissionDenied, "{one_more}");
        assert_eq!(machine.in_etc("nix.conf").unwrap(), "");
    };
    tokio::select! {
        ended = eight => panic!("{ended:?}"),
        () = all => {}
    }
    // Nobody asks any more.
    for group in running() {
        ends(&group).await;
    }
}
