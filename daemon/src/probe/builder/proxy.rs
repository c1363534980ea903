//! ssh_config's `ProxyCommand`: a program whose input and output are the connection.

use std::{io, process::Stdio};

use offload_client::Printable;
use tokio::{io::AsyncRead, process::Command, sync::watch, task::JoinHandle, time::timeout};

use super::stream::Duplex;
use crate::{
    helper::{Ended, Helper, Life},
    program::{LAST_WORDS, Lines, Paced, Program},
};

/// How much of the command's last line is kept.
const MAX_LINE: usize = 256;

/// A running proxy command. Dropping it ends it and all that it started.
#[derive(Debug)]
pub(super) struct Proxy {
    running: Running,
    listening: JoinHandle<()>,
    said: watch::Receiver<Printable>,
}

/// Who runs it.
#[derive(Debug)]
enum Running {
    /// This process.
    Here(Program),
    /// Root.
    ByRoot(Life),
}

impl Proxy {
    /// Has `helper` start the one that root's ssh has for the builder with the URI `store` in Nix's list.
    pub(super) async fn of_root(
        helper: &Helper,
        store: &str,
    ) -> io::Result<(Self, Box<dyn Duplex>)> {
        let started = helper.dial(store).await?;
        let proxy = Self::new(Running::ByRoot(started.life), started.complaints);
        Ok((proxy, Box::new(started.socket)))
    }

    /// Starts `command` as OpenSSH does: a shell that becomes the program.
    pub(super) fn start(command: &str) -> io::Result<(Self, Box<dyn Duplex>)> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec {command}"));
        let (program, pipes) = Program::start(&mut shell, Stdio::piped())?;
        let stdin = pipes.stdin.ok_or(io::ErrorKind::BrokenPipe)?;
        let proxy = Self::new(Running::Here(program), pipes.stderr);
        Ok((proxy, Box::new(tokio::io::join(pipes.stdout, stdin))))
    }

    fn new(running: Running, stderr: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, said) = watch::channel(Printable::default());
        Self {
            running,
            listening: tokio::spawn(listen(stderr, sender)),
            said,
        }
    }

    /// How the command ended and what it said last, once its pipe has closed.
    pub(super) async fn last_words(&mut self) -> String {
        let status = timeout(LAST_WORDS, self.running.ended()).await;
        // What has left its group may hold the pipe open, so its end is not waited for either.
        let _ = timeout(LAST_WORDS, &mut self.listening).await;
        let how = match status {
            Ok(Ok(status)) => format!("the proxy command ended ({status})"),
            Ok(Err(error)) => format!("the proxy command: {error}"),
            Err(_) => "the proxy command closed its output".to_owned(),
        };
        let said = self.said.borrow();
        if said.is_empty() {
            how
        } else {
            format!("{how}: {}", *said)
        }
    }
}

impl Running {
    /// Waits for its end; how it ended.
    async fn ended(&mut self) -> io::Result<String> {
        match self {
            Self::Here(program) => program.ended().await.map(|status| status.to_string()),
            Self::ByRoot(life) => life.ended().await.map(|ended| match ended {
                Ended::Succeeded => "exit status: 0".to_owned(),
                Ended::Failed(status) => status,
                Ended::TimedOut => "its time was over".to_owned(),
            }),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Keeps the last line of `stderr`, and reads on so that the command never waits long for a reader.
async fn listen(stderr: impl AsyncRead + Unpin, said: watch::Sender<Printable>) {
    let (mut stderr, mut lines) = (Paced::new(stderr), Lines::new(MAX_LINE));
    let mut last = Vec::new();
    while let Ok(chunk) = stderr.read().await
        && !chunk.is_empty()
    {
        lines.take(chunk, |line| keep(&mut last, line));
        publish(&mut last, &said);
    }
    lines.finish(|line| keep(&mut last, line));
    publish(&mut last, &said);
}

fn keep(last: &mut Vec<u8>, line: &[u8]) {
    if !line.trim_ascii().is_empty() {
        last.clear();
        last.extend_from_slice(line);
    }
}

fn publish(last: &mut Vec<u8>, said: &watch::Sender<Printable>) {
    if !last.is_empty() {
        said.send_replace(Printable::excerpt(last, MAX_LINE));
        last.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Pid, test_kill_process};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        let command = "sh -c 'echo first >&2; printf \"\\033[31mno\\342\\200\\256 route\\302\\233\\n\" >&2; exit 3'";
        let (mut proxy, mut pipe) = Proxy::start(command).unwrap();
        assert_eq!(pipe.read(&mut [0; 8]).await.unwrap(), 0);
        let words = proxy.last_words().await;
        assert!(words.contains("exit status: 3"), "{words}");
        let shown = r"\x1b[31mno\u{202e} route\u{9b}";
        assert!(words.ends_with(shown), "{words}");
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_says_so() {
        let (mut proxy, _pipe) = Proxy::start("offloadd-has-no-such-program").unwrap();
        let words = proxy.last_words().await;
        assert!(words.contains("exit status: 127"), "{words}");
        assert!(words.contains("not found"), "{words}");
    }

    #[tokio::test]
    async fn a_command_that_never_stops_talking_is_the_connection_all_the_same() {
        // Its first word comes before the connection does.
        let command = "sh -c 'echo a-word >&2; yes a-long-line-that-says-nothing >&2 & exec cat'";
        let (mut proxy, mut pipe) = Proxy::start(command).unwrap();
        let mut heard = [0; 5];
        for _ in 0..100 {
            pipe.write_all(b"hello").await.unwrap();
            pipe.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello");
        }
        drop(pipe);
        let words = proxy.last_words().await;
        assert!(words.contains(": a"), "{words}");
        assert!(words.len() < 2 * MAX_LINE, "{}", words.len());
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
