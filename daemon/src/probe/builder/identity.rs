//! The private keys that `ssh` would offer, read as it reads them.

mod access;
mod certificate;
mod format;

use std::{
    fs::{self},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::keys::{
    Algorithm, HashAlg, PrivateKey, PublicKey,
    ssh_key::{self, Signature, private::KeypairData},
};
use signature::Signer as _;

use self::access::{MAX_SIZE, is_credential, permitted, read};
pub(super) use self::certificate::{beside, certificate};
use crate::{credential, helper::Agent};

/// Why a key can't be used. Names the cause and never what the file holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// It is missing, or this process may not read it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A directory, a pipe or a device.
    #[error("not a regular file")]
    NotAFile,
    /// Larger than any key.
    #[error("larger than {MAX_SIZE} bytes")]
    TooLarge,
    /// Others may read it, so `ssh` does not (`sshkey_perm_ok` in OpenSSH's authfile.c).
    #[error("its mode {0:04o} lets others read it: ssh ignores such a key")]
    TooOpen(u32),
    /// It needs a passphrase, which nobody is there to type.
    #[error("encrypted with a passphrase")]
    Encrypted,
    /// The public half was named instead of the private one.
    #[error("a public key, not a private one")]
    PublicKey,
    /// A key of a kind that signs only with hardware, or no longer.
    #[error("keys of the type {0} are not supported")]
    Unsupported(String),
    /// A private key, written down as `ssh` does not read it.
    #[error("ssh does not read it: {0}")]
    Format(&'static str),
    /// Anything else.
    #[error("not a private key: {0}")]
    NotAKey(String),
}

impl KeyError {
    /// Whether only others may read it.
    pub(super) fn is_not_visible(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether there is simply no such file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// A key that signs, wherever its private half is.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// It was read.
    Own(Arc<PrivateKey>),
    /// Root's: the helper signs with it.
    Roots(PublicKey, Agent),
}

impl Key {
    /// Its public half.
    pub(super) fn public(&self) -> &PublicKey {
        match self {
            Self::Own(key) => key.public_key(),
            Self::Roots(key, _) => key,
        }
    }
}

/// Signs `data`; `hash` counts for RSA alone.
///
/// # Errors
/// The key can't sign.
pub(crate) fn sign(
    key: &PrivateKey,
    hash: Option<HashAlg>,
    data: &[u8],
) -> Result<Signature, ssh_key::Error> {
    let signature = match key.key_data() {
        KeypairData::Rsa(key) => (key, hash).try_sign(data),
        key => key.try_sign(data),
    };
    Ok(signature?)
}

/// The files whose keys are offered, in order: the machine entry's, then ssh_config's.
pub(super) fn files(entry: Option<&Path>, configured: &[PathBuf]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for file in entry
        .into_iter()
        .chain(configured.iter().map(PathBuf::as_path))
    {
        if !files.iter().any(|known| known == file) {
            files.push(file.to_owned());
        }
    }
    files
}

/// Reads the private key in `path`, or in the credential that stands for it where this process can't
/// read the file; in any of the formats that OpenSSH writes or reads.
pub(crate) fn load(path: &Path, reads_ed25519_in_pkcs8: bool) -> Result<PrivateKey, KeyError> {
    let credentials = credential::directory();
    load_with(path, credentials.as_deref(), reads_ed25519_in_pkcs8)
}

fn load_with(
    path: &Path,
    credentials: Option<&Path>,
    reads_ed25519_in_pkcs8: bool,
) -> Result<PrivateKey, KeyError> {
    let load_file = |path: &Path| load_file(path, credentials, reads_ed25519_in_pkcs8);
    let error = match load_file(path) {
        Err(KeyError::Io(error)) if credential::is_out_of_reach(&error) => error,
        read => return read,
    };
    // ssh judges the mode of the file itself, which may be seen where it may not be read.
    if let Ok(metadata) = fs::metadata(path) {
        permitted(&metadata)?;
    }
    let handed_over = credentials.and_then(|own| credential::instead_of(path, own));
    match handed_over.map(|file| load_file(&file)) {
        Some(Err(KeyError::Io(_))) | None => Err(KeyError::Io(error)),
        Some(read) => read,
    }
}

fn load_file(
    path: &Path,
    credentials: Option<&Path>,
    reads_ed25519_in_pkcs8: bool,
) -> Result<PrivateKey, KeyError> {
    let is_credential = is_credential(path, credentials);
    let text = read(path, is_credential)?;
    if is_credential && credential::is_blank(&text) {
        let why = "systemd found no key to hand over when offloadd started";
        return Err(io::Error::new(io::ErrorKind::NotFound, why).into());
    }
    let key = russh::keys::decode_secret_key(&text, None).map_err(|error| match error {
        russh::keys::Error::KeyIsEncrypted => KeyError::Encrypted,
        _ if PublicKey::from_openssh(text.trim()).is_ok() => KeyError::PublicKey,
        // PEM's own words for it, where the cipher is one that is not known.
        _ if text.contains("ENCRYPTED") => KeyError::Encrypted,
        error => KeyError::NotAKey(error.to_string()),
    })?;
    let is_ed25519 = key.algorithm() == Algorithm::Ed25519;
    format::check(&text, is_ed25519 && !reads_ed25519_in_pkcs8).map_err(KeyError::Format)?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. } => Ok(key),
        other => Err(KeyError::Unsupported(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    use tempfile::TempDir;

    use super::*;

    fn keygen(dir: &TempDir, name: &str, args: &[&str]) -> PathBuf {
        let path = dir.path().join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-f"])
            .arg(&path)
            .args(args)
            .status()
            .unwrap();
        assert!(made.success());
        path
    }

    fn file(dir: &TempDir, name: &str, mode: u32, text: impl AsRef<[u8]>) -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_keys_that_ssh_keygen_makes_are_read() {
        let dir = TempDir::new().unwrap();
        for (name, args) in [
            ("ed25519", &["-t", "ed25519", "-N", ""][..]),
            ("ecdsa", &["-t", "ecdsa", "-b", "384", "-N", ""]),
            ("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]),
            ("pem", &["-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"]),
            (
                "pkcs8",
                &["-t", "rsa", "-b", "2048", "-N", "", "-m", "PKCS8"],
            ),
            ("ecpem", &["-t", "ecdsa", "-N", "", "-m", "PEM"]),
        ] {
            let path = keygen(&dir, name, args);
            let public = fs::read_to_string(path.with_extension("pub")).unwrap();
            let public = PublicKey::from_openssh(&public).unwrap();
            let key = load(&path, true).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(key.public_key().key_data(), public.key_data(), "{name}");
        }
    }

    #[test]
    fn what_ssh_could_not_use_without_a_person_is_named() {
        let dir = TempDir::new().unwrap();
        let plain = keygen(&dir, "plain", &["-t", "ed25519", "-N", ""]);
        let sealed = keygen(&dir, "sealed", &["-t", "ed25519", "-N", "secret"]);
        let pem = &["-t", "rsa", "-b", "2048", "-N", "secret", "-m", "PEM"];
        let sealed_pem = keygen(&dir, "sealed-pem", pem);
        let text = fs::read(&plain).unwrap();
        let broken = file(&dir, "broken", 0o600, &text[..text.len() / 2]);

        assert!(matches!(load(&sealed, true), Err(KeyError::Encrypted)));
        assert!(matches!(load(&sealed_pem, true), Err(KeyError::Encrypted)));
        assert!(load(&dir.path().join("missing"), true).is_err_and(|error| error.is_missing()));
        assert!(matches!(load(&broken, true), Err(KeyError::NotAKey(_))));
        let open = file(&dir, "open", 0o644, &text);
        assert!(matches!(load(&open, true), Err(KeyError::TooOpen(0o644))));
        let public = fs::read(plain.with_extension("pub")).unwrap();
        let public = file(&dir, "public", 0o600, public);
        assert!(matches!(load(&public, true), Err(KeyError::PublicKey)));
        assert!(matches!(load(dir.path(), true), Err(KeyError::NotAFile)));
        let binary = file(&dir, "binary", 0o600, [0xff; 64]);
        assert!(matches!(load(&binary, true), Err(KeyError::NotAKey(_))));
    }

    #[test]
    fn a_credential_of_systemd_is_read_whatever_its_mode_shows() {
        let dir = TempDir::new().unwrap();
        let key = keygen(&dir, "key", &["-t", "ed25519", "-N", ""]);
        // The mode that the mask of the access control list gives.
        fs::set_permissions(&key, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(load_with(&key, Some(dir.path()), true).is_ok());
        for elsewhere in [None, Some("/nowhere"), Some(""), Some("/")] {
            let answer = load_with(&key, elsewhere.map(Path::new), true);
            assert!(
                matches!(answer, Err(KeyError::TooOpen(0o440))),
                "{elsewhere:?}: {answer:?}"
            );
        }
        let beside = TempDir::new_in(&dir).unwrap();
        let around = beside.path().join("../key");
        let answer = load_with(&around, Some(beside.path()), true);
        assert!(matches!(answer, Err(KeyError::TooOpen(0o440))));
        assert!(is_credential(
            Path::new("/run/credentials/offloadd.service/key"),
            None
        ));
    }

    #[test]
    fn a_key_out_of_reach_is_read_from_the_credential_that_stands_for_it() {
        let dir = TempDir::new().unwrap();
        keygen(&dir, "root-.ssh-none-key", &["-t", "ed25519", "-N", ""]);
        let path = Path::new("/root/.ssh/none/key");
        assert!(load_with(path, Some(dir.path()), true).is_ok());
        // What systemd sets where it has found no file.
        for blank in ["\n", ""] {
            let credential = file(&dir, "root-.ssh-none-key", 0o400, blank);
            let missing = load_with(path, Some(dir.path()), true).unwrap_err();
            assert!(missing.is_missing(), "{missing}");
            let named = load_with(&credential, Some(dir.path()), true).unwrap_err();
            assert!(named.to_string().contains("systemd found no key"));
        }
        file(&dir, "root-.ssh-none-key", 0o400, "no key");
        let broken = load_with(path, Some(dir.path()), true);
        assert!(matches!(broken, Err(KeyError::NotAKey(_))), "{broken:?}");
        assert!(load_with(path, None, true).unwrap_err().is_missing());
    }

    /// Who may see the file and not read it has its mode all the same.
    #[test]
    fn the_mode_of_the_file_itself_counts_where_a_credential_stands_for_it() {
        let dir = TempDir::new().unwrap();
        let key = keygen(&dir, "key", &["-t", "ed25519", "-N", ""]);
        let credentials = TempDir::new().unwrap();
        fs::copy(&key, credentials.path().join(credential::name(&key))).unwrap();
        for (mode, is_usable) in [(0o600, true), (0o640, false), (0o604, false), (0o400, true)] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let metadata = fs::metadata(&key).unwrap();
            assert_eq!(permitted(&metadata).is_ok(), is_usable, "{mode:o}");
        }
    }

    #[test]
    fn a_path_that_never_ends_is_not_read() {
        let dir = TempDir::new().unwrap();
        let large = file(&dir, "large", 0o600, vec![b'x'; MAX_SIZE as usize + 1]);
        assert!(matches!(load(&large, true), Err(KeyError::TooLarge)));
        assert!(matches!(
            load(Path::new("/dev/zero"), true),
            Err(KeyError::NotAFile)
        ));
        let pipe = dir.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        assert!(matches!(load(&pipe, true), Err(KeyError::NotAFile)));
    }

    #[test]
    fn no_error_shows_what_the_file_holds() {
        let dir = TempDir::new().unwrap();
        let secret = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n";
        let path = file(&dir, "torn", 0o600, secret);
        let error = load(&path, true).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c2VjcmV0"));
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn the_machine_entrys_key_comes_first_and_once() {
        let configured = [PathBuf::from("/a"), PathBuf::from("/b")];
        assert_eq!(
            files(Some(Path::new("/b")), &configured),
            [PathBuf::from("/b"), PathBuf::from("/a")]
        );
        assert_eq!(files(None, &configured), configured);
    }
}
