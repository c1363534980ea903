//! Nix's numbers and strings on a program's standard streams (src/libutil/serialise.hh), and where a
//! fault strikes.

use std::pin::Pin;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
};

use crate::fake::{
    Fault, Point,
    port::{State, Strike},
    wire::NOISE,
};

/// No client of ours, nor Nix in a handshake, sends a longer string.
const MAX_STRING: u64 = 64 * 1024;
/// Strings are filled up to a multiple of this.
const WORD: usize = 8;

/// A program's standard input and output.
pub(super) struct Stream<'a> {
    input: Pin<Box<dyn AsyncRead + Send + 'a>>,
    output: Pin<Box<dyn AsyncWrite + Send + 'a>>,
    state: watch::Receiver<State>,
    /// The fault that was in force when the program began.
    began: Fault,
    strike: Strike,
}

/// Why a program ends before it was done.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody says or hears anything more.
    Eof,
    /// With this status, and these words on standard error.
    Failed(u32, String),
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        input: Pin<Box<dyn AsyncRead + Send + 'a>>,
        output: Pin<Box<dyn AsyncWrite + Send + 'a>>,
        state: watch::Receiver<State>,
        strike: Strike,
    ) -> Self {
        let began = state.borrow().fault;
        Self {
            input,
            output,
            state,
            began,
            strike,
        }
    }

    /// The fault that was in force when the program began.
    pub(super) fn fault(&self) -> Fault {
        self.began
    }

    /// Goes on, or does what a fault says that strikes after `point`.
    pub(super) async fn reached(&mut self, point: Point) -> Result<(), End> {
        self.strike.reached(point, self.began);
        match self.began {
            Fault::StallAfter(at) if at == point => {
                let began = self.began;
                let mended = self.state.wait_for(|now| now.fault != began).await;
                mended.map(drop).map_err(|_| End::Eof)
            }
            Fault::GarbageAfter(at) if at == point => {
                self.write(NOISE).await?;
                Err(End::Eof)
            }
            Fault::EndAfter(at) if at == point => Err(End::Eof),
            Fault::EndlessAfter(at) if at == point => self.flood().await,
            _ => Ok(()),
        }
    }

    /// Writes for as long as the peer reads.
    async fn flood(&mut self) -> Result<(), End> {
        let lines = b"and so on\n".repeat(200);
        while self.state.borrow().fault == self.began {
            self.write(&lines).await?;
        }
        Err(End::Eof)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.output.write_all(bytes).await.map_err(|_| End::Eof)?;
        self.output.flush().await.map_err(|_| End::Eof)
    }

    pub(super) async fn write_number(&mut self, number: u64) -> Result<(), End> {
        self.write(&number.to_le_bytes()).await
    }

    pub(super) async fn write_string(&mut self, text: &str) -> Result<(), End> {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        self.write(&bytes).await
    }

    pub(super) async fn read_number(&mut self) -> Result<u64, End> {
        let number = self.input.read_u64_le().await;
        number.map_err(|_| End::Eof)
    }

    pub(super) async fn read_string(&mut self) -> Result<String, End> {
        let length = self.read_number().await?;
        if length > MAX_STRING {
            return Err(End::Failed(1, "error: string is too long\n".into()));
        }
        let length = usize::try_from(length).map_err(|_| End::Eof)?;
        let mut bytes = vec![0; length.next_multiple_of(WORD)];
        let read = self.input.read_exact(&mut bytes).await;
        read.map_err(|_| End::Eof)?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A list of strings; they are counted, and the fake knows no path.
    pub(super) async fn read_strings(&mut self) -> Result<(), End> {
        for _ in 0..self.read_number().await? {
            self.read_string().await?;
        }
        Ok(())
    }
}
