//! ssh_config: where and how OpenSSH, which Nix runs, would connect.
//!
//! OpenSSH is asked itself (`ssh -G`, [`ask`]), so that `Include`, `Match` and whatever comes with
//! its next version are read as it reads them. Its answer is one option a line, in the order of
//! `dump_client_config` (readconf.c); what it leaves unexpanded is expanded here. The nix-daemon runs
//! ssh as root: where this process is somebody else, root's is asked through `offload-helper`. Where that is not
//! there, the places and the name that follow from the account are root's in the answer; of root's own
//! `~/.ssh/config` counts what systemd hands over (`root-.ssh-config`), else what the account's own says.

mod answer;
mod demands;
mod files;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod jump;
mod parse;
mod query;
mod roots;
mod shell;
mod steered;
mod tokens;
mod unsupported;

use std::{io, net::IpAddr, path::PathBuf, time::Duration};

use thiserror::Error;

#[cfg(test)]
pub(crate) use self::query::ask_with;
pub use self::{
    demands::{Demands, Listen},
    files::{beside, files},
    query::ask,
};
pub(crate) use self::{query::Question, shell::shell_split};
use super::account::{Account, Accounts};

/// How many identities OpenSSH itself takes (`SSH_MAX_IDENTITY_FILES`).
const MAX_IDENTITIES: usize = 100;
const DEFAULT_PORT: u16 = 22;
/// The variable that names the agent's socket, where ssh_config names none.
const AGENT: &str = "SSH_AUTH_SOCK";
const DEFAULT_IDENTITIES: &[&str] = &[
    "id_rsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
];

/// What OpenSSH would do for one host.
#[derive(Clone, Debug, PartialEq)]
pub struct SshOptions {
    /// The name or address that is connected to, in lower case.
    pub hostname: String,
    /// The port that is connected to.
    pub port: u16,
    /// The user on the other side.
    pub user: String,
    /// The private keys that are tried, in order, existing or not.
    pub identity_files: Vec<PathBuf>,
    /// The certificates that are offered before those keys: where there are none, one may lie beside each key.
    pub certificate_files: Vec<PathBuf>,
    /// Where an agent listens that has more of them: the path of its socket, or as `$VARIABLE` where that stands; as
    /// ssh has it, `SSH_AUTH_SOCK` stands for a variable too. `None` where none is asked.
    pub identity_agent: Option<PathBuf>,
    /// Whether it is asked for none but those keys: `IdentitiesOnly`.
    pub identities_only: bool,
    /// Whether keys are offered at all: `PubkeyAuthentication`, `PreferredAuthentications`.
    pub offers_keys: bool,
    /// The algorithms that keys are offered with, best first; empty where OpenSSH was not asked.
    pub key_algorithms: Vec<String>,
    /// The fewest bits of an RSA key, of either side: `RequiredRSASize`; 0 where OpenSSH was not asked, or is of before 9.1.
    pub required_rsa_bits: u32,
    /// Whether an Ed25519 key in PKCS8 is read, as since OpenSSH 9.6.
    pub reads_ed25519_in_pkcs8: bool,
    /// The user's known_hosts files; not looked at where an entry's host key takes their place.
    pub user_known_hosts_files: Vec<PathBuf>,
    /// Whether the host key of a machines entry takes their place: not where `NIX_SSHOPTS`, which comes
    /// first, names other files.
    pub entry_host_key_counts: bool,
    /// The machine's known_hosts files.
    pub global_known_hosts_files: Vec<PathBuf>,
    /// The name to look up in known_hosts, without a port, instead of `hostname`.
    pub host_key_alias: Option<String>,
    /// What becomes of a host whose key is not known.
    pub strict_host_key_checking: StrictHostKeyChecking,
    /// Whether the key of a host on this machine is taken without a look.
    pub no_host_authentication_for_localhost: bool,
    /// Lists of keys that no host may prove.
    pub revoked_host_keys: Vec<PathBuf>,
    /// The algorithms with which an authority may sign; empty where OpenSSH was not asked.
    pub authority_algorithms: Vec<String>,
    /// The command whose input and output are the connection, for `sh -c "exec …"`: of
    /// `ProxyCommand` or equivalent to `ProxyJump`, expanded.
    pub proxy_command: Option<String>,
    /// Whether it was root's ssh that named that, and `offload-helper` runs it as root.
    pub proxy_is_roots: bool,
    /// Whether `ProxyCommand` is `offloadctl connect`, which dials where this daemon says that the builder is.
    pub steered: bool,
    /// The host key algorithms that are accepted, best first; empty where OpenSSH was not asked.
    pub host_key_algorithms: Vec<String>,
    /// The only kind of address that is used.
    pub address_family: Option<AddressFamily>,
    /// The address of this machine that is connected from.
    pub bind_address: Option<IpAddr>,
    /// The algorithms that are agreed on with the server.
    pub algorithms: Algorithms,
    /// What it is to do beside or instead of what Nix asks of it.
    pub demands: Demands,
    /// Options, with their values, that would change the outcome and that offloadd does not do.
    pub unsupported: Vec<String>,
}

/// `AddressFamily`, where it is not any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4 alone.
    Inet,
    /// IPv6 alone.
    Inet6,
}

