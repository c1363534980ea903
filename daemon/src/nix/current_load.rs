//! How many of a builder's slots this machine's Nix uses now.
//!
//! Nix's build hook has one file for each slot, and holds a lock on it for as long as the build
//! goes on (`openSlotLock` in src/nix/build-remote/build-remote.cc; `lockFile` in
//! src/libstore/unix/pathlocks.cc is an exclusive `flock(2)`). The kernel tells who holds one in
//! `/proc/locks`, so that nobody has to take a lock, and with it a slot, to learn whether it is free.
//!
//! A unit that wants to read it needs `ProcSubset=all` and no PID namespace of its own
//! (`PrivatePIDs=`): the kernel leaves out what other namespaces hold. `ProtectProc=` does not matter.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, StatxFlags, statx},
    io::Errno,
};

use super::uri::{self, StoreUri};

/// How many slots are looked at. Nix takes the first free one, so that those beyond are free
/// unless all of these are taken.
const MAX_SLOTS: usize = 1024;
/// How much of one of the kernel's tables is read, in bytes.
const MAX_TABLE: u64 = 1 << 20;
/// How long a line of it may be, in bytes: that of a lock has some seventy.
const MAX_LINE: u64 = 8192;

/// Where Nix keeps its state unless it was built or told otherwise.
pub const DEFAULT_STATE_DIR: &str = "/nix/var/nix";

/// The beginnings of the paths of a builder's slot files; the number of the slot, from 0, follows.
/// More than one where versions of Nix differ: before 2.23 the file had the store URL's name as it
/// was written, now it has it as Nix would write it (`StoreReference::render`,
/// src/libstore/store-reference.cc).
pub fn slots(state_dir: &Path, store_uri: &str) -> Vec<PathBuf> {
    let directory = state_dir.join("current-load");
    // `escapeUri`, src/nix/build-remote/build-remote.cc.
    let path = |uri: &str| directory.join(format!("{}-", uri.replace('/', "_")));
    let mut paths = vec![path(store_uri)];
    if let Some(rendered) = rendered(store_uri).filter(|rendered| rendered != store_uri) {
        paths.push(path(&rendered));
    }
    paths
}

/// How many slots are in use, and how many there are. Each entry is one line of the machines file:
/// what [`slots`] gives for it, and its number of slots; two lines of the same URL share theirs.
///
/// # Errors
/// Where the kernel does not tell, or the files are in a place that can't be looked into.
pub fn in_use<'a>(lines: impl IntoIterator<Item = (&'a [PathBuf], u32)>) -> io::Result<(u32, u32)> {
    in_use_by(lines, Path::new("/proc"))
}

fn in_use_by<'a>(
    lines: impl IntoIterator<Item = (&'a [PathBuf], u32)>,
    proc: &Path,
) -> io::Result<(u32, u32)> {
    let mut builders: BTreeMap<&[PathBuf], u32> = BTreeMap::new();
    for (paths, count) in lines {
        let most = builders.entry(paths).or_default();
        *most = count.max(*most);
    }
    let total = builders.values().copied().fold(0, u32::saturating_add);
    let numbers = builders
        .iter()
        .flat_map(|(paths, count)| (0..*count).map(move |number| (*paths, number)));
    let mut files = Vec::new();
    for (slot, (paths, number)) in numbers.take(MAX_SLOTS).enumerate() {
        for path in paths {
            if let Some(file) = SlotFile::find(path, number, slot)? {
                files.push(file);
            }
        }
    }
    // A file that is not there is a slot that was never used.
    if !files.is_empty() {
        mark_locked(&mut files, proc)?;
    }
    let mut used: Vec<usize> = files
        .iter()
        .filter(|f| f.is_locked)
        .map(|f| f.slot)
        .collect();
    used.dedup();
    Ok((u32::try_from(used.len()).unwrap_or(u32::MAX), total))
}

/// A slot's file.
struct SlotFile {
    slot: usize,
    inode: u64,
    /// What `stat(2)` says.
    device: Device,
    mount: u64,
    is_locked: bool,
}

/// Major and minor number.
type Device = (u32, u32);

