//! The completions are scripts that their shells take.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use common::{
    Bus,
    fake::{Fake, ready},
    program::{command, finish, offloadctl},
};

/// Every command, so that none is left out.
const COMMANDS: [&str; 19] = [
    "status",
    "check",
    "discover",
    "watch",
    "bar",
    "connect",
    "wait",
    "hold",
    "is-ready",
    "test-build",
    "doctor",
    "history",
    "pause",
    "resume",
    "steer",
    "completions",
    "man",
    "help",
    "--any-builder",
];

async fn script(shell: &str) -> String {
    let run = finish(command(&["completions", shell])).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{shell}");
    run.stdout
}

#[tokio::test]
async fn each_shell_has_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = script(shell).await;
        for word in COMMANDS {
            let word = match shell {
                "fish" => word.trim_start_matches("--"),
                _ => word,
            };
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let run = finish(command(&["completions", "csh"])).await;
    assert_eq!(run.code, 64);
}

#[tokio::test]
async fn bash_completes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("offloadctl");
    std::fs::write(&file, script("bash").await).unwrap();
    let complete = format!(
        ". {}\nCOMP_WORDS=(offloadctl ho) COMP_CWORD=1\n_offloadctl offloadctl ho offloadctl\n\
         echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let bash = Command::new("bash")
        .args(["--norc", "-c", &complete])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&bash.stdout),
        String::from_utf8_lossy(&bash.stderr),
    );
    assert_eq!((out.trim(), err.trim()), ("hold", ""));
}

#[tokio::test]
async fn zsh_and_fish_read_theirs() {
    for (shell, without_running) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("completions");
        std::fs::write(&file, script(shell).await).unwrap();
        let read = Command::new(shell)
            .arg(without_running)
            .arg(&file)
            .stdin(Stdio::null())
            .output();
        match read {
            Ok(read) => {
                let complaints = String::from_utf8_lossy(&read.stderr);
                assert_eq!((read.status.code(), &*complaints), (Some(0), ""), "{shell}");
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: {shell} is not installed");
            }
            Err(error) => panic!("{shell}: {error}"),
        }
    }
}

/// What a shell says to `script` where the program is on its PATH, and the daemon on the system bus.
async fn shell(name: &str, args: &[&str], script: &str, bus: &Bus) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_offloadctl"));
    let path = std::env::var("PATH").unwrap();
    let mut shell = tokio::process::Command::new(name);
    shell
        .args(args)
        .args(["-c", script])
        .env(
            "PATH",
            format!("{}:{path}", program.parent().unwrap().display()),
        )
        .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
        .env("OFFLOADD_RUNTIME_DIR", "/nonexistent")
        .stdin(Stdio::null());
    let told = shell.output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stderr), "", "{name}");
    String::from_utf8(told.stdout).unwrap()
}

fn is_installed(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: {shell} is not installed");
    }
    found
}

/// A daemon with a name that a shell would run, if it were given it.
async fn with_a_hostile_name(bus: &Bus) -> Fake {
    let mut snapshot = ready();
    let mut hostile = snapshot.targets[1].clone();
    hostile.name = "$(touch /tmp/offloadd-was-here)".into();
    snapshot.targets = snapshot.targets.iter().cloned().chain([hostile]).collect();
    Fake::start(bus, snapshot).await
}

#[tokio::test]
async fn the_names_of_targets_are_offered_and_what_is_more_than_a_word_is_not() {
    let bus = Bus::start().await;
    let none = offloadctl(&bus, &["completions", "targets"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (4, ""));
    let _fake = with_a_hostile_name(&bus).await;
    for (whose, names) in [
        ("targets", "desktop\ncache/desktop\nbuilder/desktop\n"),
        ("builders", "desktop\n"),
        ("caches", "desktop\n"),
    ] {
        let run = offloadctl(&bus, &["completions", whose]).await;
        assert_eq!((run.code, run.stdout.as_str()), (0, names), "{whose}");
    }
    // They are the scripts' own matter.
    let help = finish(command(&["completions", "--help"])).await.stdout;
    assert!(!help.contains("targets"), "{help}");
}

#[tokio::test]
async fn each_shell_offers_the_names_of_targets() {
    let bus = Bus::start().await;
    let _fake = with_a_hostile_name(&bus).await;
    let directory = tempfile::tempdir().unwrap();
    let file = |shell: &str| directory.path().join(shell);
    for shell in ["bash", "zsh", "fish"] {
        std::fs::write(file(shell), script(shell).await).unwrap();
    }
    let complete = format!(
        ". {}\ncomplete_one() {{ COMP_WORDS=(offloadctl \"$1\" \"$2\") COMP_CWORD=2; \
         _offloadctl offloadctl \"$2\" \"$1\"; echo \"${{COMPREPLY[@]}}\"; }}\n\
         complete_one status d\ncomplete_one wait cache\ncomplete_one test-build d\ncomplete_one forget-misses d",
        file("bash").display()
    );
    let told = shell("bash", &["--norc"], &complete, &bus).await;
    assert_eq!(told, "desktop\ncache/desktop\ndesktop\ndesktop\n");
    if is_installed("fish") {
        let complete = format!(
            "source {}; for it in status hold test-build forget-misses; complete -C \"offloadctl $it d\"; end",
            file("fish").display()
        );
        let told = shell("fish", &["--no-config"], &complete, &bus).await;
        assert_eq!(told, "desktop\n".repeat(4));
    }
    if is_installed("zsh") {
        let script = std::fs::read_to_string(file("zsh")).unwrap();
        assert_eq!(script.matches(":_offloadctl_names targets'").count(), 7);
        assert_eq!(script.matches(":_offloadctl_names builders'").count(), 1);
        assert_eq!(script.matches(":_offloadctl_names caches'").count(), 1);
        // compadd is there within a completion alone; what it would be given is all that counts.
        let complete = format!(
            "compdef() {{}}; source {}; compadd() {{ print -r -- $@ : $names; }}; _offloadctl_names -J group builders",
            file("zsh").display()
        );
        let told = shell("zsh", &["-f"], &complete, &bus).await;
        assert_eq!(told, "-J group -a names : desktop\n");
    }
}

#[tokio::test]
async fn the_manual_page_is_in_the_program() {
    let run = finish(command(&["man"])).await;
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains(".TH offloadctl 1"), "{}", run.stdout);
    assert_eq!(finish(command(&["man", "--json"])).await.code, 64);
}
