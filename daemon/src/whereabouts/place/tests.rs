use super::*;

#[test]
fn a_literal_address_is_known_with_its_zone_or_without() {
    for (host, address) in [
        ("192.0.2.6", "192.0.2.6"),
        ("2001:db8:0::6", "2001:db8::6"),
        ("fe80::6%wlan0", "fe80::6"),
    ] {
        assert_eq!(ip(host), Some(address.parse().unwrap()), "{host}");
    }
    assert_eq!(ip("desktop"), None);
}
