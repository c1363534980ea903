//! Without a daemon: one round of `offloadd --once --json`. Only the daemon's program probes.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

use crate::language::say;

const PROGRAM: &str = "offloadd";
/// A round has time-outs of its own, which are shorter.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that a snapshot may have.
const LARGEST: u64 = 4 << 20;
/// Bytes of complaints that are kept.
const COMPLAINTS: u64 = 64 << 10;
/// Exit codes of a round that was made: everything is ready, or not.
const ROUND: [i32; 2] = [0, 3];

/// Why there is no round.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum OnceError {
    /// There is no such program.
    #[error("{}", say!("there is no {program} to check with: it is neither {path} nor on PATH", program = PROGRAM, path = .0.display()))]
    NotFound(PathBuf),
    /// It can't be run.
    #[error("{program}: {error}", program = .0.display(), error = .1)]
    Run(PathBuf, io::Error),
    /// It does not end.
    #[error("{}", say!("{program} --once did not end within {seconds} s", program = .0.display(), seconds = PATIENCE.as_secs()))]
    TimedOut(PathBuf),
    /// It says more than a snapshot can be.
    #[error("{}", say!("{program} --once says more than {size} MB", program = .0.display(), size = LARGEST >> 20))]
    TooMuch(PathBuf),
    /// It failed; these are its words.
    #[error("{}", failed(.program, .said))]
    Failed {
        /// What was run.
        program: PathBuf,
        /// What it complained of.
        said: String,
    },
}

fn failed(program: &Path, said: &str) -> String {
    say!(
        "{program} --once failed: {said}",
        program = program.display(),
        said = said.trim()
    )
}

/// A round's JSON, and the program that made it.
pub(super) async fn round() -> Result<(Vec<u8>, PathBuf), OnceError> {
    let program = find()?;
    let json = bounded(&program, PATIENCE).await?;
    Ok((json, program))
}

async fn bounded(program: &Path, patience: Duration) -> Result<Vec<u8>, OnceError> {
    // Dropped, it is killed.
    let round = timeout(patience, run(program)).await;
    round.unwrap_or_else(|_| Err(OnceError::TimedOut(program.to_owned())))
}

async fn run(program: &Path) -> Result<Vec<u8>, OnceError> {
    let failed = |error| OnceError::Run(program.to_owned(), error);
    let mut child = Command::new(program)
        .args(["--once", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (json, said) = tokio::join!(read(stdout, LARGEST), read(stderr, COMPLAINTS));
    let json = json.map_err(failed)?;
    if json.len() as u64 > LARGEST {
        return Err(OnceError::TooMuch(program.to_owned()));
    }
    let status = child.wait().await.map_err(failed)?;
    if status.code().is_some_and(|code| ROUND.contains(&code)) {
        return Ok(json);
    }
    let said = match said {
        Ok(said) if !said.is_empty() => String::from_utf8_lossy(&said).into_owned(),
        _ => status.to_string(),
    };
    Err(OnceError::Failed {
        program: program.to_owned(),
        said,
    })
}

/// At the most `most` bytes, and one more where there are more; it ends then, and the pipe with it.
async fn read(stream: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(most + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The one that belongs to this program: beside it; else as a shell would find it.
fn find() -> Result<PathBuf, OnceError> {
    let this = env::current_exe().unwrap_or_default();
    let beside = this.with_file_name(PROGRAM);
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path)
        // An empty entry means the directory one happens to be in.
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(PROGRAM));
    let mut places = std::iter::once(beside.clone()).chain(on_path);
    places
        .find(|program| program.is_file())
        .ok_or(OnceError::NotFound(beside))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use tempfile::TempDir;

    use super::*;

    fn script(text: &str) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(PROGRAM);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        (directory, path)
    }

    async fn ran(text: &str) -> Result<Vec<u8>, OnceError> {
        let (_directory, program) = script(text);
        bounded(&program, PATIENCE).await
    }

    #[tokio::test]
    async fn a_round_is_kept_whether_all_is_ready_or_not() {
        for code in ROUND {
            let json = ran(&format!("echo \"$@\"; echo x >&2; exit {code}")).await;
            assert_eq!(json.unwrap(), b"--once --json\n");
        }
    }

    #[tokio::test]
    async fn a_failure_has_the_programs_words() {
        let error = ran("echo 'no such key' >&2; exit 78").await.unwrap_err();
        assert!(
            error.to_string().ends_with("failed: no such key"),
            "{error}"
        );
        let error = ran("exit 78").await.unwrap_err();
        assert!(error.to_string().ends_with("exit status: 78"), "{error}");
    }

    #[tokio::test]
    async fn what_never_ends_or_never_stops_talking_is_stopped() {
        let error = ran("exec cat /dev/zero").await.unwrap_err();
        assert!(matches!(error, OnceError::TooMuch(_)), "{error}");
        let (_directory, program) = script("exec sleep 600");
        let error = bounded(&program, Duration::from_millis(50)).await;
        assert!(matches!(error, Err(OnceError::TimedOut(_))), "{error:?}");
    }
}
