//! Runs programs as root: each in a process group of its own, heard within bounds, ended whole.

use std::{
    fs::File,
    io::{self, Read},
    ops::ControlFlow,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use crate::{
    clock::Stopwatch,
    program::{LAST_WORDS, Stream},
};

/// Why a program was not heard to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    /// It could not be started, or heard.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("it had not ended in time")]
    TimedOut,
    /// Whoever heard it had enough.
    #[error("it says too much")]
    Enough,
    /// Who asked for it is gone.
    #[error("nobody waits for it any more")]
    Abandoned,
}

impl From<Errno> for ChildError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Runs `command` to its end, for `patience` at the most and while `caller` is there, with nothing to read. What it
/// writes goes to `heard` as it comes, which may [break](ControlFlow::Break) it off.
///
/// # Errors
/// [`ChildError`]. Whatever comes of it, it has ended then, and its process group.
pub(super) fn run(
    command: &mut Command,
    patience: Duration,
    caller: Option<&UnixStream>,
    heard: impl FnMut(Stream, &[u8]) -> ControlFlow<()>,
) -> Result<ExitStatus, ChildError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    end(start(command)?, patience, caller, heard)
}

/// The same for one whose input and outputs are somebody else's: its ends of them close with it.
///
/// # Errors
/// As [`run`].
pub(super) fn hold(
    mut command: Command,
    patience: Duration,
    caller: &UnixStream,
) -> Result<ExitStatus, ChildError> {
    let child = start(&mut command)?;
    drop(command);
    end(child, patience, Some(caller), |_, _| {
        ControlFlow::Continue(())
    })
}

fn start(command: &mut Command) -> io::Result<Child> {
    command
        // Nobody is there to be asked, as where Nix starts ssh (build-remote.cc).
        .env_remove("DISPLAY")
        .env_remove("SSH_ASKPASS")
        .process_group(0)
        .spawn()
}

fn end(
    mut child: Child,
    patience: Duration,
    caller: Option<&UnixStream>,
    heard: impl FnMut(Stream, &[u8]) -> ControlFlow<()>,
) -> Result<ExitStatus, ChildError> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = group.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let heard = hear(&mut child, group, patience, caller, heard);
    // What it has started ends with it. It is not reaped yet, so that the number is nobody else's.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    heard.map(|()| status)
}

fn hear(
    child: &mut Child,
    pid: Pid,
    patience: Duration,
    caller: Option<&UnixStream>,
    mut heard: impl FnMut(Stream, &[u8]) -> ControlFlow<()>,
) -> Result<(), ChildError> {
    let since = Stopwatch::start();
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let output = child.stdout.take().map(OwnedFd::from);
    let error = child.stderr.take().map(OwnedFd::from);
    let pipes = [(Stream::Output, output), (Stream::Error, error)].into_iter();
    let pipes = pipes.filter_map(|(stream, pipe)| Some((stream, File::from(pipe?))));
    let mut pipes: Vec<_> = pipes.collect();
    let (mut bound, mut is_over) = (patience, false);
    while !(is_over && pipes.is_empty()) {
        let left = bound.saturating_sub(since.elapsed());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = Vec::with_capacity(4);
        polled.extend(
            pipes
                .iter()
                .map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)),
        );
        if !is_over {
            polled.push(PollFd::new(&process, PollFlags::IN));
        }
        polled.extend(caller.map(|caller| PollFd::new(caller, PollFlags::RDHUP)));
        match poll(&mut polled, Some(&left)) {
            // Others hold its pipes open.
            Ok(0) if is_over => return Ok(()),
            Ok(0) => return Err(ChildError::TimedOut),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let happened: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (of_pipes, others) = happened.split_at(pipes.len());
        if caller.is_some() && others.last() == Some(&true) {
            return Err(ChildError::Abandoned);
        }
        if !is_over && others.first() == Some(&true) {
            is_over = true;
            bound = bound.min(since.elapsed() + LAST_WORDS);
        }
        let mut of_pipes = of_pipes.iter();
        let mut flow = Ok(ControlFlow::Continue(()));
        pipes.retain_mut(|(stream, pipe)| {
            let mut chunk = [0; 4096];
            if of_pipes.next() != Some(&true) || !matches!(flow, Ok(ControlFlow::Continue(()))) {
                return true;
            }
            match pipe.read(&mut chunk) {
                Ok(0) => return false,
                Ok(length) => flow = Ok(heard(*stream, &chunk[..length])),
                Err(error) => flow = Err(error),
            }
            true
        });
        if flow?.is_break() {
            return Err(ChildError::Enough);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn both_outputs_and_the_status_are_heard() {
        let mut said = Vec::new();
        let status = run(
            &mut sh("echo a; echo b >&2; exit 7"),
            PATIENCE,
            None,
            |stream, chunk| {
                said.push((stream, chunk.to_vec()));
                ControlFlow::Continue(())
            },
        );
        assert_eq!(status.unwrap().code(), Some(7));
        said.sort_by_key(|(stream, _)| *stream == Stream::Error);
        let expected = [
            (Stream::Output, b"a\n".to_vec()),
            (Stream::Error, b"b\n".to_vec()),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn one_that_takes_too_long_or_says_too_much_is_ended() {
        let ignore = |_: Stream, _: &[u8]| ControlFlow::Continue(());
        let short = Duration::from_millis(100);
        let late = run(&mut sh("sleep 1000"), short, None, ignore);
        assert!(matches!(late, Err(ChildError::TimedOut)), "{late:?}");
        let enough = run(
            &mut sh("yes"),
            PATIENCE,
            None,
            |_, _| ControlFlow::Break(()),
        );
        assert!(matches!(enough, Err(ChildError::Enough)), "{enough:?}");
        // Who holds its pipes open is not waited for.
        let left = run(&mut sh("setsid sleep 30 & exit 3"), PATIENCE, None, ignore);
        assert_eq!(left.unwrap().code(), Some(3));
    }
}
