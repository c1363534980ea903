//! Where a redirect leads, and whether it is followed.
//!
//! Nix (curl) follows redirects to any host, for a build that somebody wants. We ask unattended, at every
//! check, and whoever answers at the cache's address could send us to whatever this machine reaches. So a
//! redirect is followed to the host that sends it (another scheme or port of it too) and to the hosts of other
//! caches that are watched; anywhere else only when somebody asked for the check, who then sees
//! how Nix fares. From another machine it never leads to this one or to its link (a link-local address).
//!
//! What is not followed is `unknown`, `redirected`: Nix would go on, so it is not red for our reluctance. What a
//! check found that somebody asked for holds as long as what any deep check finds, while the redirect stays the
//! same. A redirect to another machine's page that is not the file asked for is a portal's.

mod leads;

use std::{
    collections::BTreeSet,
    net::{Ipv6Addr, SocketAddr},
};

use hyper::{StatusCode, Uri, header::HeaderValue};

pub use self::leads::hosts;
pub(super) use self::leads::may_lead;
use crate::target::{Address, CacheSpec};

/// Whose hosts a redirect may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// The cache's own alone: to prove who is at an address no other machine's answer counts.
    Nobody,
    /// Those of the caches that are watched.
    Watched,
    /// Anybody's, as Nix: somebody asked.
    Anybody,
}

/// What is asked of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// Whether over TLS.
    pub tls: bool,
    /// The name for the certificate: a name or a literal address without brackets and zone.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub path: String,
}

/// A redirect that leads nowhere: no `Location`, or none that Nix would follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Astray;

impl Hop {
    /// The question for `file`, which needs no escapes.
    pub(super) fn to(cache: &CacheSpec, file: &str) -> Self {
        Self {
            tls: cache.tls,
            host: bare(&cache.host).to_owned(),
            port: cache.port,
            path: format!("{}/{file}", encoded(&cache.path)),
        }
    }

    /// The `Host:` header: without a port where it is the scheme's own (RFC 9110, 4.2.3).
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == default_port(self.tls) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Whether the same connection will do for both.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        (self.tls, self.port) == (other.tls, other.port) && self.host == other.host
    }

    /// Whether a redirect from here `to` there is followed, to `watched` hosts and the own one.
    pub(super) fn may_go(&self, to: &Self, follow: Follow, watched: &BTreeSet<String>) -> bool {
        self.host == to.host
            || match follow {
                Follow::Nobody => false,
                Follow::Watched => watched.contains(&to.host),
                Follow::Anybody => true,
            }
    }

    /// Whether it asks for the same file as `other`: a cache that has moved still names it, and a captive
    /// portal names a page of its own.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        self.file() == other.file()
    }

    /// The URL of the cache that this asks for a file, as Nix would be told of it.
    pub(super) fn cache_url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        let folder = path.strip_suffix(self.file()).unwrap_or_default();
        let folder = folder.trim_end_matches('/');
        format!("{scheme}://{}{folder}", self.authority())
    }

    fn file(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Where `location` leads from here. It may be anything: see [`Hop::may_go`].
    pub(super) fn follow(&self, location: Option<&HeaderValue>) -> Result<Self, Astray> {
        let location = location.and_then(|location| location.to_str().ok());
        let location = location.ok_or(Astray)?;
        let absolute = self.absolute(location.split('#').next().unwrap_or_default());
        let uri: Uri = absolute.parse().map_err(|_| Astray)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Astray),
        };
        // Of the authority only host and port: it may hold a password.
        let written = uri.host().filter(|host| !host.is_empty()).ok_or(Astray)?;
        let host = bare(written);
        // `http` takes anything in brackets, and much in a name that is in none.
        let is_address = host.parse::<Ipv6Addr>().is_ok();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !is_address && (written.starts_with('[') || !host.bytes().all(is_name)) {
            return Err(Astray);
        }
        Ok(Self {
            tls,
            host: if host.eq_ignore_ascii_case(&self.host) {
                self.host.clone()
            } else {
                host.to_ascii_lowercase()
            },
            port: uri.port_u16().unwrap_or(default_port(tls)),
            path: match uri.path_and_query().map_or("/", |path| path.as_str()) {
                // Behind a host alone (RFC 9112, 3.2.1).
                query if query.starts_with('?') => format!("/{query}"),
                path => without_dots(path),
            },
        })
    }

    /// Where to connect for this question after `before`, which `peer` answered: to the same
    /// machine as long as the host is the same, whatever else its name may mean.
    pub(super) fn candidate(&self, before: &Self, peer: SocketAddr) -> Address {
        if self.host != before.host {
            return Address {
                host: self.host.clone(),
                port: Some(self.port),
            };
        }
        Address {
            port: Some(self.port),
            ..Address::from(peer)
        }
    }

    /// RFC 3986, 5.2, as far as a `Location` needs it.
    fn absolute(&self, location: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let here = self.path.split('?').next().unwrap_or_default();
        if let Some(authority) = location.strip_prefix("//") {
            format!("{scheme}://{authority}")
        } else if location.starts_with('/') {
            format!("{scheme}://{}{location}", self.authority())
        } else if has_scheme(location) {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{scheme}://{}{here}{location}", self.authority())
        } else {
            let directory = here.rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{scheme}://{}{directory}/{location}", self.authority())
        }
    }
}

/// Whether `status` sends elsewhere by `Location`.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// What a person may have left unescaped in a URL and a request line can't hold.
fn encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"#<>?\\^`{|}".contains(&byte) => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A host without brackets and zone.
fn bare(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = inner.unwrap_or(host);
    match host.split_once('%') {
        Some((address, _zone)) if address.contains(':') => address,
        _ => host,
    }
}

/// Without `.` and `..` in its path (RFC 3986, 5.2.4), as curl asks for it.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

fn has_scheme(location: &str) -> bool {
    location.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|each| each.is_ascii_alphanumeric() || "+-.".contains(each))
    })
}

#[cfg(test)]
mod tests;
