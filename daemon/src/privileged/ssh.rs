//! Asks ssh, as root, what it would do for a builder: `ssh -G`, with the arguments that Nix gives it.
//!
//! The helper does not hand over ssh_config: what counts of it is ssh's to say.

use std::{ops::ControlFlow, process::Command, time::Duration};

use super::{
    child::{self, ChildError},
    environment::Environment,
};
use crate::{
    helper::wire::MAX_FRAME,
    nix::{
        Machine,
        ssh_config::{Question, SshConfigError, SshOptions},
        uri::{self, SshUri, StoreUri},
    },
    program::Stream,
};

/// So long ssh may take: it may run what `Match exec` names.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = MAX_FRAME / 2;

/// What ssh would do for a builder, as it prints it.
///
/// # Errors
/// What ssh says, or that it says nothing.
pub(super) fn ask(machine: &Machine, environment: &Environment) -> Result<String, SshConfigError> {
    let uri = uri(machine)?;
    let arguments = Question::of(machine, &uri).arguments(&environment.ssh_options())?;
    let (mut output, mut complaints) = (Vec::new(), Vec::new());
    let mut command = Command::new("ssh");
    // As in Nix's build hook, for what `Match exec` runs.
    command.args(arguments).env("SHELL", "/bin/sh");
    let status = child::run(&mut command, PATIENCE, None, |stream, chunk| {
        let into = match stream {
            Stream::Output => &mut output,
            Stream::Error => &mut complaints,
        };
        into.extend_from_slice(chunk);
        if into.len() > MAX_ANSWER {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let status = match status {
        Ok(status) => status,
        Err(ChildError::Io(error)) => return Err(error.into()),
        Err(ChildError::TimedOut) => return Err(SshConfigError::TimedOut(PATIENCE)),
        Err(ChildError::Enough | ChildError::Abandoned) => return Err(SshConfigError::Unreadable),
    };
    if status.success() {
        Ok(String::from_utf8_lossy(&output).into_owned())
    } else {
        Err(SshConfigError::refused(&complaints, status))
    }
}

/// What ssh would do for a builder, the key of the list of builders first among its keys.
///
/// # Errors
/// As [`ask`].
pub(super) fn options(
    machine: &Machine,
    environment: &Environment,
) -> Result<SshOptions, SshConfigError> {
    let (answer, uri) = (ask(machine, environment)?, uri(machine)?);
    let question = Question::of(machine, &uri);
    let mut options = question.read_roots(&answer, &environment.ssh_options())?;
    // ssh leaves out what is not there at the moment.
    if let Some(key) = question.key()
        && !options.identity_files.iter().any(|file| file == key)
    {
        options.identity_files.insert(0, key.to_owned());
    }
    Ok(options)
}

fn uri(machine: &Machine) -> Result<SshUri, SshConfigError> {
    match uri::parse(&machine.uri) {
        Ok(StoreUri::Ssh(uri)) => Ok(uri),
        _ => Err(SshConfigError::BadName(uri::redacted(&machine.uri))),
    }
}
