//! Nix's own commands, run as children: found where Nix is, heard line by line, ended with all that
//! they started.

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

/// How much is read at once.
const CHUNK: usize = 1024;

/// Where Nix's commands are, where `PATH` does not lead to them: NixOS, and Nix elsewhere.
const PLACES: [&str; 2] = [
    "/run/current-system/sw/bin",
    "/nix/var/nix/profiles/default/bin",
];

/// This machine's Nix.
#[derive(Clone, Debug)]
pub struct Nix {
    path: Vec<PathBuf>,
    environment: BTreeMap<String, String>,
}

/// Why a command of Nix's could not be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum NixError {
    /// It is nowhere.
    #[error("{0} is neither on PATH nor where Nix installs it")]
    Missing(String),
    /// The kernel did not start it, or it could not be heard.
    #[error("{0}: {1}")]
    Failed(String, #[source] io::Error),
}

/// Which of a command's outputs a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Results.
    Output,
    /// Nix's log.
    Error,
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
    pub(super) fn preferring(mut self, dir: PathBuf) -> Self {
        self.path.insert(0, dir);
        self
    }

    /// Runs `program` to its end, and hands each line it prints to `heard`: at most
    /// `line_max` bytes of it. Dropping the future ends the command and its process group.
    ///
    /// # Errors
    ///
    /// When it can't be found, started or heard. A failure of its own is in the status.
    pub(super) async fn run(
        &self,
        program: &str,
        arguments: &[&str],
        line_max: usize,
        mut heard: impl FnMut(Stream, &[u8]),
    ) -> Result<ExitStatus, NixError> {
        let failed = |error| NixError::Failed(program.to_owned(), error);
        let found = self.find(program);
        let found = found.ok_or_else(|| NixError::Missing(program.to_owned()))?;
        let mut child = Command::new(found)
            .args(arguments)
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pipes = (child.stdout.take(), child.stderr.take());
        let (Some(mut stdout), Some(mut stderr)) = pipes else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let mut group = Group(child);
        let (mut output, mut error) = (Lines::new(line_max), Lines::new(line_max));
        // Until both pipes are closed. What it left behind may hold them: then the caller's patience
        // ends, and while nobody has waited for the child its group can still be ended safely.
        while output.open || error.open {
            tokio::select! {
                biased;
                read = output.read(&mut stdout), if output.open => {
                    read.map_err(failed)?;
                    output.take(|line| heard(Stream::Output, line));
                }
                read = error.read(&mut stderr), if error.open => {
                    read.map_err(failed)?;
                    error.take(|line| heard(Stream::Error, line));
                }
            }
        }
        group.0.wait().await.map_err(failed)
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

/// A child that leads a process group, which ends with this.
#[derive(Debug)]
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // No number once the child is reaped: it might be somebody else's by then.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Cuts what is read into lines of at most `max` bytes; the rest of a longer one is dropped.
#[derive(Debug)]
struct Lines {
    max: usize,
    open: bool,
    chunk: Vec<u8>,
    line: Vec<u8>,
}

impl Lines {
    fn new(max: usize) -> Self {
        Self {
            max,
            open: true,
            chunk: Vec::with_capacity(CHUNK),
            line: Vec::new(),
        }
    }

    /// Reads a chunk. Nothing is lost where it is dropped.
    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        self.chunk.clear();
        from.take(CHUNK as u64).read_buf(&mut self.chunk).await?;
        self.open = !self.chunk.is_empty();
        Ok(())
    }

    /// Hands on the lines that are complete, and at the end the one that is not.
    fn take(&mut self, mut heard: impl FnMut(&[u8])) {
        for byte in self.chunk.drain(..) {
            match byte {
                b'\n' => {
                    heard(&self.line);
                    self.line.clear();
                }
                // D-Bus has no text with a NUL in it, and a terminal no use for it.
                0 => {}
                byte if self.line.len() < self.max => self.line.push(byte),
                _ => {}
            }
        }
        if !self.open && !self.line.is_empty() {
            heard(&self.line);
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

    use proptest::prelude::*;
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
        let status = nix.run("nix-build", &[], 100, |stream, line| {
            lines.push((stream, String::from_utf8_lossy(line).into_owned()));
        });
        (status.await, lines)
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

    #[tokio::test]
    async fn endless_output_without_a_line_s_end_is_bounded() {
        let (_dir, nix) = nix("head -c 3000000 /dev/zero | tr '\\0' x");
        let (_, lines) = run(&nix).await;
        let sizes: Vec<_> = lines.iter().map(|(_, line)| line.len()).collect();
        assert_eq!(sizes, [100]);
    }

    #[tokio::test]
    async fn dropping_it_ends_the_whole_group() {
        let (dir, nix) = nix("echo $$; sleep 1000 & echo $!; wait");
        let (sender, mut pids) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let heard = |_: Stream, line: &[u8]| {
                let pid: i32 = String::from_utf8_lossy(line).parse().unwrap();
                sender.send(pid).unwrap();
            };
            nix.run("nix-build", &[], 100, heard).await.map(drop)
        });
        let pids = [pids.recv().await.unwrap(), pids.recv().await.unwrap()];
        task.abort();
        let _ = task.await;
        for pid in pids {
            // Gone, or a zombie that its new parent has not reaped yet.
            let is_alive = || {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                stat.rsplit(") ").next().is_some_and(|rest| {
                    !rest.is_empty() && !rest.starts_with('Z') && !rest.starts_with('X')
                })
            };
            while is_alive() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        drop(dir);
    }

    proptest! {
        #[test]
        fn lines_are_cut_alike_however_they_arrive(text: Vec<u8>, sizes in proptest::collection::vec(1..9_usize, 1..40)) {
            let cut = |sizes: &[usize]| {
                let mut lines = Lines::new(5);
                let mut found = Vec::new();
                let (mut rest, mut sizes) = (&text[..], sizes.iter().cycle());
                while !rest.is_empty() {
                    let (head, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                    lines.chunk.extend(head);
                    lines.take(|line| found.push(line.to_vec()));
                    rest = tail;
                }
                lines.open = false;
                lines.take(|line| found.push(line.to_vec()));
                found
            };
            prop_assert_eq!(cut(&sizes), cut(&[usize::MAX]));
        }
    }
}
