//! The certificates that `ssh` would offer: those that ssh_config names, or the one beside a key
//! (`load_public_identity_files` in OpenSSH's ssh.c).

use std::path::{Path, PathBuf};

use russh::keys::{Certificate, ssh_key::certificate::CertType};

use super::SIZE_MAX;
use crate::{credential, file};

/// The certificate in `path` or in the file of that name that ends in `.pub`; `None` where there is none
/// for users.
pub(in crate::probe::builder) fn certificate(path: &Path) -> Option<Certificate> {
    [path.to_owned(), with(path, ".pub")]
        .iter()
        .find_map(|path| read(path))
}

/// The certificate beside the key in `path`.
pub(in crate::probe::builder) fn beside(path: &Path) -> Option<Certificate> {
    certificate(&with(path, "-cert"))
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn read(path: &Path) -> Option<Certificate> {
    let bytes = match file::read(path, SIZE_MAX) {
        Err(error) if credential::is_out_of_reach(&error) => {
            let own = credential::directory()?;
            file::read(&credential::instead_of(path, &own)?, SIZE_MAX)
        }
        read => read,
    };
    let text = String::from_utf8(bytes.ok()?).ok()?;
    // The first line that is one (`sshkey_try_load_public` in OpenSSH's authfile.c).
    let mut lines = text.lines();
    let read = lines.find_map(|line| Certificate::from_openssh(line.trim()).ok())?;
    (read.cert_type() == CertType::User).then_some(read)
}