impl SlotFile {
    fn find(prefix: &Path, number: u32, slot: usize) -> io::Result<Option<Self>> {
        let mut path = prefix.as_os_str().to_owned();
        path.push(number.to_string());
        let flags = StatxFlags::INO | StatxFlags::MNT_ID;
        match statx(CWD, &path, AtFlags::SYMLINK_NOFOLLOW, flags) {
            Ok(found) => Ok(Some(Self {
                slot,
                inode: found.stx_ino,
                device: (found.stx_dev_major, found.stx_dev_minor),
                mount: found.stx_mnt_id,
                is_locked: false,
            })),
            // A name that is too long for a file is one that Nix could not make either.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Marks those files that somebody holds a lock on.
fn mark_locked(files: &mut [SlotFile], proc: &Path) -> io::Result<()> {
    let mut held: Vec<Lock> = Vec::new();
    read_table(&proc.join("locks"), |line| {
        let is_ours = |lock: &Lock| files.iter().any(|file| file.inode == lock.inode);
        if let Some(lock) = Lock::parse(line).filter(is_ours)
            && !held.contains(&lock)
        {
            held.push(lock);
        }
    })?;
    // On btrfs, whose subvolumes have device numbers of their own, `stat` and the kernel's table
    // of locks name different ones. The table of mounts has the same as that of locks.
    let is_strange = |lock: &&Lock| {
        let same_inode = files.iter().filter(|file| file.inode == lock.inode);
        same_inode.clone().all(|file| file.device != lock.device)
    };
    let mut mounts = BTreeMap::new();
    if held.iter().any(|lock| is_strange(&lock)) {
        read_table(&proc.join("self/mountinfo"), |line| {
            let mount = mount(line).filter(|(id, _)| files.iter().any(|file| file.mount == *id));
            mounts.extend(mount);
        })?;
    }
    for file in files {
        let devices = [Some(&file.device), mounts.get(&file.mount)];
        file.is_locked = held
            .iter()
            .any(|lock| lock.inode == file.inode && devices.contains(&Some(&lock.device)));
    }
    Ok(())
}

/// A lock as Nix takes them that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lock {
    device: Device,
    inode: u64,
}

impl Lock {
    /// A line of `/proc/locks` (proc_locks(5)): `1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF`.
    /// One with `->` waits for a lock and holds none.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(1);
        if (words.next(), words.nth(1)) != (Some("FLOCK"), Some("WRITE")) {
            return None;
        }
        let mut file = words.nth(1)?.split(':');
        let mut hexadecimal = || u32::from_str_radix(file.next()?, 16).ok();
        let device = (hexadecimal()?, hexadecimal()?);
        let inode = file.next()?.parse().ok()?;
        Some(Self { device, inode })
    }
}

/// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)): `36 35 0:32 / /nix rw … - btrfs …`.
fn mount(line: &str) -> Option<(u64, Device)> {
    let mut words = line.split_ascii_whitespace();
    let id = words.next()?.parse().ok()?;
    let (major, minor) = words.nth(1)?.split_once(':')?;
    Some((id, (major.parse().ok()?, minor.parse().ok()?)))
}

/// What must hold of the kernel's tables: a lock that is read is the same, written as the kernel writes it.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn fuzz(table: &[u8]) {
    for line in String::from_utf8_lossy(table).lines() {
        if let Some(lock) = Lock::parse(line) {
            let (major, minor) = lock.device;
            let inode = lock.inode;
            let line = format!("1: FLOCK  ADVISORY  WRITE 1 {major:02x}:{minor:02x}:{inode} 0 EOF");
            assert_eq!(Lock::parse(&line), Some(lock));
        }
        if let Some((id, (major, minor))) = mount(line) {
            let line = format!("{id} 1 {major}:{minor} / / rw - tmpfs tmpfs rw");
            assert_eq!(mount(&line), Some((id, (major, minor))));
        }
    }
}

/// Calls `each` with each line of a table of the kernel's.
fn read_table(path: &Path, mut each: impl FnMut(&str)) -> io::Result<()> {
    let mut table = BufReader::new(File::open(path)?.take(MAX_TABLE));
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut table).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        // A mount point may have any name; what counts stands before it.
        each(&String::from_utf8_lossy(&line));
    }
    match table.get_ref().limit() {
        0 => Err(ErrorKind::FileTooLarge.into()),
        _ => Ok(()),
    }
}

/// A store URL over SSH as new versions of Nix write it: the parameters in order, and what may not
/// stand in a query encoded. `None` for what they could not read.
fn rendered(store_uri: &str) -> Option<String> {
    let StoreUri::Ssh(ssh) = uri::parse(store_uri).ok()? else {
        return None;
    };
    let base = store_uri.split(['?', '#']).next()?;
    let (scheme, authority) = base.split_once("://")?;
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{user}@"), host),
        None => (String::new(), authority),
    };
    // An address of version 6 that stands without its brackets.
    let host = if host.matches(':').count() > 1 && !host.starts_with('[') {
        format!("[{}]", host.replacen('%', "%25", 1))
    } else {
        host.to_owned()
    };
    let mut text = format!("{scheme}://{user}{host}");
    let mut separator = '?';
    for (name, value) in &ssh.params {
        text.push(separator);
        encode(&mut text, name);
        text.push('=');
        encode(&mut text, value);
        separator = '&';
    }
    Some(text)
}

/// `percentEncode` with what `encodeQuery` leaves (src/libutil/url.cc).
fn encode(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@/?".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests;
