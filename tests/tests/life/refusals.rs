//! What a daemon can't start or go on with ends it, with the exit status that says which, and a
//! sentence that says what to do.

use std::{fs, time::Duration};

use offload_tests::{
    Bus, Daemon,
    daemon::{Launch, program},
    eventually,
    outcome::{Outcome, command, isolate, run_to_end},
    skip::is_root,
};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(10);
const NOTHING: &str = "[nix]\nimport = false\n";

/// `offloadd` with `config` as its configuration file, run to its end.
async fn offloadd(config: &str, arguments: &[&str]) -> (Outcome, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, config).unwrap();
    let mut command = command("offloadd").unwrap();
    command.arg("--config").arg(&file).args(arguments);
    let outcome = run_to_end(command).await.unwrap();
    (outcome, file.display().to_string())
}

async fn start(bus: &Bus) -> Daemon {
    let daemon = Daemon::start(Launch {
        config: NOTHING.into(),
        bus: bus.address(),
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    daemon
}

#[tokio::test]
async fn a_broken_configuration_is_named_by_file_line_and_key() {
    for arguments in [&["--bus", "system"][..], &["--check-config"], &["--once"]] {
        let (outcome, file) = offloadd("[poll]\nintervall = \"30s\"\n", arguments).await;
        assert_eq!(outcome.code, Some(78), "{arguments:?}: {outcome:?}");
        assert_eq!(outcome.stdout, "");
        let named = format!("{file}:2: poll.intervall: ");
        assert!(outcome.stderr.contains(&named), "{}", outcome.stderr);
        let nearest = "did you mean \"interval\"?";
        assert!(outcome.stderr.contains(nearest), "{}", outcome.stderr);
    }
}

#[tokio::test]
async fn every_mistake_is_told_at_once() {
    let config = "[poll]\ninterval = \"soon\"\n[nix]\nconfig = \"x\"\n";
    let (outcome, _) = offloadd(config, &["--check-config"]).await;
    assert_eq!(outcome.code, Some(78));
    for named in ["poll.interval", "nix.config"] {
        assert!(outcome.stderr.contains(named), "{}", outcome.stderr);
    }
}

#[tokio::test]
async fn a_valid_configuration_says_what_would_be_watched() {
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("nix.conf");
    fs::write(&conf, "substituters = http://127.0.15.6:5000\nbuilders =\n").unwrap();
    let config = format!(
        "[nix]\nconf = \"{}\"\n[[builder]]\nname = \"tower\"\nuri = \"ssh-ng://nix@127.0.15.7\"\n",
        conf.display()
    );
    let (outcome, file) = offloadd(&config, &["--check-config"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for line in [
        format!(
            "#   cache/127.0.15.6  http://127.0.15.6:5000  ({}:1)",
            conf.display()
        ),
        format!("#   builder/tower     ssh-ng://nix@127.0.15.7  ({file}:5)"),
    ] {
        assert!(outcome.stdout.contains(&line), "{line}: {}", outcome.stdout);
    }
    let (outcome, _) = offloadd(&config, &["--check-config", "--json"]).await;
    let document: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["targets"][1]["uri"], "ssh-ng://nix@127.0.15.7");
    let (outcome, _) = offloadd(NOTHING, &["--check-config"]).await;
    assert!(
        outcome.stdout.contains("# nothing would be watched"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_configuration_file_that_was_asked_for_must_be_there() {
    let mut command = command("offloadd").unwrap();
    command.args(["--config", "/nonexistent/config.toml", "--check-config"]);
    let outcome = run_to_end(command).await.unwrap();
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
    assert!(
        outcome.stderr.contains("/nonexistent/config.toml"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_wrong_command_line_is_a_usage_error() {
    for (arguments, told) in [
        (&["--frobnicate"][..], "--frobnicate"),
        (&["--cache", "ftp://desktop"], "--cache"),
        (&["--bus", "nowhere"], "system, session, embedded"),
    ] {
        let (outcome, _) = offloadd(NOTHING, arguments).await;
        assert_eq!(outcome.code, Some(64), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(told), "{arguments:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn help_and_a_mistake_are_in_the_language_of_the_locale() {
    let told = async |argument: &str| {
        let mut command = command("offloadd").unwrap();
        command.arg(argument).env("LC_ALL", "pt_BR.UTF-8");
        run_to_end(command).await.unwrap()
    };
    let help = told("--help").await;
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{help:?}");
    assert!(help.stdout.contains("\nUso: offloadd "), "{help:?}");
    for english in ["Usage", "Options", "Watch", "Print", "default", "Check"] {
        assert!(!help.stdout.contains(english), "{english}: {help:?}");
    }
    let mistake = told("--frobnicate").await;
    assert_eq!((mistake.code, mistake.stdout.as_str()), (Some(64), ""));
    assert!(
        mistake
            .stderr
            .starts_with("erro: argumento inesperado '--frobnicate'"),
        "{mistake:?}"
    );
}

#[tokio::test]
async fn a_second_daemon_on_the_same_bus_gives_way() {
    let bus = Bus::start().await.unwrap();
    let first = start(&bus).await;
    let (outcome, _) = offloadd(NOTHING, &["--bus", &bus.address()]).await;
    assert_eq!(outcome.code, Some(69), "{outcome:?}");
    let told = "another offloadd owns org.offloadd.Offload1";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert!(fs::exists(format!("/proc/{}", first.id())).unwrap());
    assert_eq!(first.log().matches("ERROR").count(), 0, "{}", first.log());
}

#[tokio::test]
async fn a_bus_that_does_not_let_it_have_the_name_has_not_read_the_policy() {
    if !is_root("becoming another user") {
        return;
    }
    let bus = Bus::start().await.unwrap();
    let mut command = Command::new("setpriv");
    isolate(&mut command);
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(program("offloadd").unwrap())
        .args(["--bus", &bus.address(), "--cache", "http://127.0.15.6:5000"]);
    let outcome = run_to_end(command).await.unwrap();
    assert_eq!(outcome.code, Some(69), "{outcome:?}");
    for told in ["org.offloadd.Offload1.conf", "`systemctl reload dbus`"] {
        assert!(outcome.stderr.contains(told), "{outcome:?}");
    }
}

#[tokio::test]
async fn without_a_bus_it_says_which() {
    let address = "unix:path=/nonexistent/bus";
    for bus in ["system", address] {
        let (outcome, _) = offloadd(NOTHING, &["--bus", bus]).await;
        assert_eq!(outcome.code, Some(69), "{outcome:?}");
        assert!(
            outcome.stderr.contains("the bus can't be used"),
            "{outcome:?}"
        );
        assert!(outcome.stderr.contains("No such file"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_bus_that_dies_takes_the_daemon_with_it() {
    let mut bus = Bus::start().await.unwrap();
    let mut daemon = start(&bus).await;
    bus.stop();
    let status = daemon.wait_exit().await.unwrap();
    assert_eq!(status.code(), Some(69), "{}", daemon.log());
    assert!(daemon.log().contains("the bus is gone"), "{}", daemon.log());
    eventually(PATIENCE, "STOPPING=1", async || {
        let messages = daemon.messages();
        let stopping = messages.iter().any(|m| m.get("STOPPING") == Some("1"));
        stopping.then_some(())
    })
    .await
    .unwrap();
}
