use super::*;
use crate::whereabouts::tests::targets;

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

#[test]
fn where_else_it_may_be_is_every_other_address_with_its_port() {
    let spec = targets::builder(&["192.0.2.6", "desktop:2222", "2001:db8::6"]);
    let place = Place::new(Arc::new(spec), Reachability::default());
    assert_eq!(*place.address(), "192.0.2.6:22");
    assert_eq!(place.elsewhere(), ["desktop:2222", "[2001:db8::6]:22"]);
}
