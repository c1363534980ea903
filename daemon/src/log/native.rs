//! The journal, which is never waited for: what it does not take is lost, and counted.

use std::{
    fs::File,
    io::{self, Write},
    mem::MaybeUninit,
    os::{fd::AsFd, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr},
};
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, layer::Context};

use super::entry::Entry;

/// Where journald takes entries with their fields.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends what is logged to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: UnixDatagram,
    lost: AtomicUsize,
}

impl Journal {
    /// The journal that listens at `path`.
    ///
    /// # Errors
    /// Where nobody does.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let journal = Self {
            path: path.to_owned(),
            socket,
            lost: AtomicUsize::new(0),
        };
        // journald passes over an empty entry.
        match journal.put(&[]) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(journal),
        }
    }

    /// Sends an entry, or counts it as lost; says before it how many were.
    fn send(&self, entry: &Entry) {
        let lost = self.lost.load(Relaxed);
        if lost > 0 && self.put(&Entry::of_lost(lost).0).is_ok() {
            self.lost.fetch_sub(lost, Relaxed);
        }
        if self.put(&entry.0).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    fn put(&self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send_to(entry, &self.path) {
            Err(error) if error.raw_os_error() == Some(TOO_LONG) => self.put_large(entry),
            sent => sent.map(drop),
        }
    }

    /// An entry that is too long for a datagram goes as a sealed file in memory.
    fn put_large(&self, entry: &[u8]) -> io::Result<()> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("offloadd", flags)?);
        file.write_all(entry)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&files));
        let journal = SocketAddrUnix::new(&self.path)?;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg_addr(&self.socket, &journal, &[], &mut control, flags)?;
        Ok(())
    }
}

const TOO_LONG: i32 = rustix::io::Errno::MSGSIZE.raw_os_error();

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::new(event.metadata());
        event.record(&mut entry);
        self.send(&entry);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Read, Seek};

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use tracing::subscriber::with_default;
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    use super::*;

    fn journald() -> (tempfile::TempDir, UnixDatagram, Journal) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::new(&path).unwrap();
        // The empty one.
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 0);
        socket.set_nonblocking(true).unwrap();
        (directory, socket, journal)
    }

    fn read(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        let mut all = Vec::new();
        while let Ok(length) = socket.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        all
    }

    #[test]
    fn what_it_does_not_take_is_lost_and_counted() {
        let (_directory, socket, journal) = journald();
        with_default(Registry::default().with(journal), || {
            for number in 0..10_000 {
                tracing::info!("entry {number}");
            }
            let taken = read(&socket);
            let lost = 10_000 - taken.len();
            assert!(lost > 0);
            tracing::info!("the next");
            let later = read(&socket);
            let [told, next] = &later[..] else {
                panic!("{later:?}");
            };
            assert!(told.contains(&format!("{lost} messages")), "{told}");
            assert!(next.contains("the next"), "{next}");
            tracing::info!("the last");
            assert_eq!(read(&socket).len(), 1);
        });
    }

    #[test]
    fn an_entry_that_is_too_long_for_a_datagram_arrives_whole() {
        let (_directory, socket, journal) = journald();
        let text = "x".repeat(8 << 20);
        with_default(Registry::default().with(journal), || {
            tracing::info!("{text}");
        });
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0; 8];
        let mut iov = [IoSliceMut::new(&mut buffer)];
        recvmsg(&socket, &mut iov, &mut control, RecvFlags::empty()).unwrap();
        let Some(RecvAncillaryMessage::ScmRights(mut files)) = control.drain().next() else {
            panic!("no file");
        };
        let mut file = File::from(files.next().unwrap());
        let mut entry = String::new();
        file.rewind().unwrap();
        // The lengths are no text.
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        entry.push_str(&String::from_utf8_lossy(&bytes));
        assert!(entry.contains(&text));
        assert!(
            file.write_all(b"more").is_err(),
            "journald asks for a sealed one"
        );
    }
}
