//! What Nix's line formats share: its white space, its numbers, and files read within bounds.

use std::{io, path::Path};

use crate::files::Files;

/// The most that is read of one file; a real nix.conf, machines or known_hosts file is far smaller.
pub(super) const MAX_FILE: u64 = 4 << 20;

/// How much is left to be read of files that name each other, and may do so again and again: together they
/// hold no more than one may.
pub(super) struct Room(u64);

impl Room {
    /// Nothing was read yet.
    pub(super) fn new() -> Self {
        Self(MAX_FILE)
    }

    /// Reads one more.
    ///
    /// # Errors
    /// What `read` says; `FileTooLarge` where there is no room for it, and of all that come after it.
    pub(super) fn read(&mut self, read: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
        if self.0 > 0 {
            let contents = read()?;
            let left = self.0.checked_sub(contents.len() as u64);
            self.0 = left.unwrap_or(0);
            if left.is_some() {
                return Ok(contents);
            }
        }
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

/// Splits as Nix's `tokenizeString` does by default (src/libutil/include/nix/util/strings.hh): runs
/// of space, tab, newline and carriage return separate, no token is empty.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|token| !token.is_empty())
}

/// Nix's white space, for [`str::split`] and [`str::trim_matches`].
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The lines as Nix counts them (`\n` alone ends one), numbered from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1..).zip(text.split('\n'))
}

/// Reads a regular file whole, [`of`] what it holds.
///
/// # Errors
/// As [`Files::read`], `FileTooLarge` beyond [`MAX_FILE`].
pub(super) fn read(files: &dyn Files, path: &Path) -> io::Result<String> {
    Ok(of(files.read(path, MAX_FILE)?))
}

/// Bytes that are no UTF-8, which Nix would pass on as they are, become U+FFFD.
pub(super) fn of(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Direct;

    #[test]
    fn tokens_are_split_at_the_white_space_of_nix_alone() {
        let found: Vec<_> = tokens(" a\tb\r c\u{b}d \n").collect();
        assert_eq!(found, ["a", "b", "c\u{b}d"]);
    }

    #[test]
    fn a_file_beyond_the_bound_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_FILE + 1).unwrap();
        assert_eq!(
            read(&Direct, file.path()).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn bytes_that_are_no_utf8_are_read_with_a_replacement() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a\xffb").unwrap();
        assert_eq!(read(&Direct, file.path()).unwrap(), "a\u{fffd}b");
    }
}