/// The lists that key exchange goes by, best first; empty where OpenSSH was not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Algorithms {
    /// `KexAlgorithms`.
    pub kex: Vec<String>,
    /// `Ciphers`.
    pub ciphers: Vec<String>,
    /// `MACs`.
    pub macs: Vec<String>,
}

/// `StrictHostKeyChecking`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StrictHostKeyChecking {
    /// An unknown host is refused.
    Yes,
    /// The same without a person at a terminal, as for Nix.
    #[default]
    Ask,
    /// An unknown host is accepted, a changed one refused.
    AcceptNew,
    /// Any host is accepted (a changed one without passwords, which play no part here).
    No,
}

/// Why it is not known what OpenSSH would do.
#[derive(Debug, Error)]
pub enum SshConfigError {
    /// A host or user that OpenSSH would refuse; one that starts with `-` would be an option of it.
    #[error("'{0}' is no host or user that ssh accepts")]
    BadName(String),
    /// `NIX_SSHOPTS` ends within quotes.
    #[error("NIX_SSHOPTS: a quote is not closed")]
    UnclosedQuote,
    /// OpenSSH could not be started, or its answer not be read.
    #[error("ssh -G: {0}")]
    Io(#[from] io::Error),
    /// offload-helper, which asks root's, failed.
    #[error("offload-helper could not ask root's ssh: {0}")]
    NotAsked(#[source] io::Error),
    /// It did not answer in time: a `Match exec` that waits, or a name that is canonicalised.
    #[error("ssh -G: no answer within {0:?}")]
    TimedOut(Duration),
    /// It refuses its own configuration, and would refuse Nix.
    #[error("ssh -G: {0}")]
    Refused(String),
    /// The answer lacks what every version prints, or is far too long.
    #[error("ssh -G: an answer that can't be read")]
    Unreadable,
    /// A `%` sequence that OpenSSH does not know, and would end over.
    #[error("{option}: unknown sequence in '{template}'")]
    UnknownToken {
        /// The option.
        option: &'static str,
        /// Its value.
        template: String,
    },
    /// A file of root's without which a jump could end otherwise than for root.
    #[error("proxyjump: only root may read {0}")]
    JumpNotVisible(PathBuf),
    /// A `ProxyJump` that can't be handed to a shell.
    #[error("proxyjump: '{0}' can't be used in a command")]
    BadJump(String),
}

impl StrictHostKeyChecking {
    /// Whether a host of which no key is known is accepted.
    pub const fn accepts_unknown(self) -> bool {
        matches!(self, Self::AcceptNew | Self::No)
    }

    /// Whether a key that differs from the known one is accepted.
    pub const fn accepts_changed(self) -> bool {
        matches!(self, Self::No)
    }
}

impl SshOptions {
    /// What OpenSSH does without any configuration, `key` as with `-i`.
    pub fn defaults(
        host: &str,
        user: Option<&str>,
        port: Option<u16>,
        key: Option<PathBuf>,
    ) -> Self {
        Self::defaults_of(host, user, port, key, &Accounts::current().nix)
    }

    fn defaults_of(
        host: &str,
        user: Option<&str>,
        port: Option<u16>,
        key: Option<PathBuf>,
        account: &Account,
    ) -> Self {
        let home = account.home.join(".ssh");
        let identity_files = match key {
            Some(key) => vec![key],
            None => DEFAULT_IDENTITIES
                .iter()
                .map(|name| home.join(name))
                .collect(),
        };
        let global = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
        Self {
            hostname: host.to_lowercase(),
            port: port.unwrap_or(DEFAULT_PORT),
            user: user.map_or_else(|| account.name.clone(), str::to_owned),
            identity_files,
            certificate_files: Vec::new(),
            identity_agent: Some(AGENT.into()),
            identities_only: false,
            offers_keys: true,
            key_algorithms: Vec::new(),
            required_rsa_bits: 0,
            reads_ed25519_in_pkcs8: true,
            user_known_hosts_files: vec![home.join("known_hosts"), home.join("known_hosts2")],
            global_known_hosts_files: global.map(PathBuf::from).to_vec(),
            entry_host_key_counts: true,
            host_key_alias: None,
            no_host_authentication_for_localhost: false,
            revoked_host_keys: Vec::new(),
            authority_algorithms: Vec::new(),
            strict_host_key_checking: StrictHostKeyChecking::Ask,
            proxy_command: None,
            proxy_is_roots: false,
            steered: false,
            host_key_algorithms: Vec::new(),
            address_family: None,
            bind_address: None,
            algorithms: Algorithms::default(),
            demands: Demands::default(),
            unsupported: Vec::new(),
        }
    }

    /// Whether a key is offered with `algorithm`, as ssh names it.
    pub fn signs_with(&self, algorithm: &str) -> bool {
        /// What OpenSSH does not sign with unless ssh_config has it.
        const SHA1: &str = "ssh-rsa";
        match self.key_algorithms.as_slice() {
            [] => !algorithm.starts_with(SHA1),
            accepted => accepted.iter().any(|accepted| accepted == algorithm),
        }
    }

    /// The name and port to look up in known_hosts.
    pub fn known_hosts_name(&self) -> (&str, Option<u16>) {
        match &self.host_key_alias {
            Some(alias) => (alias, None),
            None => (&self.hostname, Some(self.port)),
        }
    }
}

#[cfg(test)]
mod tests;
