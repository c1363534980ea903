//! Nix's own commands: found where Nix is, heard line by line.

use std::{
    collections::BTreeMap,
    env, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use super::derivation;
use crate::{
    program::{self, End, Lines, Stream},
    target::Dispatch,
};

/// Where Nix's commands are, where `PATH` does not lead to them: NixOS, and Nix elsewhere.
const PLACES: [&str; 2] = [
    "/run/current-system/sw/bin",
    "/nix/var/nix/profiles/default/bin",
];

/// How much longer than who waits for it Nix itself is given, which ends the build on the other side if nobody here
/// can.
const GRACE: Duration = Duration::from_secs(10);

/// This machine's Nix.
#[derive(Clone, Debug)]
pub struct Nix {
    path: Vec<PathBuf>,
    environment: BTreeMap<String, String>,
}

/// Why a command of Nix's could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NixError {
    /// It is nowhere.
    #[error("{0} is neither on PATH nor where Nix installs it")]
    Missing(String),
    /// The kernel did not start it, or it could not be heard.
    #[error("{0}: {1}")]
    Failed(String, #[source] io::Error),
    /// It had not ended when its time was over, and was ended.
    #[error("{0} had not ended in time")]
    TimedOut(String),
}

impl Nix {
    /// As this process would run it. Its store is the nix-daemon's, unless `NIX_REMOTE` says
    /// otherwise: a daemon that runs as root would build past the nix-daemon.
    pub fn from_environment() -> Self {
        let mut environment = BTreeMap::new();
        if env::var_os("NIX_REMOTE").is_none_or(|value| value.is_empty()) {
            environment.insert("NIX_REMOTE".to_owned(), "daemon".to_owned());
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::split_paths(&path).filter(|dir| dir.is_absolute());
        Self {
            path: path.chain(PLACES.map(PathBuf::from)).collect(),
            environment,
        }
    }

    /// The same with `value` for the environment variable `name`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// The same with `dir` searched first.
    #[cfg(test)]
    pub(crate) fn preferring(mut self, dir: PathBuf) -> Self {
        self.path.insert(0, dir);
        self
    }

    /// What builds something new on the one builder of these lines, or nothing, within `timeout`.
    ///
    /// # Errors
    ///
    /// [`NixError::Missing`].
    pub(crate) fn test_build(
        &self,
        lines: &[Dispatch],
        nonce: &str,
        timeout: Duration,
    ) -> Result<Command, NixError> {
        let expression = derivation::expression(lines, nonce);
        let builders: Vec<_> = lines.iter().map(|way| &*way.line).collect();
        let (builders, seconds) = (builders.join("\n"), (timeout + GRACE).as_secs().to_string());
        // With no job of its own, and no other builder, what this Nix builds is built there. (A
        // nix-daemon that does not trust us keeps its own list of builders, and says so.)
        let arguments = [
            "--no-out-link",
            "--max-jobs",
            "0",
            "--builders",
            &builders,
            "--option",
            "substitute",
            "false",
            "--timeout",
            &seconds,
            "-E",
            &expression,
        ];
        self.command("nix-build", &arguments)
    }

    /// A command of Nix's, found where it is.
    ///
    /// # Errors
    ///
    /// [`NixError::Missing`].
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Result<Command, NixError> {
        let found = self.find(program);
        let found = found.ok_or_else(|| NixError::Missing(program.to_owned()))?;
        let mut command = Command::new(found);
        command.args(arguments).envs(&self.environment);
        Ok(command)
    }

    /// Runs `command` to its end, for `bound` at the most, and hands each line it prints to `heard`:
    /// at most `line_max` bytes of it. Dropping the future ends the command and its process group.
    ///
    /// # Errors
    ///
    /// When it can't be started or heard, and when it does not end. A failure of its own is in the
    /// status.
    pub(super) async fn run(
        command: Command,
        bound: Duration,
        line_max: usize,
        mut heard: impl FnMut(Stream, &[u8]),
    ) -> Result<ExitStatus, NixError> {
        let name = Path::new(command.get_program()).file_name();
        let program = name.unwrap_or_default().to_string_lossy().into_owned();
        let mut command = tokio::process::Command::from(command);
        let (mut output, mut error) = (Lines::new(line_max), Lines::new(line_max));
        let end = program::run(&mut command, Stdio::null(), bound, |stream, chunk| {
            let lines = match stream {
                Stream::Output => &mut output,
                Stream::Error => &mut error,
            };
            lines.take(chunk, |line| heard(stream, line));
            ControlFlow::Continue(())
        });
        let end = end.await;
        output.finish(|line| heard(Stream::Output, line));
        error.finish(|line| heard(Stream::Error, line));
        match end {
            Ok(End::Ended(status)) => Ok(status),
            Ok(End::Enough | End::TimedOut) => Err(NixError::TimedOut(program)),
            Err(error) => Err(NixError::Failed(program, error)),
        }
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        let mut places = self.path.iter().map(|dir| dir.join(program));
        places.find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use tempfile::TempDir;

    use super::*;

    /// A directory with a program `nix-build` that is this script.
    fn nix(script: &str) -> (TempDir, Nix) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("nix-build");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let nix = Nix {
            path: vec![dir.path().to_owned()],
            environment: BTreeMap::new(),
        };
        (dir, nix)
    }

    async fn run(nix: &Nix) -> (Result<ExitStatus, NixError>, Vec<(Stream, String)>) {
        let mut lines = Vec::new();
        let bound = Duration::from_secs(20);
        let status = match nix.command("nix-build", &[]) {
            Ok(command) => {
                Nix::run(command, bound, 100, |stream, line| {
                    lines.push((stream, String::from_utf8_lossy(line).into_owned()));
                })
                .await
            }
            Err(error) => Err(error),
        };
        (status, lines)
    }

    #[tokio::test]
    async fn both_outputs_and_the_status_are_heard() {
        let (_dir, nix) = nix("echo result; echo log >&2; printf 'no end'; exit 7");
        let (status, mut lines) = run(&nix).await;
        assert_eq!(status.unwrap().code(), Some(7));
        lines.sort_by_key(|(stream, _)| *stream == Stream::Error);
        let expected = [
            (Stream::Output, "result"),
            (Stream::Output, "no end"),
            (Stream::Error, "log"),
        ];
        assert_eq!(
            lines,
            expected.map(|(stream, line)| (stream, line.to_owned()))
        );
    }

    #[tokio::test]
    async fn a_nix_that_is_nowhere_is_missing() {
        let (dir, nix) = nix("");
        fs::remove_file(dir.path().join("nix-build")).unwrap();
        let (status, _) = run(&nix).await;
        assert!(matches!(status, Err(NixError::Missing(name)) if name == "nix-build"));
    }
}
