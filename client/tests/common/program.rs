//! Runs the program `offloadctl`.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::Bus;

/// Longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How a run of the program ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn command(args: &[&str]) -> Command {
    program_at(Path::new(env!("CARGO_BIN_EXE_offloadctl")), args)
}

/// The same, of a copy of the program.
pub(crate) fn program_at(path: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(path);
    command
        .args(args)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) fn on(bus: &Bus, args: &[&str]) -> Command {
    let mut command = command(args);
    command.arg("--bus").arg(&bus.address);
    command
}

pub(crate) fn spawn(mut command: Command) -> Child {
    command.spawn().unwrap()
}

pub(crate) async fn offloadctl(bus: &Bus, args: &[&str]) -> Run {
    finish(on(bus, args)).await
}

pub(crate) async fn finish(command: Command) -> Run {
    collect(spawn(command)).await
}

pub(crate) async fn collect(child: Child) -> Run {
    let output = timeout(LIMIT, child.wait_with_output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("it does not end"))
        .unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
