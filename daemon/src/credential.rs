//! Files of root's that systemd hands over as credentials (systemd.exec(5), "CREDENTIALS"), so that
//! they can be read by who is not root, and are looked for where Nix has them.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
};

/// Where systemd puts those of this process; `None` where it has none.
pub(crate) fn directory() -> Option<PathBuf> {
    env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The name of the credential that stands for the file at `path`: the path without its first `/`, and
/// with `-` for every other. `/etc/nix/builder_ed25519` is `etc-nix-builder_ed25519`.
pub(crate) fn name(path: &Path) -> OsString {
    let path = path.as_os_str().as_bytes();
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let dashed = path.iter().map(|byte| match byte {
        b'/' => b'-',
        other => *other,
    });
    OsString::from_vec(dashed.collect())
}

/// The credential in `directory` for the file at `path`, which this process can't read; `None` where
/// there is none.
pub(crate) fn instead_of(path: &Path, directory: &Path) -> Option<PathBuf> {
    let name = name(path);
    // `..` would lead out.
    let is_name = matches!(
        Path::new(&name).components().next(),
        Some(Component::Normal(_))
    );
    let file = directory.join(name);
    (is_name && fs::symlink_metadata(&file).is_ok()).then_some(file)
}

/// Whether a file can't be read because it is not there, or is not for us: below a directory that a
/// unit does not see (`ProtectHome=`), the one looks like the other.
pub(crate) fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
    )
}

/// Whether a credential stands for a file that was not there when the service started:
/// `SetCredential=` beside `LoadCredential=` needs a value, and a line that is empty is one.
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_named_after_its_file() {
        for (path, expected) in [
            ("/etc/nix/builder_ed25519", "etc-nix-builder_ed25519"),
            ("/root/.ssh/id_ed25519", "root-.ssh-id_ed25519"),
            ("/a-b/c", "a-b-c"),
        ] {
            assert_eq!(name(Path::new(path)), expected);
        }
    }

    #[test]
    fn only_what_was_handed_over_stands_for_a_file() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("etc-nix-key"), "").unwrap();
        let stands_for = |path: &str| instead_of(Path::new(path), directory.path());
        assert_eq!(
            stands_for("/etc/nix/key"),
            Some(directory.path().join("etc-nix-key"))
        );
        for other in ["/etc/nix/other", "/..", "/", "", "/."] {
            assert_eq!(stands_for(other), None, "{other}");
        }
    }
}
