//! The environment of the Nix that does the work. It decides as much as nix.conf does: through which proxy caches are
//! asked, whom TLS trusts, how ssh is called, and whether there is one.
//!
//! It is nix-daemon's, which systemd tells to anybody ([`of_nix_daemon`]), and this process' own where there is no such unit.

mod file;
mod proxy;
mod unit;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

pub(crate) use self::file::variables;
pub use self::{proxy::Proxy, unit::of_nix_daemon};
use super::{NixVersion, text};

/// What a unit has for `PATH` that sets none (systemd.exec(5), "Environment Variables in Spawned Processes").
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What Nix, curl and ssh are told by their environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// A file that has more of it, which this account may not read.
    hidden: Option<PathBuf>,
}

impl Environment {
    /// This process' own, of which nothing is hidden.
    pub fn of_this_process() -> Self {
        let text = |word: OsString| word.into_string().ok();
        let all = env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Self {
            variables: all.collect(),
            hidden: None,
        }
    }

    /// A variable; one that is empty is none, as for curl and Nix.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Whether it may have variables that are not known.
    pub fn hidden(&self) -> Option<&Path> {
        self.hidden.as_deref()
    }

    /// `NIX_SSHOPTS`, written as a shell would read what Nix of this version reads.
    pub fn ssh_options(&self, version: NixVersion) -> String {
        ssh_options(self.get("NIX_SSHOPTS").unwrap_or_default(), version)
    }

    /// Whether an ssh-agent may have keys for Nix's ssh.
    pub fn has_agent(&self) -> bool {
        let socket = self.get("SSH_AUTH_SOCK").map(Path::new);
        socket.is_some_and(|socket| !socket.is_absolute() || socket.exists())
    }

    /// The file of authorities, where the environment names one (`getDefaultSSLCertFile`, src/libstore/globals.cc).
    pub fn authorities(&self) -> Option<PathBuf> {
        let named = self.get("NIX_SSL_CERT_FILE").or(self.get("SSL_CERT_FILE"));
        named.map(PathBuf::from)
    }

    /// Whether Nix finds ssh, which it looks for on its `PATH` alone.
    pub fn has_ssh(&self) -> bool {
        env::split_paths(self.path()).any(|directory| is_program(&directory.join("ssh")))
    }

    /// The `PATH`.
    pub fn path(&self) -> &str {
        self.get("PATH").unwrap_or(DEFAULT_PATH)
    }

    /// Through which proxy `host` is asked.
    pub fn proxy(&self, tls: bool, host: &str) -> Option<Proxy> {
        proxy::of(|name| self.get(name), tls, host)
    }
}

/// `options` of `NIX_SSHOPTS`, written as a shell would read what Nix of this version reads.
pub(crate) fn ssh_options(options: &str, version: NixVersion) -> String {
    if version.unquotes_ssh_options() {
        return options.to_owned();
    }
    let quoted = |word| format!("'{}'", str::replace(word, "'", r"'\''"));
    let words: Vec<_> = text::tokens(options).map(quoted).collect();
    words.join(" ")
}

fn is_program(path: &Path) -> bool {
    let found = path.metadata();
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            variables: variables.into(),
            hidden: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_not_there() {
        let environment =
            Environment::from([("NIX_SSL_CERT_FILE", ""), ("SSL_CERT_FILE", "/a.crt")]);
        assert_eq!(environment.authorities(), Some("/a.crt".into()));
        assert_eq!(environment.ssh_options(NixVersion::default()), "");
    }

    #[test]
    fn an_old_nix_knows_no_quotes() {
        const OLD: &str = r"'-o' ''\''A=b'\''' '-4'";
        let environment = Environment::from([("NIX_SSHOPTS", "-o 'A=b'\t-4")]);
        let options = |minor| environment.ssh_options(NixVersion::new(2, minor, 0));
        assert_eq!(options(26), "-o 'A=b'\t-4");
        assert_eq!(options(25), OLD);
    }

    #[test]
    fn ssh_is_a_program_on_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let environment = Environment::from([("PATH", path)]);
        assert!(!environment.has_ssh());
        let ssh = directory.path().join("ssh");
        std::fs::write(&ssh, "").unwrap();
        assert!(!environment.has_ssh());
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(environment.has_ssh());
    }
}
