//! Whether two addresses are of one host.

use std::net::IpAddr;

/// Whether `a` and `b`, both `host:port`, are of one host; `None` where one is a name and the other is
/// not: what a name stands for is not known here. A port is no difference: ssh_config may say another.
pub(super) fn is_same_host(a: &str, b: &str) -> Option<bool> {
    let (a, b) = (host(a), host(b));
    match (literal(a), literal(b)) {
        (Some(a), Some(b)) => Some(a == b),
        (None, None) => Some(is_same_name(a, b)),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

/// The host of `host:port` and `[v6]:port`.
fn host(address: &str) -> &str {
    if let Some((host, _)) = address.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        return host;
    }
    match address.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') => host,
        _ => address,
    }
}

/// A zone only says by which interface the address is reached.
fn literal(host: &str) -> Option<IpAddr> {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    let address: IpAddr = address.parse().ok()?;
    Some(address.to_canonical())
}

/// `desktop` and `desktop.lan` are most often one machine: nobody is warned of that.
fn is_same_name(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim_end_matches('.'), b.trim_end_matches('.'));
    let mut a = a.split('.');
    let mut b = b.split('.');
    loop {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            (Some(_), Some(_)) => return false,
            (None, _) | (_, None) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_compared_where_they_can_be() {
        for (a, b, same) in [
            ("192.0.2.6:5000", "192.0.2.6:22", Some(true)),
            ("192.0.2.6:5000", "192.0.2.7:5000", Some(false)),
            ("192.0.2.6:22", "desktop:22", None),
            ("desktop:22", "Desktop.lan.:22", Some(true)),
            ("desktop.lan:22", "desktop.home:22", Some(false)),
            ("desktop-2:22", "desktop:22", Some(false)),
            ("[2001:db8::6]:22", "[2001:DB8:0::6]:2222", Some(true)),
            ("[fe80::6%wlan0]:22", "fe80::6", Some(true)),
            ("[::ffff:192.0.2.6]:22", "192.0.2.6:22", Some(true)),
        ] {
            assert_eq!(is_same_host(a, b), same, "{a} {b}");
            assert_eq!(is_same_host(b, a), same, "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn any_texts_can_be_compared(a in ".*", b in ".*") {
            prop_assert_eq!(is_same_host(&a, &b), is_same_host(&b, &a));
        }
    }
}
