//! `ProxyJump` as the command that OpenSSH itself makes of it (ssh.c, `main`): another ssh, to the
//! last of the hosts, that passes its input and output on to the target.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{SshConfigError, SshOptions, StrictHostKeyChecking};
use crate::{credential, files::Files, nix::known_hosts};

/// The last of the hosts, and those before it.
#[derive(Debug)]
pub(super) struct Jump<'a> {
    pub(super) before: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
}

impl<'a> Jump<'a> {
    pub(super) fn parse(jump: &'a str) -> Result<Self, SshConfigError> {
        let bad = || SshConfigError::BadJump(jump.to_owned());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+:@[],".contains(c);
        if !jump.chars().all(is_plain) {
            return Err(bad());
        }
        let (before, last) = match jump.rsplit_once(',') {
            Some((before, last)) => (Some(before), last),
            None => (None, jump),
        };
        let (user, address) = match last.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, last),
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(bad)?,
            None => address.split_at(address.find(':').unwrap_or(address.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(digits.parse::<u16>().map_err(|_| bad())?),
            None if port.is_empty() => None,
            None => return Err(bad()),
        };
        let is_option = |text: &str| text.is_empty() || text.starts_with('-');
        if is_option(host) || user.is_some_and(is_option) || before.is_some_and(is_option) {
            return Err(bad());
        }
        Ok(Self {
            before,
            user,
            host,
            port,
        })
    }
}

/// The command, its `%h` and `%p` not yet expanded. `config` is a file given with `-F`, which the
/// jumps obey too. Nobody is there to be asked for a password, hence `BatchMode`; and a master that ssh_config has it
/// make would stay behind, or could not listen where root's home is closed to writing.
pub(super) fn command(jump: &str, config: Option<&str>) -> Result<String, SshConfigError> {
    let Jump {
        before,
        user,
        host,
        port,
    } = Jump::parse(jump)?;
    let mut command = String::from("ssh");
    if let Some(user) = user {
        command.push_str(&format!(" -l {user}"));
    }
    if let Some(port) = port {
        command.push_str(&format!(" -p {port}"));
    }
    if let Some(before) = before {
        command.push_str(&format!(" -J {before}"));
    }
    if let Some(config) = config {
        let config = quoted(&config.replace('%', "%%"));
        command.push_str(&format!(" -F {config}"));
    }
    command.push_str(&format!(
        " -o BatchMode=yes -o ControlPath=none -W '[%h]:%p' {host}"
    ));
    Ok(command)
}

/// A file that only root may read, without which the jump could end otherwise than for root: its keys, where none of
/// them is among `files`, or its known hosts, where no other file knows it.
pub(super) fn closed(jump: &SshOptions, files: &dyn Files) -> Option<PathBuf> {
    let closed = |paths: &[PathBuf]| {
        let opened = paths.iter().map(|path| (path, files.open(path)));
        let mut closed = None;
        for (path, opened) in opened {
            match opened {
                Ok(_) => return None,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    closed.get_or_insert_with(|| path.clone());
                }
                Err(_) => {}
            }
        }
        closed
    };
    let (name, port) = jump.known_hosts_name();
    let known = known_hosts::lookup(files, None, &jump.global_known_hosts_files, name, port).named;
    let is_known = !known.keys.is_empty() || !known.authorities.is_empty();
    let accepts = is_known || jump.strict_host_key_checking.accepts_unknown();
    let hosts = || closed(&jump.user_known_hosts_files).filter(|_| !accepts);
    closed(&jump.identity_files).or_else(hosts)
}

/// The same for another account than root, to `host` at `port` by way of what root's ssh would do for the jump:
/// its files are named, or the credentials that stand for those that only root may read.
pub(super) fn command_of(
    jump: &SshOptions,
    (host, port): (&str, u16),
    credentials: Option<&Path>,
) -> String {
    let at_hand = |path: &PathBuf| {
        let is_ours = fs::File::open(path).is_ok();
        let instead = credentials.filter(|_| !is_ours);
        let instead = instead.and_then(|own| credential::instead_of(path, own));
        instead
            .unwrap_or_else(|| path.clone())
            .display()
            .to_string()
    };
    let mut words = vec!["ssh".to_owned(), "-F".to_owned(), "none".to_owned()];
    let mut option = |name: &str, value: &str| {
        words.extend(["-o".to_owned(), quoted(&format!("{name}={value}"))]);
    };
    option("BatchMode", "yes");
    option("User", &jump.user);
    option("Port", &jump.port.to_string());
    if let Some(alias) = &jump.host_key_alias {
        option("HostKeyAlias", alias);
    }
    option(
        "StrictHostKeyChecking",
        match jump.strict_host_key_checking {
            StrictHostKeyChecking::Yes => "yes",
            StrictHostKeyChecking::Ask => "ask",
            StrictHostKeyChecking::AcceptNew => "accept-new",
            StrictHostKeyChecking::No => "no",
        },
    );
    for (name, files) in [
        ("UserKnownHostsFile", &jump.user_known_hosts_files),
        ("GlobalKnownHostsFile", &jump.global_known_hosts_files),
    ] {
        let files: Vec<_> = files
            .iter()
            .map(|file| format!("\"{}\"", at_hand(file)))
            .collect();
        let files = if files.is_empty() {
            "none".to_owned()
        } else {
            files.join(" ").replace('%', "%%")
        };
        option(name, &files);
    }
    for file in &jump.identity_files {
        option(
            "IdentityFile",
            &format!("\"{}\"", at_hand(file).replace('%', "%%")),
        );
    }
    if jump.identity_files.is_empty() {
        option("IdentityFile", "none");
    }
    if let Some(command) = &jump.proxy_command {
        option("ProxyCommand", &command.replace('%', "%%"));
    }
    words.extend(["-W".to_owned(), quoted(&format!("[{host}]:{port}"))]);
    words.push(quoted(&jump.hostname));
    words.join(" ")
}

/// `text` as one word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
