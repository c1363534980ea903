//! Whom this process runs as, and whom Nix runs ssh as, as OpenSSH sees them: `~` and `%u` are read
//! from the password file by user id, not from `HOME`.

use std::path::{Path, PathBuf};

use rustix::system::uname;

use super::text;
use crate::files::Direct;

/// The account and machine behind `~`, `%d`, `%i`, `%l`, `%L` and `%u`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) name: String,
    pub(super) home: PathBuf,
    /// This machine's name.
    pub(super) machine: String,
}

/// Whom ssh runs as: our own, and that of the nix-daemon, whose files decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) own: Account,
    pub(super) nix: Account,
}

impl Accounts {
    /// Of this process and of root, which may be one.
    pub(super) fn current() -> Self {
        let own = Account::current();
        let nix = match own.uid {
            0 => own.clone(),
            _ => Account::root(own.machine.clone()),
        };
        Self { own, nix }
    }

    /// Of root alone, who has answered for itself.
    pub(super) fn of_root() -> Self {
        let nix = Account::root(uname().nodename().to_string_lossy().into_owned());
        Self {
            own: nix.clone(),
            nix,
        }
    }

    /// Where Nix's ssh has what ours has at `path`: the same place in the other home.
    pub(super) fn moved(&self, path: PathBuf) -> PathBuf {
        // Everything lies below a home that is the root of all files, so only what is ssh's moves.
        let part = match self.own.home.parent() {
            Some(_) => "",
            None => ".ssh",
        };
        match path.strip_prefix(self.own.home.join(part)) {
            Ok(rest) => self.nix.home.join(part).join(rest),
            Err(_) => path,
        }
    }
}

impl Account {
    /// Of this process. An account that is not in `/etc/passwd` (systemd or a directory server knows
    /// it) has the environment's word for itself.
    pub(super) fn current() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let passwd = text::read(&Direct, Path::new("/etc/passwd")).unwrap_or_default();
        let (name, home) = find(&passwd, uid).unwrap_or_else(|| {
            let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
            (
                name.unwrap_or_default(),
                std::env::home_dir().unwrap_or_default(),
            )
        });
        Self {
            uid,
            name,
            home,
            machine: uname().nodename().to_string_lossy().into_owned(),
        }
    }

    /// Of root, on `machine`.
    fn root(machine: String) -> Self {
        let passwd = text::read(&Direct, Path::new("/etc/passwd")).unwrap_or_default();
        let (name, home) = find(&passwd, 0).unwrap_or_else(|| ("root".into(), "/root".into()));
        Self {
            uid: 0,
            name,
            home,
            machine,
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

    fn accounts(own: &str, nix: &str) -> Accounts {
        let of = |home: &str| Account {
            home: home.into(),
            ..Account::default()
        };
        Accounts {
            own: of(own),
            nix: of(nix),
        }
    }

    #[test]
    fn what_lies_in_our_home_lies_in_that_of_nix_for_nix() {
        for (own, path, expected) in [
            (
                "/var/lib/o",
                "/var/lib/o/.ssh/known_hosts",
                "/root/.ssh/known_hosts",
            ),
            ("/var/lib/o", "/var/lib/o/hosts", "/root/hosts"),
            ("/var/lib/o", "/var/lib/other/hosts", "/var/lib/other/hosts"),
            ("/", "//.ssh/known_hosts", "/root/.ssh/known_hosts"),
            ("/", "/etc/hosts", "/etc/hosts"),
            ("", "/etc/hosts", "/etc/hosts"),
            ("/root", "/root/.ssh/known_hosts", "/root/.ssh/known_hosts"),
        ] {
            let moved = accounts(own, "/root").moved(path.into());
            assert_eq!(moved, PathBuf::from(expected), "{own} {path}");
        }
    }

    #[test]
    fn root_has_a_home_of_its_own() {
        let root = Account::root("laptop".into());
        assert_eq!((root.uid, root.machine.as_str()), (0, "laptop"));
        assert!(root.home.is_absolute());
    }
}
