//! Where a target may be: a host and perhaps a port, as people write them.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A host (a name or a literal address, a zone included, without brackets) and perhaps a port.
///
/// Written `host`, `host:port`, `192.0.2.6:22`, `2001:db8::6`, `fe80::6%wlan0`, `[2001:db8::6]:22`:
/// a bare IPv6 address is a host without a port, with one it needs the brackets (RFC 3986, 3.2.2;
/// the zone is RFC 4007's).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// `desktop.local`, `192.0.2.6`, `fe80::1%wlan0`.
    pub host: String,
    /// Where it differs from the URI's; never 0.
    pub port: Option<u16>,
}

/// Why a text is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no host.
    #[error("the host is empty")]
    Empty,
    /// Neither a name that DNS allows nor a literal address.
    #[error("the host is neither a name of letters, digits, '-', '_' and '.' nor an IP address")]
    Name,
    /// It ends in a number, so a resolver would take it for an address, but it is none.
    #[error("the host looks like an IPv4 address but is not one")]
    Ipv4,
    /// It has colons or brackets like an IPv6 address.
    #[error("the host looks like an IPv6 address but is not one")]
    Ipv6,
    /// What follows `%` is no interface.
    #[error("the zone after '%' must be the name or number of a network interface")]
    Zone,
    /// Not in 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// `[` without `]`, or text between `]` and the port.
    #[error("an IPv6 address with a port is written [address]:port")]
    Brackets,
}

/// The longest name DNS allows (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
/// The longest label of one.
const MAX_LABEL: usize = 63;
/// The longest name of a network interface (`IFNAMSIZ` without its NUL).
const MAX_ZONE: usize = 15;

impl Address {
    /// Reads one; the same as [`FromStr`].
    ///
    /// # Errors
    /// The text is not exactly one host and at most one port.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(AddressError::Brackets)?;
            check_ipv6(host)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if rest.is_empty() => None,
                None => return Err(AddressError::Brackets),
            };
            return Ok(Self::new(host, port));
        }
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                check_ipv6(text)?;
                Ok(Self::new(text, None))
            }
            Some((host, port)) => {
                check_name(host)?;
                Ok(Self::new(host, Some(parse_port(port)?)))
            }
            None => {
                check_name(text)?;
                Ok(Self::new(text, None))
            }
        }
    }
}

impl Address {
    fn new(host: &str, port: Option<u16>) -> Self {
        Self {
            host: host.to_owned(),
            port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(address) if address.scope_id() != 0 => {
                format!("{}%{}", address.ip(), address.scope_id())
            }
            _ => address.ip().to_string(),
        };
        Self {
            host,
            port: Some(address.port()),
        }
    }
}

/// Digits only: `u16::from_str` would take a plus sign as well.
fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(AddressError::Port),
    }
}

fn check_ipv6(host: &str) -> Result<(), AddressError> {
    let (address, zone) = match host.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (host, None),
    };
    if address.is_empty() {
        return Err(AddressError::Empty);
    }
    if address.parse::<Ipv6Addr>().is_err() {
        return Err(AddressError::Ipv6);
    }
    match zone {
        Some(zone) if !is_zone(zone) => Err(AddressError::Zone),
        _ => Ok(()),
    }
}

fn is_zone(zone: &str) -> bool {
    (1..=MAX_ZONE).contains(&zone.len())
        && zone
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'%' | b'[' | b']'))
}

/// A name or an IPv4 address. A leading `-` is refused because `ssh` would read it as an option.
fn check_name(host: &str) -> Result<(), AddressError> {
    if host.is_empty() {
        return Err(AddressError::Empty);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let labels_are_fine = name.split('.').all(|label| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    if !labels_are_fine || name.len() > MAX_NAME || name.starts_with('-') {
        return Err(AddressError::Name);
    }
    // `getaddrinfo` takes 192.0.2 for 192.0.0.2 and 0x7f.1 for 127.0.0.1: what is shown would not
    // be what is asked.
    let last = name.rsplit('.').next().unwrap_or(name);
    if is_number(last) && host.parse::<Ipv4Addr>().is_err() {
        return Err(AddressError::Ipv4);
    }
    Ok(())
}

fn is_number(label: &str) -> bool {
    let hexadecimal = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"))
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port) in [
            ("desktop", "desktop", None),
            ("desktop.local", "desktop.local", None),
            ("desktop.local.", "desktop.local.", None),
            ("my_desktop-2:5000", "my_desktop-2", Some(5000)),
            ("192.0.2.6", "192.0.2.6", None),
            ("192.0.2.6:22", "192.0.2.6", Some(22)),
            ("2001:db8::6", "2001:db8::6", None),
            ("::1", "::1", None),
            ("2001:db8::6:22", "2001:db8::6:22", None),
            ("[2001:db8::6]", "2001:db8::6", None),
            ("[2001:db8::6]:22", "2001:db8::6", Some(22)),
            ("fe80::6%wlan0", "fe80::6%wlan0", None),
            ("[fe80::6%2]:5000", "fe80::6%2", Some(5000)),
            ("::ffff:192.0.2.6", "::ffff:192.0.2.6", None),
            ("host:65535", "host", Some(65535)),
        ] {
            let expected = Address::new(host, port);
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        use AddressError::*;
        for (text, error) in [
            ("", Empty),
            (":22", Empty),
            ("[]:22", Empty),
            ("%eth0", Name),
            ("two words", Name),
            ("desktop/nix", Name),
            ("a..b", Name),
            (".", Name),
            ("-oProxyCommand=id", Name),
            ("-x", Name),
            ("größe", Name),
            ("user@host", Name),
            ("192.0.2.6%eth0", Name),
            ("192.0.2", Ipv4),
            ("192.0.2.256", Ipv4),
            ("192.0.2.6.", Ipv4),
            ("0x7f.0x1", Ipv4),
            ("5000", Ipv4),
            ("1::2::3", Ipv6),
            ("[desktop]:22", Ipv6),
            ("[192.0.2.6]:22", Ipv6),
            ("http://desktop:5000", Ipv6),
            ("fe80::6%", Zone),
            ("fe80::6%a b", Zone),
            ("fe80::6%averylonginterfacename", Zone),
            ("host:", Port),
            ("host:0", Port),
            ("host:+22", Port),
            ("host:65536", Port),
            ("host:ssh", Port),
            ("[::1]:", Port),
            ("[::1", Brackets),
            ("[::1]22", Brackets),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
        let label = "a".repeat(64);
        assert_eq!(Address::parse(&label), Err(Name));
        assert_eq!(Address::parse(&"a.".repeat(200)), Err(Name));
    }

    fn host() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z][a-z0-9_-]{0,20}(\\.[a-z][a-z0-9-]{0,20}){0,3}",
            any::<Ipv4Addr>().prop_map(|address| address.to_string()),
            any::<Ipv6Addr>().prop_map(|address| address.to_string()),
            (any::<Ipv6Addr>(), "[a-z]{1,8}[0-9]{1,3}").prop_map(|(a, zone)| format!("{a}%{zone}")),
        ]
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(host in host(), port in prop::option::of(1_u16..)) {
            let address = Address { host, port };
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }

        #[test]
        fn what_is_read_shows_and_reads_back(text in "[\\[\\]:%.a-f0-9-]{0,24}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_ne!(address.port, Some(0));
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }

        #[test]
        fn reading_never_panics(text in ".*") {
            let _ = Address::parse(&text);
        }
    }
}
