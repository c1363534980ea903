//! Where the embedded bus listens: one rule for the daemon that serves it and for its clients.
//!
//! At `embedded/bus` in the runtime directory: that is `$OFFLOADD_RUNTIME_DIR` where it is set; else
//! root's is `/run/offloadd`, and anybody else's `$XDG_RUNTIME_DIR/offloadd` or, without one,
//! `/tmp/offloadd-UID`. The runtime directory may be shared and open to readers, `embedded` is the
//! daemon's own: the bus has no policy, so that who can enter it may do everything.

use std::{
    ffi::OsString,
    fs::Metadata,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use zbus::address::{
    Address, Transport,
    transport::{Unix, UnixSocket},
};

use crate::language::{say, tr};

/// The variable that names the directory of the socket.
pub const RUNTIME_DIR_VARIABLE: &str = "OFFLOADD_RUNTIME_DIR";

const ROOTS_DIR: &str = "/run/offloadd";

/// Mode bits: group and others may write; only its owner may rename or remove what is in it.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Why a socket is not trusted, or not there.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No daemon listens there, or it can't be seen.
    #[error("{0}")]
    Missing(io::Error),
    /// What is there is no socket.
    #[error("{}", tr("not a socket"))]
    NotASocket,
    /// Where the socket's directory should be, or the directory around it, is none.
    #[error("{}", tr("not a directory"))]
    NotADirectory,
    /// It, or a directory that it is in, belongs to somebody else.
    #[error("{}", foreign(*.0))]
    Foreign(u32),
    /// Anybody could have put a socket there.
    #[error("{}", writable(.0))]
    Writable(PathBuf),
}

fn foreign(user: u32) -> String {
    say!("belongs to user {user}, who is neither root nor you", user)
}

