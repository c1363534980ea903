//! Opens a file where nobody but root can have put it.
//!
//! A link or a folder of somebody else's on the way could lead root to any file of root's, at any moment. So each
//! step is taken by itself and looked at (`openat`, `O_NOFOLLOW`), and what others may exchange is not opened, though
//! root's own programs would.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat},
    process::geteuid,
};

use crate::{file, files::Files};

/// As many links as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// So much of a file is looked at for a private key, in bytes: no key is as large.
const LOOKED_AT: usize = 64 << 10;
/// In the first line of each of OpenSSH's and PEM's private keys (PKCS1, PKCS8, SEC1, OpenSSH's own).
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";

/// Why a file is not handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Somebody else may put another thing there.
    #[error("others than root may exchange {0}")]
    NotRoots(PathBuf),
    /// It is relative.
    #[error("not an absolute path")]
    Relative,
    /// It holds a private key.
    #[error("there is a private key in it")]
    PrivateKey,
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => error,
            error => Self::new(io::ErrorKind::PermissionDenied, error),
        }
    }
}

/// What nobody but root has put where it is.
pub(super) struct Roots;

impl Files for Roots {
    fn open(&self, path: &Path) -> io::Result<File> {
        Ok(walk(path)?)
    }

    fn has_roots_home(&self) -> bool {
        true
    }
}

/// Opens a regular file for reading, in which there is no private key.
///
/// # Errors
/// [`OpenError`].
pub(super) fn open(path: &Path) -> Result<File, OpenError> {
    let file = walk(path)?;
    let mut start = vec![0; LOOKED_AT];
    let length = file.read_at(&mut start, 0)?;
    let mut windows = start[..length].windows(PRIVATE_KEY.len());
    if windows.any(|window| window == PRIVATE_KEY) {
        Err(OpenError::PrivateKey)
    } else {
        Ok(file)
    }
}

/// Opens a folder of root's, to be named by its descriptor and nothing else.
///
/// # Errors
/// [`OpenError`].
pub(super) fn folder(path: &Path) -> Result<OwnedFd, OpenError> {
    match step_by_step(path)? {
        End::Folder(folder) if is_ours(&fstat(&folder).map_err(io::Error::from)?) => Ok(folder),
        End::Folder(_) => Err(OpenError::NotRoots(path.to_owned())),
        End::File(_) => Err(io::Error::from(io::ErrorKind::NotADirectory).into()),
    }
}

/// Opens a regular file for reading.
///
/// # Errors
/// [`OpenError`].
pub(super) fn walk(path: &Path) -> Result<File, OpenError> {
    match step_by_step(path)? {
        End::File(file) => Ok(file),
        End::Folder(_) => Err(io::Error::from(io::ErrorKind::IsADirectory).into()),
    }
}

/// What a path leads to.
enum End {
    File(File),
    Folder(OwnedFd),
}

fn step_by_step(path: &Path) -> Result<End, OpenError> {
    const STEP: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let open_root = || openat(CWD, "/", STEP, Mode::empty()).map_err(io::Error::from);
    if !path.is_absolute() {
        return Err(OpenError::Relative);
    }
    // The folders down to where we are.
    let mut way: Vec<OwnedFd> = vec![open_root()?];
    // What is still to go, the next part last.
    let mut parts = reversed(path);
    let mut links = 0;
    while let Some(part) = parts.pop() {
        let part = match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => name.to_owned(),
            Some(Component::RootDir) => {
                way.truncate(1);
                continue;
            }
            Some(Component::ParentDir) => {
                way.truncate(way.len().saturating_sub(1).max(1));
                continue;
            }
            Some(Component::CurDir | Component::Prefix(_)) | None => continue,
        };
        let folder = way.last().ok_or_else(not_found)?.as_fd();
        let step = openat(folder, &part, STEP, Mode::empty()).map_err(io::Error::from)?;
        let stat = fstat(&step).map_err(io::Error::from)?;
        if !is_roots(&fstat(folder).map_err(io::Error::from)?, &stat) {
            return Err(OpenError::NotRoots(path.to_owned()));
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::from(rustix::io::Errno::LOOP).into());
                }
                let target = readlinkat(&step, "", Vec::new()).map_err(io::Error::from)?;
                let target = std::ffi::OsStr::from_bytes(target.as_bytes());
                parts.extend(reversed(Path::new(target)));
            }
            FileType::Directory => way.push(step),
            // What follows a file is in no folder.
            _ if !parts.is_empty() => {
                return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
            }
            FileType::RegularFile => {
                let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
                let opened =
                    openat(folder, &part, flags, Mode::empty()).map_err(io::Error::from)?;
                let now = fstat(&opened).map_err(io::Error::from)?;
                // Root's own programs may exchange it as well: they are asked again.
                if (now.st_dev, now.st_ino) != (stat.st_dev, stat.st_ino) {
                    return Err(not_found().into());
                }
                return Ok(End::File(file::regular(opened.into())?));
            }
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
        }
    }
    Ok(End::Folder(way.pop().ok_or_else(not_found)?))
}

/// Whether it is root's, or whose this process is.
fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == geteuid().as_raw()
}

/// Whether nobody but root, or whoever this is, can have put an entry into its folder: either nobody else may write
/// there, or who may can't take away what is not his (`S_ISVTX`, inode(7)), as in `/nix/store`.
fn is_roots(folder: &Stat, entry: &Stat) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let is_closed = folder.st_mode & OTHERS_WRITE == 0;
    is_ours(folder) && (is_closed || (folder.st_mode & STICKY != 0 && is_ours(entry)))
}

fn reversed(path: &Path) -> Vec<std::ffi::OsString> {
    let parts = path.components().rev();
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}
