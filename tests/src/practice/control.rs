//! Words over a socket: from the second terminal to the practice program.
//!
//! A client writes one line and reads the answer up to the end of the stream.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use crate::{Error, Result, error::Context};

/// No word is longer; no more of a line is read.
const MAX_WORD: u64 = 64;
/// No answer is longer.
const MAX_ANSWER: u64 = 64 * 1024;
/// For one exchange with a program on the same machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said where nobody listens.
pub const NOT_RUNNING: &str =
    "no practice program is running: start one with `cargo practice` in another terminal";

/// The socket of a running practice program. Dropping it removes the socket.
#[derive(Debug)]
pub struct Words {
    listener: UnixListener,
    _remove: RemoveFile,
}

/// A line that came in, and where the answer goes.
#[derive(Debug)]
pub struct Question {
    /// What was asked, without the line's end.
    pub word: String,
    stream: UnixStream,
}

impl Words {
    /// Listens on `socket`.
    ///
    /// # Errors
    /// When another practice program listens there, or the socket can't be made.
    pub async fn listen(socket: &Path) -> Result<Self> {
        if UnixStream::connect(socket).await.is_ok() {
            let socket = socket.display();
            return Err(Error::Unsupported(format!(
                "a practice program is running already, at {socket}: end it with Ctrl-C, or send it \
                 a word (cargo practice help)"
            )));
        }
        // What nobody listens on was left by a program that was killed.
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context(socket.display());
            }
            Ok(()) | Err(_) => {}
        }
        Ok(Self {
            listener: UnixListener::bind(socket).context(socket.display())?,
            _remove: RemoveFile(socket.to_owned()),
        })
    }

    /// The next word. A client that sends none in time is dropped. Cancel safe: a client that was
    /// being read when this is dropped gets no answer and says so.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn next(&self) -> Result<Question> {
        loop {
            let (mut stream, _) = self
                .listener
                .accept()
                .await
                .context("the practice socket")?;
            let mut line = String::new();
            let mut reader = BufReader::new((&mut stream).take(MAX_WORD));
            let read = timeout(PATIENCE, reader.read_line(&mut line)).await;
            if matches!(read, Ok(Ok(length)) if length > 0) {
                let word = line.trim().to_owned();
                return Ok(Question { word, stream });
            }
        }
    }
}

impl Question {
    /// Answers and hangs up. Whoever asked may be gone; that is no error.
    pub async fn answer(mut self, text: &str) {
        let write = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.shutdown().await
        };
        let _ = timeout(PATIENCE, write).await;
    }
}

/// Sends `word` to the practice program that listens on `socket`, and returns its answer.
///
/// # Errors
/// When none is running.
pub async fn send(socket: &Path, word: &str) -> Result<String> {
    let stream = UnixStream::connect(socket).await;
    let mut stream = stream.map_err(|_| Error::Unsupported(NOT_RUNNING.into()))?;
    let exchange = async {
        stream.write_all(format!("{word}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await.map_err(|_| Error::Late {
        what: "the practice program answers".into(),
        within: PATIENCE,
    })?;
    answer.context("the practice program")
}

#[derive(Debug)]
struct RemoveFile(std::path::PathBuf);

impl Drop for RemoveFile {
    fn drop(&mut self) {
        // Somebody else may have tidied up.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_word_gets_its_answer() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("practice");
        let words = Words::listen(&socket).await.unwrap();
        let server = async {
            let question = words.next().await.unwrap();
            let answer = format!("{}? done", question.word);
            question.answer(&answer).await;
        };
        let (answer, ()) = tokio::join!(send(&socket, "stop"), server);
        assert_eq!(answer.unwrap(), "stop? done");
        drop(words);
        assert!(!socket.exists());
    }

    #[tokio::test]
    async fn there_is_one_practice_program_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("practice");
        let first = Words::listen(&socket).await.unwrap();
        let second = Words::listen(&socket).await.unwrap_err();
        assert!(second.to_string().contains("running already"), "{second}");
        drop(first);
        // What a killed program leaves behind is no hindrance.
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        assert!(socket.exists());
        Words::listen(&socket).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_program_the_word_says_how_to_start_one() {
        let directory = tempfile::tempdir().unwrap();
        let missing = send(&directory.path().join("practice"), "stop")
            .await
            .unwrap_err();
        assert!(missing.to_string().contains("cargo practice"), "{missing}");
    }
}
