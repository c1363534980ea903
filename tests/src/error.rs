//! What goes wrong in a fixture.

use std::{fmt::Display, io, time::Duration};

/// Why a fixture could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused: a file, a socket, a process.
    #[error("{context}: {source}")]
    Io {
        /// What was attempted.
        context: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: String,
        /// What it printed.
        output: String,
    },
    /// Something did not become true in time.
    #[error("not within {within:?}: {what}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
    },
    /// This machine can't run the fixture.
    #[error("{0}")]
    Unsupported(String),
    /// A fake desktop or the practice program was already gone.
    #[error("{0} is no longer running")]
    Gone(&'static str),
}

/// What fixtures return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Adds what was attempted to the system's answer.
pub trait Context<T> {
    /// `what` was attempted.
    fn context(self, what: impl Display) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Display) -> Result<T> {
        self.map_err(|source| Error::Io {
            context: what.to_string(),
            source: source.into(),
        })
    }
}
