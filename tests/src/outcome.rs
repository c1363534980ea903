//! A program of this workspace, run to its end.

use std::{env, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::{Error, Result, daemon::program, error::Context};

/// Longer than any of them takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit status; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A program of this workspace in an environment that says nothing to it: no bus, no service
/// manager, no journal, no configuration.
///
/// # Errors
/// When it was not built.
pub fn command(name: &str) -> Result<Command> {
    let mut command = Command::new(program(name)?);
    isolate(&mut command);
    Ok(command)
}

/// Takes out of a command's environment what would concern a program of this workspace.
pub fn isolate(command: &mut Command) {
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("OFFLOADD_") || name.starts_with("NIX_") {
            command.env_remove(variable);
        }
    }
    for variable in [
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "NO_COLOR",
        "DBUS_SESSION_BUS_ADDRESS",
        "XDG_RUNTIME_DIR",
    ] {
        command.env_remove(variable);
    }
    command
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
}

/// Runs a command to its end. It does not block: what it talks to may live on this very thread.
///
/// # Errors
/// When it can't be started, or does not end.
pub async fn run_to_end(mut command: Command) -> Result<Outcome> {
    let what = format!("{:?} ends", command.as_std());
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| Error::Late {
        what: what.clone(),
        within: PATIENCE,
    })?;
    let output = output.context(what)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Outcome {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn exit_status_and_both_streams_are_kept_apart() {
        let mut command = Command::new("sh");
        isolate(&mut command);
        command.args(["-c", "echo out; echo err >&2; exit 69"]);
        let outcome = run_to_end(command).await.unwrap();
        assert_eq!(
            outcome,
            Outcome {
                code: Some(69),
                stdout: "out\n".into(),
                stderr: "err\n".into(),
            }
        );
    }
}
