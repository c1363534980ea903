//! Whom this process runs as, as OpenSSH sees it: `~` and `%u` are read from the password file by
//! user id, not from `HOME`.

use std::path::{Path, PathBuf};

use super::text;

/// The account and machine behind `~`, `%d`, `%i`, `%l`, `%L` and `%u`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) name: String,
    pub(super) home: PathBuf,
    /// This machine's name.
    pub(super) machine: String,
}

impl Account {
    /// Of this process. An account that is not in `/etc/passwd` (systemd or a directory server knows
    /// it) has the environment's word for itself.
    pub(super) fn current() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let passwd = text::read(Path::new("/etc/passwd")).unwrap_or_default();
        let (name, home) = find(&passwd, uid).unwrap_or_else(|| {
            let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
            (
                name.unwrap_or_default(),
                std::env::home_dir().unwrap_or_default(),
            )
        });
        let machine = text::read(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
        Self {
            uid,
            name,
            home,
            machine: machine.trim().to_owned(),
        }
    }
}

/// `name:password:uid:gid:comment:home:shell`, passwd(5).
fn find(passwd: &str, uid: u32) -> Option<(String, PathBuf)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        let home = fields.nth(2)?;
        (found == uid).then(|| (name.to_owned(), home.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_found_by_its_number() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbad\noffloadd:!:61:61::/var/lib/o:/sbin/nologin\n";
        let found = find(passwd, 61);
        assert_eq!(found, Some(("offloadd".into(), "/var/lib/o".into())));
        assert_eq!(find(passwd, 1), None);
    }
}
