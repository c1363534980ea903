//! A frame: its length in four bytes, and as many bytes. All numbers are unsigned, the highest byte first, as in ssh's own
//! protocols (RFC 4251, 5); a string is its length in four bytes, and as many bytes.

use std::io::{self, Read};

/// The longest frame, without its length. What `ssh -G` prints has 4 to 8 KiB.
pub(crate) const MAX_FRAME: usize = 256 << 10;

/// What is no question or no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame that can't be read")]
pub(crate) struct WireError;

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Reads one frame, without its length.
///
/// # Errors
/// What `from` says; `InvalidData` where the frame is too long.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = vec![0; frame_length(length)?];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

/// How long the frame is that begins so.
///
/// # Errors
/// `InvalidData`: too long.
pub(crate) fn frame_length(length: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| WireError)?;
    if length > MAX_FRAME {
        Err(WireError.into())
    } else {
        Ok(length)
    }
}

/// A frame being written.
pub(super) struct Frame(Vec<u8>);

impl Frame {
    pub(super) fn new(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn string(mut self, bytes: &[u8]) -> Self {
        self.0.extend(size(bytes));
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = size(&self.0[4..]);
        self.0[..4].copy_from_slice(&length);
        self.0
    }
}

/// Of what is longer than four bytes can say nothing is ever sent: [`MAX_FRAME`] is far less.
pub(super) fn size(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// A row of strings and numbers being read, as ssh writes them.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// A first byte, and what follows it.
    pub(super) fn of(frame: &'a [u8]) -> Result<(u8, Self), WireError> {
        let mut fields = Self(frame);
        Ok((fields.byte()?, fields))
    }

    /// A row that begins here.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        let (byte, rest) = self.0.split_first().ok_or(WireError)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.word()?).map_err(|_| WireError)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(WireError)?;
        self.0 = rest;
        Ok(string)
    }

    /// A number of four bytes.
    pub(crate) fn word(&mut self) -> Result<u32, WireError> {
        let (word, rest) = self.0.split_first_chunk().ok_or(WireError)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }

    /// The same, written as a string.
    pub(super) fn number(&mut self) -> Result<u32, WireError> {
        let bytes = self.string()?.try_into().map_err(|_| WireError)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// A string in UTF-8.
    pub(crate) fn text(&mut self) -> Result<String, WireError> {
        let text = std::str::from_utf8(self.string()?).map_err(|_| WireError)?;
        Ok(text.to_owned())
    }

    /// Nothing is left.
    pub(crate) fn end(&self) -> Result<(), WireError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(WireError),
        }
    }
}
