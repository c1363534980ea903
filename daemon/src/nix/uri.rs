//! Store URLs: `http://desktop:5000/nix?priority=10`, `ssh-ng://nix-builder@[fe80::1%25wlan0]:22`.
//!
//! Source: src/libstore/store-reference.cc and src/libutil/url.cc of NixOS/nix (RFC 3986 through
//! Boost.URL, with Nix's shims); `HttpBinaryCacheStoreConfig` and `CommonSSHStoreConfig` for what
//! each kind of store makes of it. Queries: `decodeQuery`, where the first of two equal keys counts
//! and a key without `=` is ignored.

mod authority;
mod params;
mod reference;

use std::collections::BTreeMap;

use thiserror::Error;

use self::authority::Authority;
pub use self::{
    authority::percent_decode,
    params::{Misread, misread, number},
    reference::is_reference,
};

/// The parameters of a store URL.
pub type Params = BTreeMap<String, String>;

/// How Nix talks to a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `ssh://`: `nix-store --serve --write` on the other side.
    Ssh,
    /// `ssh-ng://`: `nix-daemon --stdio` on the other side.
    SshNg,
}

impl Protocol {
    /// The URI's scheme.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::SshNg => "ssh-ng",
        }
    }
}

/// A store that is watched.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreUri {
    /// A binary cache over HTTP.
    Cache(CacheUri),
    /// A machine over SSH.
    Ssh(SshUri),
}

/// `http://` or `https://`.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheUri {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host, decoded, without brackets.
    pub host: String,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// The path as it stands in a request, without trailing slashes: `""` or `/nix`.
    pub path: String,
    /// The parameters.
    pub params: Params,
}

/// `ssh://` or `ssh-ng://`.
#[derive(Clone, Debug, PartialEq)]
pub struct SshUri {
    /// Which of Nix's two protocols.
    pub protocol: Protocol,
    /// The user, decoded.
    pub user: Option<String>,
    /// The host, decoded, without brackets: an alias of ssh_config, a name or an address.
    pub host: String,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params,
}

/// Why a store is not watched. Says nothing of a password that the URL may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UriError {
    /// Nix can't read it.
    #[error("not a store URL that Nix accepts: {0}")]
    Invalid(&'static str),
    /// `daemon`, `local`, `auto`, `file://`, a path, …
    #[error("a store of this machine: there is no network between")]
    Local,
    /// Nix runs `localhost`'s builds without SSH.
    #[error("Nix runs 'localhost' as a child process, not over SSH")]
    Localhost,
    /// `s3://`.
    #[error("S3 stores are not watched")]
    S3,
    /// Anything else.
    #[error("stores of this scheme are not watched")]
    Scheme,
    /// The checks send no credentials, so that the answer would be another than Nix's.
    #[error("the URL carries credentials, which the checks do not send")]
    Credentials,
}

impl CacheUri {
    /// The port that is connected to.
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Whether `other` is another spelling of it, whatever the parameters.
    pub fn is_same_place(&self, other: &Self) -> bool {
        (self.tls, self.effective_port(), &self.path)
            == (other.tls, other.effective_port(), &other.path)
            && self.host.eq_ignore_ascii_case(&other.host)
    }
}

/// Reads one of `substituters`.
///
/// # Errors
/// Why it can't be watched.
pub fn parse(uri: &str) -> Result<StoreUri, UriError> {
    let (base, params) = split_query(uri)?;
    let Some((scheme, rest)) = base.split_once("://").filter(|(s, _)| is_scheme(s)) else {
        return Err(match base {
            "" | "auto" | "daemon" | "local" => UriError::Local,
            path if path.contains('/') => UriError::Local,
            _ => UriError::Invalid("no scheme"),
        });
    };
    match scheme {
        "http" | "https" => cache(scheme == "https", rest, params).map(StoreUri::Cache),
        "ssh" => ssh(Protocol::Ssh, rest, params).map(StoreUri::Ssh),
        "ssh-ng" => ssh(Protocol::SshNg, rest, params).map(StoreUri::Ssh),
        "file" | "local" | "unix" | "daemon" | "dummy" => Err(UriError::Local),
        "s3" => Err(UriError::S3),
        _ => Err(UriError::Scheme),
    }
}

