//! What `ssh -G` prints, read.

use std::path::{Path, PathBuf};

use super::{
    AGENT, AddressFamily, Algorithms, MAX_IDENTITIES, SshConfigError, SshOptions,
    StrictHostKeyChecking,
    answer::{Answer, paths},
    demands, jump, query, steered,
    tokens::Tokens,
    unsupported,
};
use crate::nix::account::Accounts;

/// What `ssh -G` was asked.
pub(super) struct Asked<'a> {
    /// The host as it was named on the command line.
    pub(super) host: &'a str,
    /// The user likewise.
    pub(super) user: Option<&'a str>,
    /// The key given with `-i`.
    pub(super) key: Option<&'a Path>,
    /// The file given with `-F`.
    pub(super) config: Option<&'a str>,
    pub(super) accounts: &'a Accounts,
}

/// Reads the answer of `ssh -G`.
pub(super) fn parse(text: &str, asked: &Asked<'_>) -> Result<SshOptions, SshConfigError> {
    let answer = Answer::of(text);
    let accounts = asked.accounts;
    let (Some(hostname), Some(port), Some(user)) = (
        answer.get("hostname"),
        answer.get("port").and_then(|port| port.parse().ok()),
        answer.get("user"),
    ) else {
        return Err(SshConfigError::Unreadable);
    };
    // Without any other, ssh takes the name of whoever runs it.
    let user = match asked.user {
        None if user == accounts.own.name => &accounts.nix.name,
        _ => user,
    };
    let proxy_jump = answer.get("proxyjump");
    let host_key_alias = answer.get("hostkeyalias").map(str::to_owned);
    let tokens = Tokens {
        hostname,
        original: asked.host,
        port,
        user,
        alias: host_key_alias.as_deref(),
        jump: proxy_jump.unwrap_or_default(),
        account: &accounts.nix,
    };
    let proxy_command = match (proxy_jump, answer.get("proxycommand")) {
        (Some(jump), _) => {
            let command = jump::command(jump, asked.config)?;
            Some(tokens.command("proxyjump", &command)?)
        }
        (None, Some(command)) => Some(tokens.command("proxycommand", command)?),
        (None, None) => None,
    };
    let steered =
        proxy_command.as_deref().is_some_and(steered::is_ours) && answer.is_on(steered::HANDS_OVER);
    let mut unsupported = unsupported::options(&answer);
    if steered {
        unsupported.retain(|option| !steered::is_moot(option));
    }
    // Files of ssh's own, as the account has them that Nix runs it as.
    let mut own_files = |option| -> Result<Vec<PathBuf>, SshConfigError> {
        let mut found = Vec::new();
        for file in answer.all(option).take(MAX_IDENTITIES) {
            if file.eq_ignore_ascii_case("none") {
                continue;
            }
            match tokens.path(option, file)? {
                Some(path) if asked.key == Some(path.as_path()) => found.push(path),
                Some(path) => found.push(accounts.moved(path)),
                None => unsupported.push(format!("{option} {file}")),
            }
        }
        Ok(found)
    };
    let identity_files = own_files("identityfile")?;
    let certificate_files = own_files("certificatefile")?;
    let files = |option| paths(answer.get(option).unwrap_or_default());
    let identity_agent = match answer.all("identityagent").next() {
        Some(agent) if agent.eq_ignore_ascii_case("none") => None,
        Some(agent) => tokens.path("identityagent", agent)?,
        None => Some(AGENT.into()),
    };
    let user_known_hosts_files = files("userknownhostsfile");
    let names = |option| -> Vec<String> {
        let names = answer
            .get(option)
            .into_iter()
            .flat_map(|list| list.split(','));
        names.map(str::to_owned).collect()
    };
    Ok(SshOptions {
        hostname: hostname.to_owned(),
        port,
        user: user.to_owned(),
        identity_files,
        certificate_files,
        identity_agent,
        identities_only: answer.is_on("identitiesonly"),
        offers_keys: !matches!(answer.get("pubkeyauthentication"), Some("no" | "false"))
            && answer
                .get("preferredauthentications")
                .is_none_or(|methods| methods.split(',').any(|method| method == "publickey")),
        key_algorithms: names("pubkeyacceptedalgorithms"),
        required_rsa_bits: answer
            .get("requiredrsasize")
            .and_then(|bits| bits.parse().ok())
            .unwrap_or(0),
        // What came with that version.
        reads_ed25519_in_pkcs8: answer.all("channeltimeout").next().is_some(),
        entry_host_key_counts: user_known_hosts_files == [Path::new(query::ENTRY_HOST_KEY)],
        user_known_hosts_files: user_known_hosts_files
            .into_iter()
            .map(|file| accounts.moved(file))
            .collect(),
        global_known_hosts_files: files("globalknownhostsfile"),
        no_host_authentication_for_localhost: answer.is_on("nohostauthenticationforlocalhost"),
        revoked_host_keys: files("revokedhostkeys"),
        authority_algorithms: names("casignaturealgorithms"),
        strict_host_key_checking: match answer.get("stricthostkeychecking") {
            Some("yes" | "true") => StrictHostKeyChecking::Yes,
            Some("accept-new") => StrictHostKeyChecking::AcceptNew,
            Some("no" | "off" | "false") => StrictHostKeyChecking::No,
            _ => StrictHostKeyChecking::Ask,
        },
        host_key_algorithms: names("hostkeyalgorithms"),
        address_family: match answer.get("addressfamily") {
            // Neither holds for what a proxy command dials.
            _ if steered => None,
            Some("inet") => Some(AddressFamily::Inet),
            Some("inet6") => Some(AddressFamily::Inet6),
            _ => None,
        },
        bind_address: answer
            .get("bindaddress")
            .filter(|_| !steered)
            .and_then(|address| address.parse().ok()),
        algorithms: Algorithms {
            kex: names("kexalgorithms"),
            ciphers: names("ciphers"),
            macs: names("macs"),
        },
        demands: demands::demands(&answer),
        host_key_alias,
        proxy_command: proxy_command.filter(|_| !steered),
        proxy_is_roots: false,
        steered,
        unsupported,
    })
}
