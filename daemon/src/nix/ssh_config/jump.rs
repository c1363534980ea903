//! `ProxyJump` as the command that OpenSSH itself makes of it (ssh.c, `main`): another ssh, to the
//! last of the hosts, that passes its input and output on to the target.

use super::SshConfigError;

/// The command, its `%h` and `%p` not yet expanded. `config` is a file given with `-F`, which the
/// jumps obey too. Nobody is there to be asked for a password, hence `BatchMode`.
pub(super) fn command(jump: &str, config: Option<&str>) -> Result<String, SshConfigError> {
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
        command.push_str(&format!(" -F {}", quoted(config)));
    }
    command.push_str(&format!(" -o BatchMode=yes -W '[%h]:%p' {host}"));
    Ok(command)
}

/// `text` as one word for a shell, safe from the later expansion of `%`.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('%', "%%"))
}
