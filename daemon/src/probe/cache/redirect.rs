//! Where a redirect leads, and whether to follow.

use std::net::{IpAddr, SocketAddr};

use hyper::{StatusCode, Uri, header::HeaderValue};

use crate::{
    probe::excerpt::excerpt,
    target::{Address, CacheSpec},
};

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

/// Why a redirect is not followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Astray {
    /// It leads to another machine; its name, fit to print.
    Elsewhere(String),
    /// It leads nowhere: no `Location`, or none that can be read.
    Nowhere,
}

impl Hop {
    /// The question that every check begins with.
    pub(super) fn first(cache: &CacheSpec) -> Self {
        Self {
            tls: cache.tls,
            host: bare(&cache.host).to_owned(),
            port: cache.port,
            path: format!("{}/nix-cache-info", encoded(&cache.path)),
        }
    }

    /// The `Host:` header: without a port where it is the scheme's own (RFC 9110, 4.2.3).
    pub(super) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port == default_port(self.tls) {
            true => host,
            false => format!("{host}:{}", self.port),
        }
    }

    /// Whether the same connection will do for both.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        (self.tls, self.port) == (other.tls, other.port) && self.host == other.host
    }

    /// Where `location` leads from here, where `peer` answered.
    ///
    /// Nix (curl) follows redirects anywhere. A probe follows them only on the same machine: to
    /// another path, or to `https` or another port of the same host. What leads to another one is
    /// how a captive portal shows itself.
    pub(super) fn follow(
        &self,
        location: Option<&HeaderValue>,
        peer: SocketAddr,
    ) -> Result<Self, Astray> {
        let location = location.and_then(|location| location.to_str().ok());
        let location = location.ok_or(Astray::Nowhere)?;
        let absolute = self.absolute(location.split('#').next().unwrap_or_default());
        let uri: Uri = absolute.parse().map_err(|_| Astray::Nowhere)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Astray::Nowhere),
        };
        // Of the authority only host and port: it may hold a password.
        let host = bare(uri.host().ok_or(Astray::Nowhere)?).to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if !host.eq_ignore_ascii_case(&self.host) && address != Some(peer.ip()) {
            return Err(Astray::Elsewhere(excerpt(host.as_bytes(), 80)));
        }
        Ok(Self {
            tls,
            host: match host.eq_ignore_ascii_case(&self.host) {
                true => self.host.clone(),
                false => host,
            },
            port: uri.port_u16().unwrap_or(default_port(tls)),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }

    /// RFC 3986, 5.2, as far as a `Location` needs it (dot segments are the server's business).
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

/// `peer` at another port, as a candidate.
pub(super) fn candidate(peer: SocketAddr, port: u16) -> Address {
    let host = match peer {
        SocketAddr::V6(address) if address.scope_id() != 0 => {
            format!("{}%{}", address.ip(), address.scope_id())
        }
        _ => peer.ip().to_string(),
    };
    Address {
        host,
        port: Some(port),
    }
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

fn has_scheme(location: &str) -> bool {
    location.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|each| each.is_ascii_alphanumeric() || "+-.".contains(each))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(tls: bool, host: &str, port: u16, path: &str) -> Hop {
        Hop {
            tls,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        }
    }

    fn follow(location: &str) -> Result<Hop, Astray> {
        let from = hop(false, "desktop", 5000, "/nix/nix-cache-info");
        let location = HeaderValue::from_str(location).unwrap();
        from.follow(Some(&location), "127.0.15.6:5000".parse().unwrap())
    }

    #[test]
    fn redirects_on_the_same_machine_are_followed() {
        for (location, expected) in [
            ("/info", hop(false, "desktop", 5000, "/info")),
            ("info?x=1#y", hop(false, "desktop", 5000, "/nix/info?x=1")),
            (
                "?x=/",
                hop(false, "desktop", 5000, "/nix/nix-cache-info?x=/"),
            ),
            ("//DESKTOP:5000", hop(false, "desktop", 5000, "/")),
            ("https://desktop/info", hop(true, "desktop", 443, "/info")),
            ("http://127.0.15.6:81/", hop(false, "127.0.15.6", 81, "/")),
        ] {
            assert_eq!(follow(location), Ok(expected), "{location}");
        }
    }

    #[test]
    fn a_redirect_to_another_machine_is_not_and_its_password_stays_unsaid() {
        for location in [
            "http://portal.hotel/login",
            "https://u:s3cret@portal.hotel:8443/?back=1",
        ] {
            let astray = follow(location).unwrap_err();
            assert_eq!(astray, Astray::Elsewhere("portal.hotel".to_owned()));
        }
    }

    #[test]
    fn a_redirect_nowhere_is_told_apart() {
        for location in [
            "ftp://desktop/",
            "mailto:a@b",
            "http://",
            "http://[",
            "http://a b/",
        ] {
            assert_eq!(follow(location), Err(Astray::Nowhere), "{location}");
        }
        let from = hop(false, "desktop", 80, "/");
        let peer = "127.0.15.6:80".parse().unwrap();
        assert_eq!(from.follow(None, peer), Err(Astray::Nowhere));
    }

    #[test]
    fn the_host_header_has_brackets_and_port_where_they_belong() {
        assert_eq!(hop(false, "desktop", 80, "/").authority(), "desktop");
        assert_eq!(hop(true, "desktop", 80, "/").authority(), "desktop:80");
        assert_eq!(hop(true, "::1", 443, "/").authority(), "[::1]");
        assert_eq!(bare("[fe80::1%wlan0]"), "fe80::1");
    }

    #[test]
    fn a_zone_survives_the_change_of_port() {
        let candidate = candidate("[fe80::1%3]:5000".parse().unwrap(), 443);
        assert_eq!(candidate.host, "fe80::1%3");
        assert_eq!(candidate.port, Some(443));
    }
}