/// What Nix makes of the first field of a machines line: without a scheme it is a host over
/// `ssh://`, unless it is a path or one of Nix's words (`Machine::Machine`, machines.cc).
pub fn complete_machine(uri: &str) -> String {
    let word = uri.split('?').next().unwrap_or_default();
    let has_own_meaning = uri.contains('/') || matches!(word, "auto" | "daemon" | "local" | "");
    if has_own_meaning {
        uri.to_owned()
    } else {
        format!("ssh://{uri}")
    }
}

/// The store directory that the setting `store` names: `daemon?store=/srv/store`.
pub fn store_dir(store: &str) -> Option<String> {
    let (_, mut params) = split_query(store).ok()?;
    params.remove("store").filter(|dir| !dir.is_empty())
}

/// `uri` as it may be shown, on the bus or in a log: what may be a secret of it is `***`.
///
/// A secret that nobody encoded may hold `/`, `?`, `#` and `@` itself. Nix then reads another host
/// out of the URL than its writer meant, or none; here everything up to the last `@` is taken for
/// the secret. That an `@` of a path or a query hides more than it must is the lesser evil.
///
/// A cache's token may stand where the user stands, so that of these nothing is shown. ssh's user
/// is no secret; a password begins at the first `:`.
pub fn redacted(uri: &str) -> String {
    let (scheme, rest) = match uri.find("://").map(|at| uri.split_at(at)) {
        Some((scheme, _)) if is_scheme(scheme) => uri.split_at(scheme.len() + "://".len()),
        _ => ("", uri),
    };
    let Some((userinfo, host)) = rest.rsplit_once('@') else {
        return uri.to_owned();
    };
    match (scheme, userinfo.split_once(':')) {
        ("" | "ssh://" | "ssh-ng://", Some((user, _))) => format!("{scheme}{user}:***@{host}"),
        ("" | "ssh://" | "ssh-ng://", None) => uri.to_owned(),
        _ => format!("{scheme}***@{host}"),
    }
}

fn cache(tls: bool, rest: &str, params: Params) -> Result<CacheUri, UriError> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match Authority::parse(authority) {
        Err(_) if path.is_empty() => Authority::parse_bare_ipv6(authority)?,
        parsed => parsed?,
    };
    if authority.host.is_empty() {
        return Err(UriError::Invalid("no host"));
    }
    if authority.user.is_some() {
        return Err(UriError::Credentials);
    }
    percent_decode(path)?;
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UriError::Invalid("a character of the path is not encoded"));
    }
    Ok(CacheUri {
        tls,
        host: authority.host,
        port: authority.port,
        path: path.trim_end_matches('/').to_owned(),
        params,
    })
}

fn ssh(protocol: Protocol, rest: &str, params: Params) -> Result<SshUri, UriError> {
    if rest == "localhost" {
        return Err(UriError::Localhost);
    }
    let authority = Authority::parse(rest).or_else(|_| Authority::parse_bare_ipv6(rest))?;
    // `checkValidAuthority` (ssh.cc): neither may become an option of ssh.
    if authority.host.is_empty() || authority.host.starts_with('-') {
        return Err(UriError::Invalid("no host, or one that starts with '-'"));
    }
    if matches!(&authority.user, Some(user) if user.is_empty() || user.starts_with('-')) {
        return Err(UriError::Invalid("no user, or one that starts with '-'"));
    }
    Ok(SshUri {
        protocol,
        user: authority.user,
        host: authority.host,
        port: authority.port,
        params,
    })
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn split_query(uri: &str) -> Result<(&str, Params), UriError> {
    let uri = uri.split('#').next().unwrap_or_default();
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut params = Params::new();
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let (key, value) = (percent_decode(key)?, percent_decode(value)?);
        params.entry(key).or_insert(value);
    }
    Ok((base, params))
}

#[cfg(test)]
mod tests;
