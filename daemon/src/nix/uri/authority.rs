//! The authority of a URL: `user@host:port`.

use std::net::Ipv6Addr;

use super::UriError;

/// RFC 3986, section 3.2, decoded. A password is read and forgotten.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Authority {
    /// As `ParsedURL::Authority::parse` (url.cc): IPv6 in brackets, its zone after `%25`; an empty
    /// port is no port, port 0 is an error.
    pub(super) fn parse(text: &str) -> Result<Self, UriError> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((userinfo, rest)) => (Some(user(userinfo)?), rest),
            None => (None, text),
        };
        let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
            let (literal, port) = rest
                .split_once(']')
                .ok_or(UriError::Invalid("'[' without ']'"))?;
            (ipv6_literal(literal)?, port)
        } else {
            let (name, port) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
            (registered_name(name)?, port)
        };
        Ok(Self {
            user,
            host,
            port: parse_port(port)?,
        })
    }

    /// Nix's shim for what old versions allowed: an IPv6 address, perhaps with a zone, without
    /// brackets or with a bare `%` in them; never with a port (store-reference.cc).
    pub(super) fn parse_bare_ipv6(text: &str) -> Result<Self, UriError> {
        let (user, rest) = match text.split_once('@') {
            Some((userinfo, rest)) => (Some(self::user(userinfo)?), rest),
            None => (None, text),
        };
        let rest = rest
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(rest);
        let (address, zone) = match rest.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (rest, None),
        };
        if address.parse::<Ipv6Addr>().is_err() {
            return Err(UriError::Invalid("host or port"));
        }
        let host = match zone {
            Some(zone) => format!("{address}%{}", check_zone(percent_decode(zone)?)?),
            None => address.to_owned(),
        };
        Ok(Self {
            user,
            host,
            port: None,
        })
    }
}

/// The user of `user:password`.
fn user(userinfo: &str) -> Result<String, UriError> {
    if !userinfo
        .bytes()
        .all(|byte| is_name_byte(byte) || byte == b':')
    {
        return Err(UriError::Invalid("a character of the user is not encoded"));
    }
    percent_decode(userinfo)?;
    percent_decode(userinfo.split(':').next().unwrap_or_default())
}

fn ipv6_literal(literal: &str) -> Result<String, UriError> {
    let (address, zone) = match literal.split_once("%25") {
        Some((address, zone)) => (address, Some(zone)),
        None => (literal, None),
    };
    if address.parse::<Ipv6Addr>().is_err() {
        return Err(UriError::Invalid(
            "not an IPv6 address (a zone follows '%25')",
        ));
    }
    Ok(match zone {
        Some(zone) => format!("{address}%{}", check_zone(percent_decode(zone)?)?),
        None => address.to_owned(),
    })
}

/// A zone names an interface of Linux: no space, no slash, no colon.
fn check_zone(zone: String) -> Result<String, UriError> {
    let is_interface = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    if zone.is_empty() || !zone.chars().all(is_interface) {
        return Err(UriError::Invalid("zone of an IPv6 address"));
    }
    Ok(zone)
}

fn registered_name(name: &str) -> Result<String, UriError> {
    if !name.bytes().all(is_name_byte) {
        return Err(UriError::Invalid("a character of the host"));
    }
    percent_decode(name)
}

/// `unreserved`, `sub-delims` and `%`.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte)
}

fn parse_port(text: &str) -> Result<Option<u16>, UriError> {
    let invalid = UriError::Invalid("port");
    let Some(digits) = text.strip_prefix(':') else {
        return if text.is_empty() {
            Ok(None)
        } else {
            Err(invalid)
        };
    };
    if digits.is_empty() {
        return Ok(None);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(invalid),
        Ok(port) => Ok(Some(port)),
    }
}

/// Undoes percent-encoding; bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// [`UriError::Invalid`] for a `%` without two hexadecimal digits, as `percentDecode` (url.cc).
pub fn percent_decode(text: &str) -> Result<String, UriError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(UriError::Invalid("'%' without two hexadecimal digits")),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
