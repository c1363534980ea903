//! SSH keys made for one test.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};

use crate::{Error, Result, error::Context, process::run};

/// A new ed25519 key.
///
/// # Errors
/// When the system has no randomness to give.
pub fn ed25519() -> Result<PrivateKey> {
    Ok(Ed25519Keypair::from_seed(&seed()?).into())
}

/// What an ed25519 key is made of.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    let wanted = seed.len();
    let got = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    if got.context("getrandom")? < wanted {
        return Err(Error::Unsupported(
            "the system gave too little randomness".into(),
        ));
    }
    Ok(seed)
}

/// Writes `key` to `path` as `ssh-keygen` would: readable by its owner alone.
///
/// # Errors
/// When the file can't be written.
pub fn write(key: &PrivateKey, path: &Path) -> Result<()> {
    let text = key
        .to_openssh(LineEnding::LF)
        .map_err(std::io::Error::other);
    let text = text.context("the key in OpenSSH's format")?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).context(path.display())?;
    file.write_all(text.as_bytes()).context(path.display())
}

/// The public line of `key`: `ssh-ed25519 AAAA…`, without a comment.
///
/// # Errors
/// When the key can't be encoded.
pub fn public_line(key: &PrivateKey) -> Result<String> {
    let line = key.public_key().to_openssh().map_err(std::io::Error::other);
    Ok(strip_comment(&line.context("the key's public line")?))
}

/// A key made by `ssh-keygen`: what sshd itself reads.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Makes one at `path` (and `path.pub`), in place of what is there. `kind` is `ed25519` or `rsa`.
    ///
    /// # Errors
    /// When ssh-keygen is missing or fails.
    pub fn generate(path: PathBuf, kind: &str) -> Result<Self> {
        let public = public_half(&path);
        for old in [&path, &public] {
            if old.exists() {
                fs::remove_file(old).context(old.display())?;
            }
        }
        let file = path.to_string_lossy().into_owned();
        // 2048 bits are enough for a test; they say nothing to ed25519.
        run(
            "ssh-keygen",
            [
                "-q", "-t", kind, "-b", "2048", "-N", "", "-C", "test", "-f", &file,
            ],
        )?;
        Ok(Self { path })
    }

    /// The private half.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `ssh-ed25519 AAAA…`, without a comment.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn public_line(&self) -> Result<String> {
        let public = public_half(&self.path);
        let line = fs::read_to_string(&public).context(public.display())?;
        Ok(strip_comment(&line))
    }
}

fn public_half(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn strip_comment(line: &str) -> String {
    line.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_key_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let key = ed25519().unwrap();
        write(&key, &path).unwrap();
        let read = russh::keys::load_secret_key(&path, None).unwrap();
        assert_eq!(read.public_key(), key.public_key());
        assert_ne!(read.public_key(), ed25519().unwrap().public_key());
    }
}
