//! The programs that the daemon runs leave nothing behind: not after a check, not after its end.

use std::{fs, path::Path, process, time::Duration};

use offload_tests::{
    Bus, Daemon,
    daemon::{Launch, program},
    eventually,
    process::Process,
};
use rustix::process::Signal;
use tempfile::NamedTempFile;

const PATIENCE: Duration = Duration::from_secs(20);

/// A program that ends long after this test, and is no other's.
fn sleeper(test: u32) -> String {
    format!(
        "sleep {}",
        100_000 + u64::from(process::id()) * 10 + u64::from(test)
    )
}

/// How many processes run `command` itself, whoever started them.
fn running(command: &str) -> usize {
    let wanted = command.replace(' ', "\0") + "\0";
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            line == wanted.as_bytes()
        })
        .count()
}

async fn becomes(count: usize, command: &str) {
    let what = format!("{count} of '{command}'");
    let counted = async || (running(command) == count).then_some(());
    eventually(PATIENCE, &what, counted).await.unwrap();
}

fn ssh_config(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

const CONFIG: &str = "[poll]\ninterval = \"5m\"\ntimeout = \"5m\"\ndeep_timeout = \"5m\"\n[nix]\nimport = false\n\
     [[builder]]\nname = \"desktop\"\nuri = \"ssh-ng://nix-builder@127.0.15.6\"\n";

fn launch(bus: &Bus, ssh_config: &Path) -> Launch {
    Launch {
        config: CONFIG.to_owned(),
        bus: bus.address(),
        environment: vec![(
            "NIX_SSHOPTS".into(),
            format!("-F '{}'", ssh_config.display()),
        )],
        ..Launch::default()
    }
}

#[tokio::test]
async fn what_match_exec_starts_ends_with_the_question() {
    let sleeper = sleeper(1);
    let file = ssh_config(&format!("Match exec \"{sleeper}\"\n"));
    let bus = Bus::start().await.unwrap();
    let daemon = Daemon::start(launch(&bus, file.path())).await.unwrap();
    daemon.wait_status("ssh-config-unsupported").await.unwrap();
    becomes(0, &sleeper).await;
}

#[tokio::test]
async fn what_match_exec_starts_ends_with_the_daemon() {
    for (test, signal) in [(2, Signal::TERM), (3, Signal::INT)] {
        let sleeper = sleeper(test);
        let file = ssh_config(&format!("Match exec \"{sleeper}\"\n"));
        let bus = Bus::start().await.unwrap();
        let mut daemon = Daemon::start(launch(&bus, file.path())).await.unwrap();
        becomes(1, &sleeper).await;
        daemon.signal(signal).unwrap();
        daemon.wait_exit().await.unwrap();
        becomes(0, &sleeper).await;
    }
}

#[tokio::test]
async fn what_a_proxy_command_starts_ends_with_the_daemon() {
    let sleeper = sleeper(4);
    let file = ssh_config(&format!("ProxyCommand sh -c '{sleeper} & {sleeper}'\n"));
    let bus = Bus::start().await.unwrap();
    let mut daemon = Daemon::start(launch(&bus, file.path())).await.unwrap();
    becomes(2, &sleeper).await;
    daemon.signal(Signal::TERM).unwrap();
    daemon.wait_exit().await.unwrap();
    becomes(0, &sleeper).await;
}

#[tokio::test]
async fn a_round_that_is_interrupted_leaves_nothing_behind() {
    for (test, signal) in [(5, Signal::TERM), (6, Signal::INT)] {
        let sleeper = sleeper(test);
        let file = ssh_config(&format!("ProxyCommand sh -c '{sleeper} & {sleeper}'\n"));
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.toml");
        fs::write(&config, CONFIG).unwrap();
        let log = directory.path().join("log");
        let mut round = Process::start(&program("offloadd").unwrap(), None, &log, |command| {
            command.env("NIX_SSHOPTS", format!("-F '{}'", file.path().display()));
            command.arg("--config").arg(&config).arg("--once");
        })
        .unwrap();
        becomes(2, &sleeper).await;
        round.signal(signal).unwrap();
        round.wait_exit(PATIENCE).await.unwrap();
        becomes(0, &sleeper).await;
    }
}