fn writable(path: &Path) -> String {
    say!("{path} can be written by others", path = path.display())
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

/// Whether what listens at `socket` can be believed: it and the directories that it is in belong to
/// root or to this user, and nobody else can put anything there.
///
/// # Errors
/// Why not.
pub fn check(socket: &Path) -> Result<(), EmbeddedError> {
    let directory = socket.parent().unwrap_or(Path::new("/"));
    check_runtime_dir(directory.parent().unwrap_or(Path::new("/")))?;
    let place = look(directory)?;
    if !place.is_dir() {
        return Err(EmbeddedError::NotADirectory);
    }
    if place.mode() & OTHERS_WRITE != 0 {
        return Err(EmbeddedError::Writable(directory.to_owned()));
    }
    if look(socket)?.file_type().is_socket() {
        Ok(())
    } else {
        Err(EmbeddedError::NotASocket)
    }
}

/// Whether nobody else can put another directory in the place of one that is in `directory`: it
/// belongs to root or to this user, and others can't write it, or it is sticky as `/tmp` is.
///
/// # Errors
/// Why not.
pub fn check_runtime_dir(directory: &Path) -> Result<(), EmbeddedError> {
    let place = look(directory)?;
    if !place.is_dir() {
        return Err(EmbeddedError::NotADirectory);
    }
    if place.mode() & OTHERS_WRITE != 0 && place.mode() & STICKY == 0 {
        return Err(EmbeddedError::Writable(directory.to_owned()));
    }
    Ok(())
}

/// The socket in a runtime directory.
pub fn socket_in(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("embedded/bus")
}

/// The D-Bus address of a socket.
pub fn address(socket: &Path) -> Address {
    Address::new(Transport::Unix(Unix::new(UnixSocket::File(socket.into()))))
}

/// What is at `path`, if it is root's or one's own.
fn look(path: &Path) -> Result<Metadata, EmbeddedError> {
    let found = std::fs::symlink_metadata(path).map_err(EmbeddedError::Missing)?;
    match found.uid() {
        owner if owner == 0 || owner == uid() => Ok(found),
        owner => Err(EmbeddedError::Foreign(owner)),
    }
}

fn server(env: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> PathBuf {
    if let Some(dir) = named(env) {
        return socket_in(&dir);
    }
    if uid == 0 {
        return socket_in(Path::new(ROOTS_DIR));
    }
    session(env).unwrap_or_else(|| fallback(uid))
}

fn clients(env: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Vec<PathBuf> {
    if let Some(dir) = named(env) {
        return vec![socket_in(&dir)];
    }
    let roots = socket_in(Path::new(ROOTS_DIR));
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
    dir.is_absolute().then(|| socket_in(&dir.join("offloadd")))
}

fn fallback(uid: u32) -> PathBuf {
    socket_in(Path::new(&format!("/tmp/offloadd-{uid}")))
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
        let served = |env: &[(&str, &str)], uid| server(&self::env(env), uid);
        assert_eq!(served(session, 0), Path::new("/run/offloadd/embedded/bus"));
        assert_eq!(
            served(session, 1000),
            Path::new("/run/user/1000/offloadd/embedded/bus")
        );
        assert_eq!(
            served(&[], 1000),
            Path::new("/tmp/offloadd-1000/embedded/bus")
        );
        assert_eq!(
            served(&[("OFFLOADD_RUNTIME_DIR", "/srv/x")], 1000),
            Path::new("/srv/x/embedded/bus")
        );
        assert_eq!(
            clients(&env(session), 1000),
            [
                "/run/user/1000/offloadd/embedded/bus",
                "/tmp/offloadd-1000/embedded/bus",
                "/run/offloadd/embedded/bus"
            ]
            .map(PathBuf::from)
        );
    }

    /// A runtime directory and the socket in it.
    fn place() -> (tempfile::TempDir, PathBuf, UnixListener) {
        let dir = tempfile::tempdir().unwrap();
        let socket = socket_in(dir.path());
        fs::create_dir(socket.parent().unwrap()).unwrap();
        set_mode(socket.parent().unwrap(), 0o700);
        let listener = UnixListener::bind(&socket).unwrap();
        (dir, socket, listener)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_socket_in_a_directory_that_others_can_write_is_refused() {
        let (dir, socket, _listener) = place();
        check(&socket).unwrap();
        set_mode(socket.parent().unwrap(), 0o777);
        assert!(matches!(check(&socket), Err(EmbeddedError::Writable(_))));
        // Sticky or not: what is in it may have been there before.
        set_mode(socket.parent().unwrap(), 0o1777);
        assert!(matches!(check(&socket), Err(EmbeddedError::Writable(_))));
        set_mode(socket.parent().unwrap(), 0o700);
        set_mode(dir.path(), 0o777);
        assert!(matches!(check(&socket), Err(EmbeddedError::Writable(_))));
        set_mode(dir.path(), 0o1777);
        check(&socket).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        let (_dir, socket, _listener) = place();
        fs::remove_file(&socket).unwrap();
        assert!(matches!(check(&socket), Err(EmbeddedError::Missing(_))));
        fs::write(&socket, "").unwrap();
        assert!(matches!(check(&socket), Err(EmbeddedError::NotASocket)));
    }

    #[test]
    fn a_link_to_another_place_is_refused() {
        let (_elsewhere, socket, _listener) = place();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(socket.parent().unwrap(), dir.path().join("embedded")).unwrap();
        let linked = socket_in(dir.path());
        assert!(matches!(check(&linked), Err(EmbeddedError::NotADirectory)));
    }

    #[test]
    fn somebody_elses_directory_is_refused() {
        // Only root can give a directory away.
        for level in [1, 2] {
            let (_dir, socket, _listener) = place();
            let directory = socket.ancestors().nth(level).unwrap();
            if std::os::unix::fs::chown(directory, Some(12345), None).is_ok() {
                assert!(matches!(check(&socket), Err(EmbeddedError::Foreign(12345))));
            }
        }
    }

    #[test]
    fn the_address_can_be_read_back() {
        let address = address(Path::new("/tmp/with space,comma/bus")).to_string();
        assert_eq!(address, "unix:path=/tmp/with%20space%2ccomma/bus");
        address.parse::<Address>().unwrap();
    }
}
