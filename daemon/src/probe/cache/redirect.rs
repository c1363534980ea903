//! Where a redirect leads.

use std::net::SocketAddr;

use hyper::{StatusCode, Uri, header::HeaderValue};

use crate::target::{Address, CacheSpec};

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

    /// Where `location` leads from here.
    ///
    /// Nix (curl) follows redirects to any host: `http://desktop` may send to `https://desktop.lan`.
    /// A probe that did not would call a cache broken that Nix uses. offloadd dials only what this
    /// machine's Nix configuration names; where a redirect of that leads Nix itself would dial, so
    /// it may be dialled as well. What answers there must still be a `nix-cache-info`: the page of
    /// a captive portal is known by what it says.
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
        let host = bare(uri.host().filter(|host| !host.is_empty()).ok_or(Astray)?);
        Ok(Self {
            tls,
            host: match host.eq_ignore_ascii_case(&self.host) {
                true => self.host.clone(),
                false => host.to_ascii_lowercase(),
            },
            port: uri.port_u16().unwrap_or(default_port(tls)),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
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
        from.follow(Some(&location))
    }

    #[test]
    fn redirects_lead_where_curl_would_go() {
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
            ("http://[::1]/x", hop(false, "::1", 80, "/x")),
            (
                "https://Desktop.LAN/nix/nix-cache-info",
                hop(true, "desktop.lan", 443, "/nix/nix-cache-info"),
            ),
            (
                "https://u:s3cret@other:8443/?back=1",
                hop(true, "other", 8443, "/?back=1"),
            ),
        ] {
            assert_eq!(follow(location), Ok(expected), "{location}");
        }
    }

    #[test]
    fn a_redirect_nowhere_is_told_apart() {
        for location in [
            "ftp://desktop/",
            "file:///etc/passwd",
            "http://:80/",
            "mailto:a@b",
            "http://",
            "http://[",
            "http://a b/",
        ] {
            assert_eq!(follow(location), Err(Astray), "{location}");
        }
        let from = hop(false, "desktop", 80, "/");
        assert_eq!(from.follow(None), Err(Astray));
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
        let (from, to) = (hop(false, "d", 5000, "/"), hop(true, "d", 443, "/"));
        let candidate = to.candidate(&from, "[fe80::1%3]:5000".parse().unwrap());
        assert_eq!(candidate.host, "fe80::1%3");
        assert_eq!(candidate.port, Some(443));
    }

    #[test]
    fn another_host_is_looked_up() {
        let (from, to) = (hop(false, "d", 80, "/"), hop(true, "d.lan", 443, "/"));
        let candidate = to.candidate(&from, "127.0.15.6:80".parse().unwrap());
        assert_eq!(candidate.host, "d.lan");
        assert_eq!(candidate.port, Some(443));
    }
}
