//! A message bus inside the process, for a machine or a moment without one.
//!
//! It has no policy, so its socket lies in a directory that only its user can enter.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

/// A bus inside the process. Its socket goes when this does.
#[derive(Debug)]
pub struct EmbeddedBus {
    socket: PathBuf,
}

/// Why there is no embedded bus.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedBusError {
    /// Another daemon serves that socket.
    #[error("{0}: another offloadd serves its bus there; stop it, or set OFFLOADD_RUNTIME_DIR")]
    InUse(PathBuf),
    /// The socket's directory could be entered by others.
    #[error("{0}: the directory must belong to the user that runs offloadd, with mode 0700")]
    Unsafe(PathBuf),
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
    /// Starts the bus on a thread of its own, listening on `socket`.
    pub fn start(socket: &Path) -> Result<Self, EmbeddedBusError> {
        prepare(socket)?;
        let (started, start) = mpsc::channel();
        let address = format!("unix:path={}", socket.display());
        thread::Builder::new()
            .name("embedded-bus".to_owned())
            .spawn(move || serve(&address, &started))
            .map_err(|source| io_error(socket, source))?;
        match start.recv() {
            Ok(Ok(())) => Ok(Self {
                socket: socket.to_owned(),
            }),
            Ok(Err(text)) => Err(EmbeddedBusError::Bus(text)),
            Err(_) => Err(EmbeddedBusError::Bus("its thread ended".to_owned())),
        }
    }

    /// The address for clients.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        // What can't be removed now is found stale, and removed, at the next start.
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

/// Makes the socket's directory, and clears away a socket that nobody serves.
fn prepare(socket: &Path) -> Result<(), EmbeddedBusError> {
    let directory = socket.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|source| io_error(directory, source))?;
    let metadata = fs::symlink_metadata(directory).map_err(|source| io_error(directory, source))?;
    let own = rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || metadata.uid() != own {
        return Err(EmbeddedBusError::Unsafe(directory.to_owned()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        // systemd's RuntimeDirectory= is open to readers; the bus must not be.
        let tightened = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
        tightened.map_err(|source| io_error(directory, source))?;
    }
    match UnixStream::connect(socket) {
        Ok(_) => Err(EmbeddedBusError::InUse(socket.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => fs::remove_file(socket).map_err(|source| io_error(socket, source)),
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
    use super::*;

    #[test]
    fn the_embedded_bus_serves_clients_and_its_socket_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("offloadd/bus");
        let bus = EmbeddedBus::start(&socket).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let builder = zbus::connection::Builder::address(&*bus.address());
            let connection = builder.build().await.unwrap();
            assert!(connection.unique_name().is_some());
        });
        let mode = fs::metadata(socket.parent().unwrap())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(bus);
        assert!(!socket.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bus");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let bus = EmbeddedBus::start(&socket).unwrap();
        let second = EmbeddedBus::start(&socket).unwrap_err();
        assert!(matches!(second, EmbeddedBusError::InUse(_)), "{second}");
        drop(bus);
    }
}
