//! Proxies, as curl reads them from the environment, which Nix leaves it to.
//!
//! Source: curl 8.14, `detect_proxy` and `parse_proxy` in lib/url.c, `Curl_check_noproxy` in lib/noproxy.c. Versions
//! before 7.86 take no networks (`192.0.2.0/24`) in `no_proxy`.

use std::net::IpAddr;

use crate::nix::{netrc::Basic, uri::percent_decode};

/// curl's own port of proxies that name none.
const DEFAULT_PORT: u16 = 1080;

/// Who asks a cache for Nix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// `http`; others are `https`, `socks4`, `socks4a`, `socks5` and `socks5h`.
    pub scheme: String,
    /// A name, or an address without brackets.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// What logs in to it.
    pub login: Option<Basic>,
    /// The variable that names it.
    pub variable: &'static str,
}

impl Proxy {
    /// `host:port`, for showing.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether it is asked as any HTTP server is.
    pub fn is_http(&self) -> bool {
        self.scheme == "http"
    }
}

/// The proxy for `host`, if it is not to be asked itself. What curl takes for no proxy's URL is none: it then asks
/// nobody, and this is not looked into.
pub(super) fn of<'a>(
    variable: impl Fn(&str) -> Option<&'a str>,
    tls: bool,
    host: &str,
) -> Option<Proxy> {
    // HTTP_PROXY is what a client's header `Proxy:` becomes in CGI: curl does not look at it.
    let own: &[&'static str] = if tls {
        &["https_proxy", "HTTPS_PROXY"]
    } else {
        &["http_proxy"]
    };
    let names = own.iter().chain(&["all_proxy", "ALL_PROXY"]);
    let (name, url) = names
        .copied()
        .find_map(|name| Some((name, variable(name)?)))?;
    let without = variable("no_proxy").or_else(|| variable("NO_PROXY"));
    if without.is_some_and(|list| is_named(list, host)) {
        return None;
    }
    parse(name, url)
}

fn parse(variable: &'static str, url: &str) -> Option<Proxy> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (login, place) = match authority.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, authority),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => port.parse().ok()?,
        None if scheme == "https" => 443,
        None => DEFAULT_PORT,
    };
    let decoded = |word: &str| percent_decode(word).unwrap_or_else(|_| word.to_owned());
    Some(Proxy {
        scheme,
        host: (!host.is_empty()).then(|| host.to_owned())?,
        port,
        login: login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Basic::new(decoded(user), decoded(password))
        }),
        variable,
    })
}

/// Whether `no_proxy` names the host: it, what is below it, or a network that it is in.
fn is_named(list: &str, host: &str) -> bool {
    if list == "*" {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let address: Option<IpAddr> = host.parse().ok();
    let mut names = list.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    names.any(|name| match address {
        Some(address) => is_address(name, address),
        None => {
            let name = name.strip_suffix('.').unwrap_or(name);
            let name = name.strip_prefix('.').unwrap_or(name);
            is_below(host, name)
        }
    })
}

fn is_below(host: &str, name: &str) -> bool {
    let Some(at) = host.len().checked_sub(name.len()) else {
        return false;
    };
    let (before, end) = (host.get(..at), host.get(at..));
    let is_same = end.is_some_and(|end| end.eq_ignore_ascii_case(name));
    is_same && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn is_address(name: &str, address: IpAddr) -> bool {
    let (network, bits) = name.split_once('/').unwrap_or((name, ""));
    let network = network.trim_matches(['[', ']']);
    let bits: Option<u32> = match bits {
        "" => None,
        bits => match bits.parse() {
            Ok(bits) => Some(bits),
            Err(_) => return false,
        },
    };
    match (network.parse(), address) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(address)) => {
            is_in(network.to_bits().into(), address.to_bits().into(), bits, 32)
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(address)) => {
            is_in(network.to_bits(), address.to_bits(), bits, 128)
        }
        _ => false,
    }
}

fn is_in(network: u128, address: u128, bits: Option<u32>, all: u32) -> bool {
    let bits = bits.filter(|bits| *bits > 0).unwrap_or(all);
    match all.checked_sub(bits) {
        Some(rest) => network.checked_shr(rest) == address.checked_shr(rest),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(set: &[(&str, &str)], tls: bool, host: &str) -> Option<String> {
        let variable = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| *value)
        };
        let proxy = of(variable, tls, host)?;
        let login = proxy.login.as_ref().map(Basic::authorization);
        let login = login.map(|login| format!(" {login}")).unwrap_or_default();
        Some(format!("{} {}{login}", proxy.scheme, proxy.authority()))
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_have_one() {
        let all = [
            ("http_proxy", "proxy:3128"),
            ("HTTP_PROXY", "not-this:1"),
            ("HTTPS_PROXY", "http://secure.example:8080/"),
        ];
        let of = |tls| proxy(&all, tls, "desk");
        assert_eq!(of(false).as_deref(), Some("http proxy:3128"));
        assert_eq!(of(true).as_deref(), Some("http secure.example:8080"));
        assert_eq!(proxy(&[("HTTP_PROXY", "proxy:1")], false, "desk"), None);
        let all = [("ALL_PROXY", "socks5h://[::1]:9050")];
        assert_eq!(
            proxy(&all, false, "desk").as_deref(),
            Some("socks5h [::1]:9050")
        );
    }

    #[test]
    fn a_port_and_a_login_are_as_curl_has_them() {
        for (url, read) in [
            ("proxy", "http proxy:1080"),
            ("https://proxy", "https proxy:443"),
            (
                "http://ada:p%40ss@proxy:80",
                "http proxy:80 Basic YWRhOnBAc3M=",
            ),
            ("http://ada@proxy:80/", "http proxy:80 Basic YWRhOg=="),
        ] {
            let found = proxy(&[("http_proxy", url)], false, "desk");
            assert_eq!(found.as_deref(), Some(read), "{url}");
        }
        assert_eq!(proxy(&[("http_proxy", "proxy:many")], false, "desk"), None);
    }

    #[test]
    fn who_is_named_is_asked_directly() {
        for (list, host, is_direct) in [
            ("*", "desk", true),
            ("desk", "desk", true),
            ("desk", "DESK", true),
            ("other, desk", "desk", true),
            ("lan", "desk.lan", true),
            (".lan", "desk.lan", true),
            (".desk.lan", "desk.lan", true),
            ("esk", "desk", false),
            ("an", "desk.lan", false),
            ("192.0.2.6", "192.0.2.6", true),
            ("192.0.2.0/24", "192.0.2.6", true),
            ("192.0.2.0/25", "192.0.2.200", false),
            ("0.0.0.0/0", "192.0.2.6", false),
            ("192.0.2", "192.0.2.6", false),
            ("192.0.2.6:5000", "192.0.2.6", false),
            ("2001:db8::/32", "2001:db8::6", true),
            ("2001:db8::/64", "2001:db8:1::6", false),
            ("192.0.2.0/x", "192.0.2.6", false),
            ("", "desk", false),
        ] {
            let set = [("http_proxy", "proxy:1"), ("no_proxy", list)];
            let found = proxy(&set, false, host).is_none();
            assert_eq!(found, is_direct, "{list} {host}");
        }
    }
}
