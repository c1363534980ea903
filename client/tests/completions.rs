//! The completions are scripts that their shells take.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::{Command, Stdio};

use common::program::{command, finish};

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

#[tokio::test]
async fn the_manual_page_is_in_the_program() {
    let run = finish(command(&["man"])).await;
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains(".TH offloadctl 1"), "{}", run.stdout);
    assert_eq!(finish(command(&["man", "--json"])).await.code, 64);
}
