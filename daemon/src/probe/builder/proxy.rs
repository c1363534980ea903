//! ssh_config's `ProxyCommand`: a program whose input and output are the connection.

use std::{io, process::Stdio, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::{
    io::{AsyncRead, AsyncReadExt, Interest, unix::AsyncFd},
    process::{Child, ChildStderr, Command},
    sync::watch,
    task::JoinHandle,
};

use super::stream::Duplex;
use crate::probe::excerpt::excerpt as printable;

/// How much of the command's last line is kept.
const LINE_MAX: usize = 256;
/// How long to wait for what the command says when its pipe has closed, before reporting that.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A running proxy command. Dropping it ends it and all that it started.
#[derive(Debug)]
pub(super) struct Proxy {
    child: Child,
    listening: JoinHandle<()>,
    said: watch::Receiver<String>,
}

impl Proxy {
    /// Starts `command` as OpenSSH does: a shell that becomes the program.
    pub(super) fn start(command: &str) -> io::Result<(Self, Box<dyn Duplex>)> {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("exec {command}"))
            // As Nix starts ssh: nobody is there to be asked (build-remote.cc).
            .env_remove("DISPLAY")
            .env_remove("SSH_ASKPASS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the proxy command has no pipe");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let (sender, said) = watch::channel(String::new());
        let proxy = Self {
            child,
            listening: tokio::spawn(listen(stderr, sender)),
            said,
        };
        Ok((proxy, Box::new(tokio::io::join(stdout, stdin))))
    }

    /// How the command ended and what it said last, once its pipe has closed.
    pub(super) async fn last_words(&mut self) -> String {
        let has_ended = tokio::time::timeout(LAST_WORDS, self.ended()).await;
        // Its children may hold the pipe open, so its end is not waited for either.
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.listening).await;
        let status = match has_ended {
            Ok(Ok(())) => {
                // Before the command is reaped: its children go by its number, which is free then.
                self.end_group();
                self.child.wait().await.map(Some)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(None),
        };
        let how = match status {
            Ok(Some(status)) => format!("the proxy command ended ({status})"),
            Err(error) => format!("the proxy command: {error}"),
            Ok(None) => "the proxy command closed its output".to_owned(),
        };
        let said = self.said.borrow();
        match said.is_empty() {
            true => how,
            false => format!("{how}: {}", *said),
        }
    }

    /// Waits for the command to end, and leaves it to be reaped. (A process' descriptor is readable
    /// from its end on: pidfd_open(2).)
    #[expect(
        deprecated,
        reason = "`AsyncFd::register` is for descriptors that could be closed while registered; \
                  this one is owned by the AsyncFd, and this crate forbids unsafe code"
    )]
    async fn ended(&self) -> io::Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        let process = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        let process = AsyncFd::with_interest(process, Interest::READABLE)?;
        process.readable().await.map(drop)
    }

    /// Ends the command and all that it started: a pipeline's parts and a jump host's ssh are its
    /// children.
    fn end_group(&self) {
        if let Some(group) = self.pid() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// `None` once the command is reaped, so that the number never names somebody else.
    fn pid(&self) -> Option<Pid> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.end_group();
    }
}

/// Keeps the last line of `stderr`, and reads on so that the command never waits for a reader.
async fn listen(mut stderr: ChildStderr, said: watch::Sender<String>) {
    let mut line = Vec::with_capacity(LINE_MAX);
    while let Ok(chunk) = read(&mut stderr).await {
        if chunk.is_empty() {
            break;
        }
        for byte in chunk {
            match byte {
                b'\n' => publish(&mut line, &said),
                byte if line.len() < LINE_MAX => line.push(byte),
                _ => {}
            }
        }
    }
    publish(&mut line, &said);
}

fn publish(line: &mut Vec<u8>, said: &watch::Sender<String>) {
    let shown = printable(line, LINE_MAX);
    line.clear();
    if !shown.is_empty() {
        said.send_replace(shown);
    }
}

async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(LINE_MAX);
    from.take(LINE_MAX as u64).read_buf(&mut chunk).await?;
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use rustix::process::test_kill_process;
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_command_is_the_connection() {
        let (_proxy, mut pipe) = Proxy::start("cat").unwrap();
        pipe.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        pipe.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn a_command_that_ends_leaves_its_last_line() {
        let command = "sh -c 'echo first >&2; printf \"\\033[31mno route\\n\" >&2; exit 3'";
        let (mut proxy, mut pipe) = Proxy::start(command).unwrap();
        assert_eq!(pipe.read(&mut [0; 8]).await.unwrap(), 0);
        let words = proxy.last_words().await;
        assert!(words.contains("exit status: 3"), "{words}");
        assert!(words.ends_with("\\x1b[31mno route"), "{words}");
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_says_so() {
        let (mut proxy, _pipe) = Proxy::start("offloadd-has-no-such-program").unwrap();
        let words = proxy.last_words().await;
        assert!(words.contains("exit status: 127"), "{words}");
        assert!(words.contains("not found"), "{words}");
    }

    #[tokio::test]
    async fn a_command_that_never_stops_talking_is_bounded() {
        let command =
            "sh -c 'yes a-long-line-that-says-nothing | head -c 300000 | tr -d \"\\n\" >&2'";
        let (mut proxy, _pipe) = Proxy::start(command).unwrap();
        let _ = proxy.child.wait().await;
        let words = proxy.last_words().await;
        assert!(words.len() < 2 * LINE_MAX, "{}", words.len());
    }

    #[tokio::test]
    async fn what_a_command_leaves_behind_ends_with_its_last_words() {
        let command = "sh -c 'sleep 1000 & echo $!; exit 3'";
        let (mut proxy, mut pipe) = Proxy::start(command).unwrap();
        let mut line = [0; 16];
        let count = pipe.read(&mut line).await.unwrap();
        assert!(count > 0);
        let words = proxy.last_words().await;
        assert!(words.contains("exit status: 3"), "{words}");
        // The sleeper inherited the pipe, which ends with it.
        let rest = tokio::time::timeout(Duration::from_secs(20), pipe.read(&mut line)).await;
        assert_eq!(rest.expect("the sleeper goes on").unwrap(), 0);
    }

    #[tokio::test]
    async fn dropping_it_ends_what_it_started() {
        let (proxy, mut pipe) = Proxy::start("sh -c 'sleep 1000 & echo $!; wait'").unwrap();
        let mut line = [0; 16];
        let count = pipe.read(&mut line).await.unwrap();
        let text = std::str::from_utf8(&line[..count]).unwrap();
        let sleeper = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
        assert!(test_kill_process(sleeper).is_ok());
        drop(proxy);
        // The pipe ends when its last holder has: the sleeper inherited it.
        assert_eq!(pipe.read(&mut line).await.unwrap(), 0);
    }
}
