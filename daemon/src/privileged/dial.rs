//! The proxy of root's ssh for one builder, run as root: its `ProxyJump`, which takes root's keys and known hosts, or its
//! `ProxyCommand`. What it reads and writes is a socket, whose other end is handed over with what it complains of.
//!
//! Nothing that comes over it goes through this program. What a jump host says is read by root's ssh, as where Nix
//! builds, and here in this unit's sandbox.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    child::{self, ChildError},
    environment::Environment,
    ssh,
};
use crate::{
    helper::wire::{Answer, Ended},
    nix::Machine,
};

/// So many run at once: as many builders behind proxies are watched.
pub(super) const MAX_AT_ONCE: usize = 8;
/// So long one may run, for a connection that is kept.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs the proxy of `machine` while `caller` is there. Its socket, and the pipe of what it complains of, go to
/// `hand_over` before; it does not run where that fails.
pub(super) fn dial(
    machine: &Machine,
    environment: &Environment,
    caller: &UnixStream,
    hand_over: impl FnOnce(&[OwnedFd]) -> io::Result<()>,
) -> Answer {
    let options = match ssh::options(machine, environment) {
        Ok(options) => options,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let Some(proxy) = options.proxy_command else {
        return Answer::Refused(
            "root's ssh has no proxy there, or asks offloadd for the way".into(),
        );
    };
    let agent = environment.get("SSH_AUTH_SOCK");
    let ended = ends(&proxy, agent).and_then(|(command, theirs)| {
        hand_over(&theirs)?;
        drop(theirs);
        child::hold(command, MAX_TIME, caller)
    });
    let ended = match ended {
        Ok(status) if status.success() => Ended::Succeeded,
        Ok(status) => Ended::Failed(status.to_string()),
        Err(ChildError::TimedOut) => Ended::TimedOut,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    Answer::Done(ended.encode())
}

/// What runs it, with its ends of the socket and the pipe, and the others.
fn ends(proxy: &str, agent: Option<String>) -> Result<(Command, [OwnedFd; 2]), ChildError> {
    let (own, theirs) = UnixStream::pair()?;
    let (complaints, complains) = io::pipe()?;
    let mut command = Command::new("sh");
    command
        // As OpenSSH does: a shell that becomes the program.
        .args(["-c", &format!("exec {proxy}")])
        // As in Nix's build hook, for a proxy of the proxy.
        .env("SHELL", "/bin/sh")
        .envs(agent.map(|agent| ("SSH_AUTH_SOCK", agent)))
        .stdin(Stdio::from(OwnedFd::from(own.try_clone()?)))
        .stdout(Stdio::from(OwnedFd::from(own)))
        .stderr(complains);
    Ok((command, [theirs.into(), complaints.into()]))
}
