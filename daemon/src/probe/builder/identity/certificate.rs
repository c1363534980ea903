//! The certificates that `ssh` would offer: those that ssh_config names, or the one beside a key
//! (`load_public_identity_files` in OpenSSH's ssh.c).

use std::path::{Path, PathBuf};

use russh::keys::{Certificate, ssh_key::certificate::CertType};

use super::access::MAX_SIZE;
use crate::files::Files;

/// The certificate in `path` or in the file of that name that ends in `.pub`; `None` where there is none
/// for users.
pub(in crate::probe::builder) fn certificate(
    files: &dyn Files,
    path: &Path,
) -> Option<Certificate> {
    [path.to_owned(), with(path, ".pub")]
        .iter()
        .find_map(|path| read(files, path))
}

/// The certificate beside the key in `path`.
pub(in crate::probe::builder) fn beside(files: &dyn Files, path: &Path) -> Option<Certificate> {
    certificate(files, &with(path, "-cert"))
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn read(files: &dyn Files, path: &Path) -> Option<Certificate> {
    let bytes = files.read(path, MAX_SIZE).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    // The first line that is one (`sshkey_try_load_public` in OpenSSH's authfile.c).
    let mut lines = text.lines();
    let read = lines.find_map(|line| Certificate::from_openssh(line.trim()).ok())?;
    (read.cert_type() == CertType::User).then_some(read)
}
