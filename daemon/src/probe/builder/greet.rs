//! The first bytes of a program that should be Nix.

use std::time::Duration;

use super::exec::{Eof, Exec};
use crate::clock::within;

/// How far Nix's first bytes are looked for.
const MAX_SEARCH: usize = 64 * 1024;
/// How much of what is not Nix's is kept.
const MAX_NOISE: usize = 256;

/// What came instead of Nix's first bytes.
#[derive(Debug)]
pub(super) struct Noise {
    /// The beginning of it.
    pub heard: Vec<u8>,
    /// What came of it.
    pub then: Then,
}

/// What followed what is not Nix's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nix's first bytes: something prints before Nix does.
    Nix,
    /// The end.
    Eof,
    /// More of it than is listened to.
    More,
    /// Nothing more, for as long as is waited.
    Silence,
}

/// Sends `greeting` and waits for `magic`, which is what Nix answers first.
///
/// Silence is waited for without an end; once something else has come, no longer than `patience`.
///
/// # Errors
/// What came instead; nothing at all where the program ended without a word.
pub(super) async fn magic(
    exec: &mut Exec,
    greeting: &[u8],
    magic: u64,
    patience: Duration,
) -> Result<(), Noise> {
    exec.send(greeting).await;
    let mut scan = MagicScan::new(magic);
    loop {
        match scan.next(exec).await {
            Some(Then::Nix) if scan.count == MAGIC_LEN => return Ok(()),
            Some(then) => return Err(scan.noise(then)),
            None if scan.may_be_nix() => {}
            None => break,
        }
    }
    // Its input stays open for the while that a Nix needs, which gives up where that ends before its first
    // bytes are out. What still waits then for its input gets no more of it, as from Nix.
    let mut then = within(patience / 2, scan.rest(exec)).await;
    if then.is_none() {
        exec.close_stdin().await;
        then = within(patience / 2, scan.rest(exec)).await;
    }
    Err(scan.noise(then.unwrap_or(Then::Silence)))
}

const MAGIC_LEN: usize = 8;

struct MagicScan {
    magic: [u8; MAGIC_LEN],
    /// The last bytes.
    tail: [u8; MAGIC_LEN],
    /// The first bytes.
    heard: Vec<u8>,
    count: usize,
}

impl MagicScan {
    fn new(magic: u64) -> Self {
        Self {
            magic: magic.to_le_bytes(),
            tail: [0; MAGIC_LEN],
            heard: Vec::new(),
            count: 0,
        }
    }

    /// Takes one more byte: whether that ends the scan.
    async fn next(&mut self, exec: &mut Exec) -> Option<Then> {
        let mut byte = [0];
        if let Err(Eof) = exec.read(&mut byte).await {
            return Some(Then::Eof);
        }
        self.tail.rotate_left(1);
        self.tail[MAGIC_LEN - 1] = byte[0];
        self.count += 1;
        if self.heard.len() < MAX_NOISE {
            self.heard.extend(byte);
        }
        if self.count >= MAGIC_LEN && self.tail == self.magic {
            Some(Then::Nix)
        } else if self.count == MAX_SEARCH {
            Some(Then::More)
        } else {
            None
        }
    }

    /// Goes on to what ends the scan.
    async fn rest(&mut self, exec: &mut Exec) -> Then {
        loop {
            if let Some(then) = self.next(exec).await {
                return then;
            }
        }
    }

    fn may_be_nix(&self) -> bool {
        self.magic.starts_with(&self.heard)
    }

    fn noise(mut self, then: Then) -> Noise {
        if then == Then::Nix {
            self.heard.truncate(self.count - MAGIC_LEN);
        }
        Noise {
            heard: self.heard,
            then,
        }
    }
}
