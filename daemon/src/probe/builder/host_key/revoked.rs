//! ssh_config's `RevokedHostKeys`: lists of keys that no host may prove (`sshkey_check_revoked` in
//! OpenSSH's authfile.c).

use std::{io::ErrorKind, path::PathBuf};

use russh::keys::PublicKey;

use crate::files::Files;

/// What a list of keys that were revoked one by one begins with otherwise (`KRL_MAGIC`, krl.h): the
/// compact form that `ssh-keygen -k` writes.
const KRL_MAGIC: &[u8] = b"SSHKRL\n\0";
/// The most that is read of one list.
const MAX_FILE: u64 = 4 << 20;

/// What is known of revoked keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe::builder) enum Revoked {
    /// These are, their own or their authorities'.
    Listed(Vec<PublicKey>),
    /// A list is not there, or has a line that is no key: ssh then accepts no key at all.
    Broken(String),
    /// A list is not for us to read, or of a form that is not read here.
    Unread(String),
}

impl Default for Revoked {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Revoked {
    /// What `files` say together.
    pub(in crate::probe::builder) fn read(reader: &dyn Files, files: &[PathBuf]) -> Self {
        let mut keys = Vec::new();
        for file in files {
            let shown = file.display();
            match reader.read(file, MAX_FILE) {
                Ok(bytes) if bytes.starts_with(KRL_MAGIC) => {
                    return Self::Unread(format!("the key revocation list {shown} is not read"));
                }
                Ok(bytes) => match listed(&String::from_utf8_lossy(&bytes)) {
                    Some(listed) => keys.extend(listed),
                    None => {
                        let why = "it has a line that is no key";
                        return Self::Broken(format!("RevokedHostKeys {shown}: {why}"));
                    }
                },
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Self::Unread(format!("RevokedHostKeys {shown}: {error}"));
                }
                Err(error) => return Self::Broken(format!("RevokedHostKeys {shown}: {error}")),
            }
        }
        Self::Listed(keys)
    }
}

/// A key a line, but for comments; `None` where one is no key (`sshkey_in_file`).
fn listed(text: &str) -> Option<Vec<PublicKey>> {
    let lines = text
        .lines()
        .map(|line| line.trim_start_matches([' ', '\t']));
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| PublicKey::from_openssh(line).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::Direct;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn a_list_that_can_not_be_read_to_its_end_lets_no_key_pass() {
        let dir = tempfile::tempdir().unwrap();
        let read = |text: &[u8]| {
            let file = dir.path().join("revoked");
            std::fs::write(&file, text).unwrap();
            Revoked::read(&Direct, &[file])
        };
        let key = PublicKey::from_openssh(KEY).unwrap();
        let listed = read(format!("# gone\n\n \t{KEY}\n").as_bytes());
        assert_eq!(listed, Revoked::Listed(vec![key]));
        assert_eq!(read(b""), Revoked::default());
        assert!(matches!(read(b"no key\n"), Revoked::Broken(_)));
        assert!(matches!(read(b"SSHKRL\n\0rest"), Revoked::Unread(_)));
        let missing = Revoked::read(&Direct, &[Path::new("/nonexistent/revoked").into()]);
        assert!(matches!(missing, Revoked::Broken(_)));
    }
}
