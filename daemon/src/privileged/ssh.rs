//! Asks ssh, as root, what it would do for a builder: `ssh -G`, with the arguments that Nix gives it.

use std::{
    io::{self, Read},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use crate::{
    clock::Stopwatch,
    helper::wire::MAX_FRAME,
    nix::{
        Machine,
        ssh_config::{Question, SshConfigError, SshOptions},
        uri::{self, SshUri, StoreUri},
    },
};

/// So long ssh may take: it may run what `Match exec` names.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = MAX_FRAME / 2;

/// What ssh would do for a builder, as it prints it.
///
/// # Errors
/// What ssh says, or that it says nothing.
pub(super) fn ask(machine: &Machine) -> Result<String, SshConfigError> {
    let uri = uri(machine)?;
    let arguments = Question::of(machine, &uri).arguments(&nix_sshopts())?;
    let mut child = Command::new("ssh")
        .args(arguments)
        // As in Nix's build hook, for what `Match exec` runs; and nobody is there to be asked.
        .env("SHELL", "/bin/sh")
        .env_remove("DISPLAY")
        .env_remove("SSH_ASKPASS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let heard = hear(&mut child);
    // What it has started ends with it. It is not reaped yet, so that the number is nobody else's.
    if let Some(group) = pid(&child) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait()?;
    let (output, complaints) = heard?;
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
pub(super) fn options(machine: &Machine) -> Result<SshOptions, SshConfigError> {
    let (answer, uri) = (ask(machine)?, uri(machine)?);
    let question = Question::of(machine, &uri);
    let mut options = question.read_roots(&answer, &nix_sshopts())?;
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

/// Of the unit: that of nix-daemon can't be read without its capabilities.
fn nix_sshopts() -> String {
    std::env::var("NIX_SSHOPTS").unwrap_or_default()
}

/// What it prints and what it complains of, once it has ended.
fn hear(child: &mut Child) -> Result<(Vec<u8>, Vec<u8>), SshConfigError> {
    let since = Stopwatch::start();
    let output = read(child.stdout.take(), since)?;
    let complaints = read(child.stderr.take(), since)?;
    if let Some(pid) = pid(child) {
        wait(
            &pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)?,
            since,
        )?;
    }
    Ok((output, complaints))
}

/// Reads a pipe to its end.
fn read(pipe: Option<impl Read + AsFd>, since: Stopwatch) -> Result<Vec<u8>, SshConfigError> {
    let mut read = Vec::new();
    let Some(mut pipe) = pipe else {
        return Ok(read);
    };
    let mut chunk = [0; 4096];
    loop {
        wait(&pipe, since)?;
        match pipe.read(&mut chunk)? {
            0 => return Ok(read),
            length => read.extend_from_slice(&chunk[..length]),
        }
        if read.len() > MAX_ANSWER {
            return Err(SshConfigError::Unreadable);
        }
    }
}

/// Waits for something to be readable.
fn wait(on: &impl AsFd, since: Stopwatch) -> Result<(), SshConfigError> {
    let left = PATIENCE.saturating_sub(since.elapsed());
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(on, PollFlags::IN)], Some(&left)) {
        Ok(0) => Err(SshConfigError::TimedOut(PATIENCE)),
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
