//! root's own ssh_config, as which Nix runs ssh, where systemd hands it over.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::{
    credential, file,
    nix::{account::Accounts, text::MAX_FILE},
};

/// Where ssh, which has it as its input, reads it.
pub(super) const PATH: &str = "/proc/self/fd/0";

/// What ssh is given with `-F` so that it reads root's file and then the machine's, as root's own ssh
/// does without; `None` where this process is root, or nothing was handed over.
///
/// # Errors
/// There is no memory for it.
pub(super) fn config(accounts: &Accounts, credentials: Option<&Path>) -> io::Result<Option<File>> {
    let path = accounts.nix.home.join(".ssh/config");
    let handed_over = credentials
        .filter(|_| accounts.own != accounts.nix)
        .and_then(|own| credential::instead_of(&path, own));
    let Some(path) = handed_over else {
        return Ok(None);
    };
    let text = file::read(&path, MAX_FILE).unwrap_or_default();
    if credential::is_blank(&String::from_utf8_lossy(&text)) {
        return Ok(None);
    }
    let mut config = File::from(memfd_create("ssh_config", MemfdFlags::CLOEXEC)?);
    let path = path.display();
    config.write_all(format!("Include \"{path}\"\nInclude /etc/ssh/ssh_config\n").as_bytes())?;
    Ok(Some(config))
}
