//! Whether Nix can parse the name of a store at all. What it can't, it refuses together with the whole
//! list or file that the name stands in; what it can may still be no store (`StoreReference::parse`,
//! src/libstore/store-reference.cc).

use std::net::Ipv6Addr;

use super::{authority::percent_decode, is_scheme};
use crate::nix::version::NixVersion;

/// Whether the Nix of `version` parses `text`.
pub fn is_reference(text: &str, version: NixVersion) -> bool {
    let is_url = if version.reads_urls_by_rfc() {
        is_rfc_url(text)
    } else {
        is_url_of_old(text)
    };
    if is_url {
        return true;
    }
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    if !is_decodable(query) {
        return false;
    }
    match base {
        "" | "auto" | "daemon" | "local" => true,
        path if !path.contains("://") => path.contains('/') || is_bare_ipv6(path, version),
        other => is_bare_ipv6(other, version),
    }
}

/// RFC 3986 as Boost.URL reads it, with what Nix lets pass beside it: `"` and blanks in the query
/// (`parseURL`, src/libutil/url.cc).
fn is_rfc_url(text: &str) -> bool {
    let Some((_, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return false;
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let in_path = |byte| is_pchar(byte) || byte == b'/';
    let in_query = |byte| in_path(byte) || b"?[] \"".contains(&byte);
    is_encoded(path, in_path)
        && is_encoded(query, in_query)
        && is_decodable(query)
        && is_encoded(fragment, |byte| in_query(byte) || byte == b'^')
        && is_authority(authority)
}

fn is_authority(text: &str) -> bool {
    let (user, rest) = text.rsplit_once('@').unwrap_or(("", text));
    let (host_is_fine, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((literal, port))) => (is_ipv6_literal(literal), port),
        Some(None) => return false,
        None => {
            let (host, port) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
            (is_encoded(host, is_name), port)
        }
    };
    let port_is_fine = match port.strip_prefix(':') {
        Some("") => true,
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port != 0)
        }
        None => port.is_empty(),
    };
    host_is_fine && port_is_fine && is_encoded(user, |byte| is_name(byte) || byte == b':')
}

/// The regular expressions of before 2.31 (src/libutil/url-parts.hh): schemes in small letters, and behind
/// them anything of the characters of a path, which two slashes and a host are as well. Only brackets
/// and a zone need a host to stand in.
fn is_url_of_old(text: &str) -> bool {
    let is_scheme =
        |scheme: &str| is_scheme(scheme) && !scheme.bytes().any(|byte| byte.is_ascii_uppercase());
    let Some((_, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return false;
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let in_path = |byte| is_pchar(byte) || b"\"/".contains(&byte);
    let in_query = |byte| in_path(byte) || b"? ".contains(&byte);
    let is_host = || {
        let authority = rest.strip_prefix("//").unwrap_or_default();
        let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let without_port = host.rsplit_once(':').filter(|(_, digits)| port(digits));
        let is_ipv6 = is_old_ipv6(host) || without_port.is_some_and(|(host, _)| is_old_ipv6(host));
        is_ipv6 && is_encoded(path, in_path)
    };
    (is_encoded(rest, in_path) || is_host())
        && is_encoded(query, in_query)
        && is_encoded(fragment, |byte| in_query(byte) || byte == b'^')
}

/// `[0-9a-fA-F:]+(%\w+)?`, in brackets or not.
fn is_old_ipv6(text: &str) -> bool {
    let inner = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    let inner = inner.unwrap_or(text);
    let (address, zone) = inner.split_once('%').unwrap_or((inner, "0"));
    let in_zone = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let in_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
    let is_of = |text: &str, allowed: fn(u8) -> bool| !text.is_empty() && text.bytes().all(allowed);
    is_of(address, in_address) && is_of(zone, in_zone)
}

/// Nix's own shim of since 2.31, for what the regular expressions let pass: an IPv6 address without
/// brackets, or with a bare `%` in them.
fn is_bare_ipv6(base: &str, version: NixVersion) -> bool {
    let Some((_, rest)) = base.split_once(':').filter(|_| version.reads_urls_by_rfc()) else {
        return false;
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    let inner = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host);
    let address = inner.split_once('%').map_or(inner, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

fn is_ipv6_literal(literal: &str) -> bool {
    let (address, zone) = match literal.split_once("%25") {
        Some((address, zone)) => (address, Some(zone)),
        None => (literal, None),
    };
    let zone_is_fine = zone.is_none_or(|zone| !zone.is_empty() && is_encoded(zone, is_name));
    address.parse::<Ipv6Addr>().is_ok() && zone_is_fine
}

fn is_encoded(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    is_decodable(text) && text.bytes().all(|byte| byte == b'%' || allowed(byte))
}

fn is_decodable(text: &str) -> bool {
    percent_decode(text).is_ok()
}

/// `unreserved` and `sub-delims`.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

fn is_pchar(byte: u8) -> bool {
    is_name(byte) || b":@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: NixVersion = NixVersion::new(2, 26, 3);
    const NEW: NixVersion = NixVersion::new(2, 34, 8);

    /// What real Nix of both versions made of each; the last two columns.
    #[test]
    fn stores_are_parsed_as_nix_parses_them() {
        for (text, old, new) in [
            ("ssh-ng://nix@host", true, true),
            ("ssh-ng://nix@host:2222", true, true),
            ("ssh://nix@host:", true, true),
            ("ssh://nix@host:0", true, false),
            ("ssh://nix@host:99999", true, false),
            ("ssh://nix@host:ssh", true, false),
            ("SSH-NG://nix@host", false, true),
            ("ssh-ng://dom\\user@host", false, false),
            ("ssh-ng://a@b@host", true, false),
            ("ssh-ng://a%40b@host", true, true),
            ("ssh-ng://nix@büro", false, false),
            ("\"ssh://box\"", false, false),
            ("box?ssh-key=/k", false, false),
            ("ssh://box\u{a0}x86_64-linux", false, false),
            ("ssh-ng://nix@box?remote-program=%zz", false, false),
            ("ssh-ng://nix@box?remote-program=nice%20x", true, true),
            ("ssh://nix@[2001:db8::1]:2222", true, true),
            ("ssh://nix@2001:db8::1", true, true),
            ("ssh://nix@[fe80::1%eth0]", true, true),
            ("ssh://nix@[fe80::1%25eth0]", true, true),
            ("ssh://nix@fe80::1%eth0", true, true),
            ("ssh://ssh://linux-builder", true, true),
            ("ssh-ng://", true, true),
            ("ssh-ng://@host", true, true),
            ("ssh-ng://nix@host/srv/store", true, true),
            ("ssh:/host", true, true),
            ("~/store", true, true),
            ("auto", true, true),
            ("?x=1", true, true),
            ("local?root=/mnt", true, true),
            ("http://a:1\0x", false, false),
            ("http://a:1,http://b:2", true, false),
            ("'http://b:2'", false, false),
            ("=", false, false),
            ("host", false, false),
        ] {
            assert_eq!(is_reference(text, OLD), old, "{text} with {OLD}");
            assert_eq!(is_reference(text, NEW), new, "{text} with {NEW}");
        }
    }
}
