//! The scripts of the desktop's module, run.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::evaluated::evaluated;

/// The forced command, with programs that say how they were called in place of Nix's.
struct Shell {
    directory: TempDir,
}

impl Shell {
    fn new(script: &str) -> Self {
        let shell = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let bin = shell.directory.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in ["nix", "nix-daemon", "nix-store"] {
            let path = bin.join(program);
            fs::write(&path, format!("#!/bin/sh\necho {program} \"$@\"\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let script = script.replace("@bin@", bin.to_str().unwrap());
        fs::write(shell.script(), script).unwrap();
        shell
    }

    fn script(&self) -> std::path::PathBuf {
        self.directory.path().join("shell")
    }

    /// As sshd does it.
    fn ask(&self, command: &str) -> Output {
        let mut shell = Command::new("bash");
        shell.arg(self.script()).env_clear();
        shell.env("SSH_ORIGINAL_COMMAND", command);
        shell.output().unwrap()
    }

    fn answer(&self, command: &str) -> String {
        let output = self.ask(command);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn the_key_runs_what_nix_runs_and_nothing_else() {
    let Some(evaluated) = evaluated() else { return };
    let shell = Shell::new(evaluated["commands"].as_str().unwrap());
    for command in ["nix-daemon --stdio", "nix-store --serve --write"] {
        assert_eq!(shell.answer(command), format!("{command}\n"));
    }
    assert_eq!(shell.answer("true"), "");
    let canary = shell.directory.path().join("canary");
    let touch = format!("touch {}", canary.display());
    for command in [
        "",
        "sh",
        &touch,
        &format!("nix-daemon --stdio; {touch}"),
        &format!("nix-daemon --stdio\n{touch}"),
        &format!("nix-store --serve --write $({touch})"),
        &format!("nix-store --serve --write --store '/srv?x=`{touch}`'"),
    ] {
        let output = shell.ask(command);
        assert_eq!(output.status.code(), Some(126), "{command:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{command:?}: {output:?}");
    }
    assert!(!canary.exists());
}

#[test]
fn offloadd_s_question_is_answered_and_not_run() {
    let Some(evaluated) = evaluated() else { return };
    let shell = Shell::new(evaluated["commands"].as_str().unwrap());
    let canary = shell.directory.path().join("canary");
    let question = question();
    let identity = |path: &str| fs::read_to_string(path).unwrap();
    let expected = format!(
        "{}{}nix --option extra-experimental-features nix-command config show --json\n",
        identity("/proc/sys/kernel/random/boot_id"),
        identity("/proc/sys/kernel/hostname"),
    );
    // How much room its store has, where it has one.
    let answer = |question: &str| {
        let answer = shell.answer(question);
        let end = answer.find("store ").unwrap_or(answer.len());
        let (answer, room) = answer.split_at(end);
        let room = room.strip_prefix("store ").unwrap_or_default();
        assert!(
            room.split_whitespace().all(|n| n.parse::<u64>().is_ok()),
            "{room}"
        );
        answer.to_owned()
    };
    assert_eq!(answer(&question), expected);
    let worse = format!("{question}; touch {}", canary.display());
    assert_eq!(answer(&worse), expected);
    assert!(!canary.exists());
}

#[test]
fn the_signing_key_is_made_with_its_public_half_beside_it() {
    let Some(evaluated) = evaluated() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state/signing-key");
    let script = evaluated["signingKey"].as_str().unwrap();
    let script = script.replace("@file@", file.to_str().unwrap());
    let output = Command::new("bash")
        .args(["-c", &format!("umask 077\n{script}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let public = fs::read_to_string(file.with_extension("pub")).unwrap();
    assert!(public.starts_with("desktop-1:"), "{public}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(public.trim()), "{told}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&file.with_extension("pub")), 0o644);
    assert_eq!(mode(file.parent().unwrap()), 0o755);
}

/// What the daemon asks, from its own source: it has no other way to say it.
fn question() -> String {
    let source = crate::evaluated::root().join("daemon/src/probe/builder/system.rs");
    let source = fs::read_to_string(source).unwrap();
    let body = source.split("fn question(").nth(1).unwrap();
    let texts: Vec<String> = body
        .split("format!(")
        .skip(1)
        .take(2)
        .map(|rest| rest.split('"').nth(1).unwrap().replace("\\\n         ", ""))
        .collect();
    let nix = texts[0].replace("{nix}", "nix");
    texts[1].replace("{nix}", &nix)
}
