//! Where the embedded bus listens: one rule for the daemon that serves it and for its clients.
//!
//! `$OFFLOADD_RUNTIME_DIR/bus` where that is set; else root's is `/run/offloadd/bus`, and anybody
//! else's `$XDG_RUNTIME_DIR/offloadd/bus` or, without one, `/tmp/offloadd-UID/bus`.

use std::{
    ffi::OsString,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use zbus::address::{
    Address, Transport,
    transport::{Unix, UnixSocket},
};

/// The variable that names the directory of the socket.
pub const RUNTIME_DIR_VARIABLE: &str = "OFFLOADD_RUNTIME_DIR";

const ROOTS_DIR: &str = "/run/offloadd";

/// Why a socket is not trusted, or not there.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No daemon listens there, or it can't be seen.
    #[error("{0}")]
    Missing(io::Error),
    /// What is there is no socket.
    #[error("not a socket")]
    NotASocket,
    /// It, or its directory, belongs to somebody else.
    #[error("belongs to user {0}, who is neither root nor you")]
    Foreign(u32),
    /// Anybody could have put a socket there.
    #[error("its directory can be written by others")]
    Writable,
}

/// The socket that a daemon of this user serves.
pub fn socket_for_server() -> PathBuf {
    server(&environment, uid())
}

/// The same as a D-Bus address: `unix:path=…`.
pub fn address_for_server() -> String {
    address(&socket_for_server()).to_string()
}

/// The sockets at which this user may find a daemon, the likeliest first.
pub fn candidates() -> Vec<PathBuf> {
    clients(&environment, uid())
}

/// Whether what listens at `socket` can be believed: it and its directory belong to root or to
/// this user, and nobody else can put anything there.
pub fn check(socket: &Path) -> Result<(), EmbeddedError> {
    let trusted = |owner: u32| owner == 0 || owner == uid();
    let directory = socket.parent().unwrap_or(Path::new("/"));
    let place = std::fs::symlink_metadata(directory).map_err(EmbeddedError::Missing)?;
    if !trusted(place.uid()) {
        return Err(EmbeddedError::Foreign(place.uid()));
    }
    if place.mode() & 0o022 != 0 {
        return Err(EmbeddedError::Writable);
    }
    let found = std::fs::symlink_metadata(socket).map_err(EmbeddedError::Missing)?;
    if !trusted(found.uid()) {
        return Err(EmbeddedError::Foreign(found.uid()));
    }
    if !found.file_type().is_socket() {
        return Err(EmbeddedError::NotASocket);
    }
    Ok(())
}

/// The D-Bus address of a socket.
pub(crate) fn address(socket: &Path) -> Address {
    Address::new(Transport::Unix(Unix::new(UnixSocket::File(socket.into()))))
}

fn server(env: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> PathBuf {
    if let Some(dir) = named(env) {
        return dir.join("bus");
    }
    if uid == 0 {
        return Path::new(ROOTS_DIR).join("bus");
    }
    session(env).unwrap_or_else(|| fallback(uid))
}

fn clients(env: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Vec<PathBuf> {
    if let Some(dir) = named(env) {
        return vec![dir.join("bus")];
    }
    let roots = Path::new(ROOTS_DIR).join("bus");
    if uid == 0 {
        return vec![roots];
    }
    // The daemon may have been started where XDG_RUNTIME_DIR is not set: `su`, cron, a container.
    session(env)
        .into_iter()
        .chain([fallback(uid), roots])
        .collect()
}

fn named(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let dir = env(RUNTIME_DIR_VARIABLE).filter(|dir| !dir.is_empty())?;
    Some(std::path::absolute(&dir).unwrap_or_else(|_| dir.into()))
}

/// A relative XDG_RUNTIME_DIR is to be ignored, says the XDG Base Directory Specification.
fn session(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let dir = PathBuf::from(env("XDG_RUNTIME_DIR")?);
    dir.is_absolute().then(|| dir.join("offloadd/bus"))
}

fn fallback(uid: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/offloadd-{uid}/bus"))
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::{fs::PermissionsExt, net::UnixListener},
    };

    use super::*;

    fn env<'a>(set: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        }
    }

    #[test]
    fn a_client_finds_what_the_daemon_of_the_same_user_serves() {
        let environments: [&[(&str, &str)]; 4] = [
            &[],
            &[("XDG_RUNTIME_DIR", "/run/user/1000")],
            &[("OFFLOADD_RUNTIME_DIR", "/srv/x")],
            &[("XDG_RUNTIME_DIR", "relative")],
        ];
        for set in environments {
            for uid in [0, 1000] {
                let served = server(&env(set), uid);
                assert!(clients(&env(set), uid).contains(&served), "{set:?} {uid}");
            }
        }
    }

    #[test]
    fn the_rule_is_the_documented_one() {
        let session = &[("XDG_RUNTIME_DIR", "/run/user/1000")];
        assert_eq!(server(&env(session), 0), Path::new("/run/offloadd/bus"));
        assert_eq!(
            server(&env(session), 1000),
            Path::new("/run/user/1000/offloadd/bus")
        );
        assert_eq!(server(&env(&[]), 1000), Path::new("/tmp/offloadd-1000/bus"));
        assert_eq!(
            clients(&env(session), 1000),
            [
                "/run/user/1000/offloadd/bus",
                "/tmp/offloadd-1000/bus",
                "/run/offloadd/bus"
            ]
            .map(PathBuf::from)
        );
    }

    #[test]
    fn a_socket_in_a_directory_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let _listener = UnixListener::bind(&socket).unwrap();
        check(&socket).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(check(&socket), Err(EmbeddedError::Writable)));
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        assert!(matches!(check(&socket), Err(EmbeddedError::Missing(_))));
        fs::write(&socket, "").unwrap();
        assert!(matches!(check(&socket), Err(EmbeddedError::NotASocket)));
    }

    #[test]
    fn somebody_elses_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let _listener = UnixListener::bind(&socket).unwrap();
        // Only root can give a directory away; anybody else can look at one of the system's users.
        if std::os::unix::fs::chown(dir.path(), Some(12345), None).is_ok() {
            assert!(matches!(check(&socket), Err(EmbeddedError::Foreign(12345))));
        }
    }

    #[test]
    fn the_address_can_be_read_back() {
        let address = address(Path::new("/tmp/with space,comma/bus")).to_string();
        assert_eq!(address, "unix:path=/tmp/with%20space%2ccomma/bus");
        address.parse::<Address>().unwrap();
    }
}
