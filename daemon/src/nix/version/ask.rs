//! Asks this machine's Nix for its version: the daemon that would do the work, else the program.

use std::{ops::ControlFlow, path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use super::NixVersion;
use crate::{
    nix::daemon::Daemon,
    program::{self, End, Stream},
};

/// How long each of the two may take.
const BOUND: Duration = Duration::from_secs(2);
/// The most that is heard of the program, in bytes.
const MAX_ANSWER: usize = 256;

/// The version of this machine's Nix; `None` where there is none, or it is not one of Nix's own line.
/// `socket` is that of a nix-daemon that runs: one that does not is not started for this.
pub async fn ask(socket: Option<&Path>) -> Option<NixVersion> {
    if let Some(socket) = socket
        && let Ok(Some(version)) = timeout(BOUND, ask_daemon(socket)).await
    {
        return NixVersion::parse(&version);
    }
    ask_program().await
}

/// What the worker protocol says of it, since 2.4.
async fn ask_daemon(socket: &Path) -> Option<String> {
    Daemon::connect(socket).await?.1.nix
}

async fn ask_program() -> Option<NixVersion> {
    let mut answer = Vec::new();
    let mut command = Command::new("nix");
    command.arg("--version");
    let end = program::run(&mut command, Stdio::null(), BOUND, |stream, chunk| {
        if stream == Stream::Output {
            answer.extend_from_slice(chunk);
        }
        if answer.len() > MAX_ANSWER {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    match end.await {
        Ok(End::Ended(_)) => NixVersion::parse(&String::from_utf8_lossy(&answer)),
        Ok(End::Enough | End::TimedOut) | Err(_) => None,
    }
}
