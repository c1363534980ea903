//! A message bus inside the process, for a machine or a moment without one.
//!
//! It has no policy, so its socket lies in a directory that only its user can enter. What was there
//! before is never changed: the runtime directory may be `/tmp` or `/run/offloadd`, which others need.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use offload_client::embedded::{self, EmbeddedError};
use zbus::Address;

/// A bus inside the process. Its socket goes when this does.
#[derive(Debug)]
pub struct EmbeddedBus {
    socket: PathBuf,
    /// The socket's directory, locked: as long as it is open the socket is ours.
    lock: File,
}

/// Why there is no embedded bus.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedBusError {
    /// Another daemon serves that socket.
    #[error("{0}: another offloadd serves its bus there; stop it, or set OFFLOADD_RUNTIME_DIR")]
    InUse(PathBuf),
    /// The socket's directory could be entered by others.
    #[error(
        "{0}: this must be a directory of the user that runs offloadd, with mode 0700; remove it, \
         or set OFFLOADD_RUNTIME_DIR to a directory of your own"
    )]
    Unsafe(PathBuf),
    /// Others could replace the socket's directory.
    #[error("{path}: {source}; set OFFLOADD_RUNTIME_DIR to a directory of your own")]
    UnsafeRuntimeDir {
        /// The directory around the socket's.
        path: PathBuf,
        /// What is wrong with it.
        source: EmbeddedError,
    },
    /// The directory or the socket can't be made.
    #[error("{path}: {source}")]
    Io {
        /// What could not be made.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bus did not start.
    #[error("the embedded bus did not start: {0}")]
    Bus(String),
}

impl EmbeddedBus {
    /// Starts the bus on a thread of its own, listening on `socket`, which lies in a directory of
    /// its own in the runtime directory. Both are made where they are missing.
    ///
    /// # Errors
    /// [`EmbeddedBusError`]; a socket that another daemon serves is left alone.
    pub fn start(socket: &Path) -> Result<Self, EmbeddedBusError> {
        let bus = Self {
            lock: prepare(socket)?,
            socket: socket.to_owned(),
        };
        let (started, start) = mpsc::channel();
        // busd takes a text and zbus (6.2) undoes no escapes in it: by way of the lock the path
        // has none, and it is the very directory that was looked at.
        let address = match socket.file_name() {
            Some(name) => format!(
                "unix:path=/proc/self/fd/{}/{}",
                bus.lock.as_raw_fd(),
                name.display()
            ),
            None => return Err(io_error(socket, io::ErrorKind::InvalidFilename.into())),
        };
        thread::Builder::new()
            .name("embedded-bus".to_owned())
            .spawn(move || serve(&address, &started))
            .map_err(|source| io_error(socket, source))?;
        match start.recv() {
            Ok(Ok(())) => Ok(bus),
            Ok(Err(text)) => Err(bus.failed(&text)),
            Err(_) => Err(bus.failed("its thread ended")),
        }
    }

    /// The address for clients.
    pub fn address(&self) -> Address {
        embedded::address(&self.socket)
    }

    fn failed(&self, text: &str) -> EmbeddedBusError {
        EmbeddedBusError::Bus(format!("{}: {text}", self.socket.display()))
    }
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        // Still locked, so it is ours. What can't be removed now is removed at the next start.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Runs the bus until the process ends.
fn serve(address: &str, started: &mpsc::Sender<Result<(), String>>) {
    zruntime::block_on(async {
        let bus = busd::bus::Bus::for_address(Some(address)).await;
        let mut bus = match bus {
            Ok(bus) => bus,
            Err(error) => {
                let _ = started.send(Err(format!("{error:#}")));
                return;
            }
        };
        let _ = started.send(Ok(()));
        if let Err(error) = bus.run().await {
            tracing::error!("the embedded bus ended: {error:#}");
        }
    });
}

/// Makes the socket's directory, locks it, and clears away what a daemon that ended left in it.
fn prepare(socket: &Path) -> Result<File, EmbeddedBusError> {
    let directory = socket.parent().unwrap_or(Path::new("/"));
    let runtime_dir = directory.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(runtime_dir)
        .map_err(|source| io_error(runtime_dir, source))?;
    embedded::check_runtime_dir(runtime_dir).map_err(|source| {
        let path = runtime_dir.to_owned();
        EmbeddedBusError::UnsafeRuntimeDir { path, source }
    })?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io_error(directory, error));
        }
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(directory).map_err(|source| io_error(directory, source))?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !own || found.mode() & 0o077 != 0 {
        return Err(EmbeddedBusError::Unsafe(directory.to_owned()));
    }
    let lock = lock(directory, socket)?;
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(socket, error)),
        Ok(()) | Err(_) => Ok(lock),
    }
}

/// Locks the directory itself: no file to leave behind, and systemd-tmpfiles(8) does not clean up
/// in a directory that is locked. The kernel unlocks it however the process ends.
fn lock(directory: &Path, socket: &Path) -> Result<File, EmbeddedBusError> {
    let opened = File::open(directory).map_err(|source| io_error(directory, source))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(EmbeddedBusError::InUse(socket.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error(directory, source)),
    }
}

fn io_error(path: &Path, source: io::Error) -> EmbeddedBusError {
    EmbeddedBusError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    };

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_embedded_bus_serves_clients_and_its_socket_is_private() {
        let directory = tempfile::tempdir().unwrap();
        // Signs that mean something in an address.
        let socket = embedded::socket_in(&directory.path().join("a b,c=d%20;e"));
        let bus = EmbeddedBus::start(&socket).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let builder = zbus::connection::Builder::address(bus.address());
            let connection = builder.build().await.unwrap();
            assert!(connection.unique_name().is_some());
        });
        embedded::check(&socket).unwrap();
        assert_eq!(mode(socket.parent().unwrap()), 0o700);
        drop(bus);
        assert!(!socket.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let socket = embedded::socket_in(directory.path());
        fs::create_dir(socket.parent().unwrap()).unwrap();
        set_mode(socket.parent().unwrap(), 0o700);
        drop(UnixListener::bind(&socket).unwrap());
        let bus = EmbeddedBus::start(&socket).unwrap();
        let second = EmbeddedBus::start(&socket).unwrap_err();
        assert!(matches!(second, EmbeddedBusError::InUse(_)), "{second}");
        UnixStream::connect(&socket).unwrap();
        drop(bus);
        EmbeddedBus::start(&socket).unwrap();
    }

    #[test]
    fn a_directory_that_was_there_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let socket = embedded::socket_in(directory.path());
        for shared in [0o755, 0o1777] {
            set_mode(directory.path(), shared);
            EmbeddedBus::start(&socket).unwrap();
            assert_eq!(mode(directory.path()), shared);
        }
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let socket = embedded::socket_in(directory.path());
        let private = socket.parent().unwrap();
        fs::create_dir(private).unwrap();
        set_mode(private, 0o750);
        let refused = EmbeddedBus::start(&socket).unwrap_err();
        assert!(matches!(refused, EmbeddedBusError::Unsafe(_)), "{refused}");
        assert_eq!(mode(private), 0o750);
    }

    #[test]
    fn a_runtime_directory_in_which_others_can_replace_ours_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        set_mode(directory.path(), 0o777);
        let refused = EmbeddedBus::start(&embedded::socket_in(directory.path())).unwrap_err();
        assert!(
            matches!(refused, EmbeddedBusError::UnsafeRuntimeDir { .. }),
            "{refused}"
        );
        assert!(!directory.path().join("embedded").exists());
    }
}
