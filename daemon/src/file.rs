//! Regular files, read within a bound, that keep nobody waiting: a pipe in the place of a file would
//! hold up everything that one thread does.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{OFlags, makedev};

/// Opens a file without waiting; `/dev/null` counts as one that is empty.
///
/// # Errors
/// What the system says; `IsADirectory`; `InvalidInput` for any other thing that is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // The opening is what waits, for the other end of a pipe or for a line of a terminal.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    regular(file)
}

/// Hands a file that is open on, where it is a regular one or `/dev/null`.
///
/// # Errors
/// `IsADirectory`; `InvalidInput` for any other thing that is no regular file.
pub(crate) fn regular(file: File) -> io::Result<File> {
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // null(4): what people link to where they want nothing.
    let is_null = kind.is_char_device() && metadata.rdev() == makedev(1, 3);
    if !kind.is_file() && !is_null {
        let text = "not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(file)
}

/// Reads a file whole.
///
/// # Errors
/// As [`open`]; `FileTooLarge` beyond `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    contents(open(path)?, most)
}

/// Reads a file whole that is open.
///
/// # Errors
/// `FileTooLarge` beyond `most` bytes.
pub(crate) fn contents(file: File, most: u64) -> io::Result<Vec<u8>> {
    // One byte more, so that the end is seen without asking for more room.
    let mut bytes = Vec::with_capacity(file.metadata()?.len().min(most) as usize + 1);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn refused(path: &Path) -> io::ErrorKind {
        read(path, 10).unwrap_err().kind()
    }

    #[test]
    fn what_is_no_regular_file_is_never_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(refused(&pipe), io::ErrorKind::InvalidInput);
        assert_eq!(refused(Path::new("/dev/zero")), io::ErrorKind::InvalidInput);
        assert_eq!(refused(Path::new("/")), io::ErrorKind::IsADirectory);
        assert_eq!(
            refused(&directory.path().join("none")),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn the_null_device_is_an_empty_file() {
        assert_eq!(read(Path::new("/dev/null"), 10).unwrap(), b"");
    }

    #[test]
    fn a_file_beyond_the_bound_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(10).unwrap();
        assert_eq!(read(file.path(), 10).unwrap(), [0; 10]);
        file.as_file().set_len(11).unwrap();
        assert_eq!(refused(file.path()), io::ErrorKind::FileTooLarge);
    }
}
