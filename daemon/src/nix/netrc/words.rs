//! The words of a netrc file.

use std::{iter::Peekable, slice};

/// libcurl takes no longer word.
const MAX_WORD: usize = 4096;

/// A word, or what separates two where that means something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A word, without quotes and escapes.
    Text(Vec<u8>),
    /// Nothing, up to the end of a line: what ends a macro.
    Nothing,
}

/// libcurl gives up on the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// One after the other, until the end or what can't be read.
pub(super) struct Words<'t> {
    bytes: Peekable<slice::Iter<'t, u8>>,
    /// Whether a line begins here, which may be a comment.
    begins: bool,
}

impl<'t> Words<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self {
            bytes: text.iter().peekable(),
            begins: true,
        }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let byte = self.bytes.next().copied();
        self.begins = byte == Some(b'\n');
        byte
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) {
        while self.bytes.next_if(|byte| skipped(**byte)).is_some() {}
    }

    /// Skips blanks, and whole lines that begin with `#`: they are no empty lines.
    fn skip(&mut self) {
        let is_blank = |byte| matches!(byte, b' ' | b'\t');
        self.skip_while(is_blank);
        while self.begins && self.bytes.peek() == Some(&&b'#') {
            self.skip_while(|byte| byte != b'\n');
            self.next_byte();
            self.skip_while(is_blank);
        }
    }

    /// The byte behind it separates, whatever it is.
    fn plain(&mut self) -> Result<Vec<u8>, Unreadable> {
        let mut word = Vec::new();
        while let Some(byte) = self.bytes.next_if(|byte| **byte > b' ') {
            word.push(*byte);
        }
        self.next_byte();
        if word.is_empty() {
            Err(Unreadable)
        } else {
            Ok(word)
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, Unreadable> {
        let mut word = Vec::new();
        self.next_byte();
        loop {
            word.push(match self.next_byte().ok_or(Unreadable)? {
                b'"' => break,
                b'\\' => match self.next_byte().ok_or(Unreadable)? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                },
                other => other,
            });
        }
        self.next_byte();
        Ok(word)
    }
}

impl Iterator for Words<'_> {
    type Item = Result<Word, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip();
        let word = match self.bytes.peek()? {
            b'\n' => {
                self.next_byte();
                return Some(Ok(Word::Nothing));
            }
            b'"' => self.quoted(),
            _ => self.plain(),
        };
        let word = word.and_then(|word| {
            if word.len() > MAX_WORD {
                Err(Unreadable)
            } else {
                Ok(word)
            }
        });
        Some(word.map(Word::Text))
    }
}
