use proptest::prelude::*;

use super::*;
use crate::net::wire::{
    Messages,
    tests::{attribute, write},
};

fn read<T>(
    reader: fn(&Message<'_>, &mut Vec<T>) -> Result<(), Malformed>,
    body: &[u8],
) -> Result<Vec<T>, Malformed> {
    let datagram = write(0, body);
    let message = Messages::of(&datagram).next().unwrap()?;
    let mut found = Vec::new();
    reader(&message, &mut found).map(|()| found)
}

fn rtmsg(family: u8, prefix: u8, kind: u8, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![family, prefix, 0, 0, 254, 0, 0, kind];
    body.extend(flags.to_ne_bytes());
    body.extend(attributes.concat());
    body
}

fn nexthop(flags: u8, interface: u32, attributes: &[u8]) -> Vec<u8> {
    let mut hop = ((8 + attributes.len()) as u16).to_ne_bytes().to_vec();
    hop.extend([flags, 0]);
    hop.extend(interface.to_ne_bytes());
    hop.extend(attributes);
    hop
}

fn number(value: u32) -> [u8; 4] {
    value.to_ne_bytes()
}

#[test]
fn a_link_is_usable_when_it_is_up_and_takes_traffic() {
    let ifinfomsg = |flags: u32| {
        let mut body = vec![0, 0, 1, 0];
        body.extend(number(3));
        body.extend(number(flags));
        body.extend(number(0));
        body
    };
    // As `ip link` shows them: up; up without carrier; down.
    for (flags, usable) in [(0x11043, true), (0x1003, false), (0x1002, false)] {
        let found = read(link, &ifinfomsg(flags)).unwrap();
        assert_eq!(found, [Link { index: 3, usable }], "{flags:#x}");
    }
    assert_eq!(read(link, &ifinfomsg(0)[..11]), Err(Malformed::Short));
}

#[test]
fn an_address_is_in_the_network_of_its_prefix() {
    let mut body = vec![2, 24, 0x80, 0, 2, 0, 0, 0];
    body.extend(attribute(1, &[192, 0, 2, 2]));
    let expected = Address {
        interface: 2,
        network: "192.0.2.2/24".parse().unwrap(),
        tentative: false,
    };
    assert_eq!(read(address, &body), Ok(vec![expected]));

    let mut body = vec![10, 64, 0, 0, 2, 0, 0, 0];
    body.extend(attribute(1, &[0xfd; 16]));
    body.extend(attribute(8, &number(0x40 | 0x80)));
    let found = read(address, &body).unwrap();
    assert!(found[0].tentative);

    let mut body = vec![2, 33, 0, 0, 2, 0, 0, 0];
    body.extend(attribute(1, &[192, 0, 2, 2]));
    assert_eq!(read(address, &body), Err(Malformed::Address));
}

#[test]
fn a_route_has_one_way_for_each_next_hop_that_is_alive() {
    let through = |interface, gateway: Option<&str>| To::Hop {
        interface,
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
    };
    let gateway = attribute(5, &[192, 0, 2, 1]);
    let interface = attribute(4, &number(2));
    let default = rtmsg(2, 0, 1, 0, &[interface.clone(), gateway.clone()]);
    let found = read(route, &default).unwrap();
    let expected = Route {
        destination: "0.0.0.0/0".parse().unwrap(),
        table: TABLE_MAIN,
        metric: 0,
        to: through(2, Some("192.0.2.1")),
    };
    assert_eq!(found, [expected]);

    // A pulled cable: `linkdown`.
    let dead = rtmsg(2, 0, 1, 0x10, &[interface.clone(), gateway.clone()]);
    assert_eq!(read(route, &dead), Ok(vec![]));

    // IPv4 by an IPv6 router, in a table of its own, with a metric.
    let mut rtvia = 10_u16.to_ne_bytes().to_vec();
    rtvia.extend([0xfe; 16]);
    let attributes = [
        attribute(1, &[198, 51, 100, 0]),
        interface,
        attribute(18, &rtvia),
        attribute(6, &number(600)),
        attribute(15, &number(51820)),
    ];
    let found = read(route, &rtmsg(2, 24, 1, 0, &attributes)).unwrap();
    let expected = Route {
        destination: "198.51.100.0/24".parse().unwrap(),
        table: 51820,
        metric: 600,
        to: through(2, Some("fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe")),
    };
    assert_eq!(found, [expected]);

    let hops = [nexthop(0x10, 2, &gateway), nexthop(0, 3, &gateway)].concat();
    let found = read(route, &rtmsg(2, 0, 1, 0, &[attribute(9, &hops)])).unwrap();
    let ways: Vec<_> = found.into_iter().map(|route| route.to).collect();
    assert_eq!(ways, [through(3, Some("192.0.2.1"))]);
}

#[test]
fn what_is_no_way_of_unicast_packets_is_no_route() {
    let interface = attribute(4, &number(2));
    // Broadcast, anycast, multicast, throw; then a cached one, and a multicast routing table's.
    for (family, kind, flags) in [
        (2, 3, 0),
        (2, 4, 0),
        (10, 5, 0),
        (2, 9, 0),
        (10, 1, 0x200),
        (128, 1, 0),
    ] {
        let body = rtmsg(family, 0, kind, flags, std::slice::from_ref(&interface));
        assert_eq!(read(route, &body), Ok(vec![]), "{family} {kind}");
    }
    for kind in [6, 7, 8] {
        let found = read(route, &rtmsg(2, 0, kind, 0, &[])).unwrap();
        assert_eq!(found[0].to, To::Refused, "{kind}");
    }
}

#[test]
fn a_neighbour_is_seen_or_missed() {
    let ndmsg = |state: u16, kind: u8, address: &[u8]| {
        let mut body = vec![2, 0, 0, 0];
        body.extend(number(2));
        body.extend(state.to_ne_bytes());
        body.extend([0, kind]);
        body.extend(attribute(1, address));
        body
    };
    for (state, presence) in [
        (0x02, Presence::Seen),
        (0x04, Presence::Seen),
        (0x80, Presence::Seen),
        (0x01, Presence::Asked),
        (0x40, Presence::Untold),
        (0x20, Presence::Missed),
    ] {
        let found = read(neighbour, &ndmsg(state, 1, &[192, 0, 2, 6])).unwrap();
        let address = "192.0.2.6".parse().unwrap();
        let neighbour = Neighbour {
            address,
            interface: 2,
            presence,
            mac: None,
        };
        assert_eq!(found, [neighbour], "{state:#x}");
    }
    let with = |hardware: &[u8]| {
        let body = [ndmsg(0x02, 1, &[192, 0, 2, 6]), attribute(2, hardware)].concat();
        read(neighbour, &body).unwrap()[0].mac
    };
    let mac = "02:00:00:00:00:06".parse().ok();
    assert_eq!(with(&[2, 0, 0, 0, 0, 6]), mac);
    // InfiniBand's is longer.
    assert_eq!(with(&[2; 20]), None);
    for (kind, address) in [(5, [224, 0, 0, 1]), (1, [224, 0, 0, 1]), (3, [255; 4])] {
        assert_eq!(read(neighbour, &ndmsg(0x02, kind, &address)), Ok(vec![]));
    }
}

/// A body that begins as one of ours, and goes on as it likes.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let family = prop_oneof![Just(2_u8), Just(10), Just(0), any::<u8>()];
    let attribute = (0_u16..20, prop::collection::vec(any::<u8>(), 0..24))
        .prop_map(|(kind, value)| attribute(kind, &value));
    let attributes = prop::collection::vec(attribute, 0..6);
    let fixed = prop::collection::vec(any::<u8>(), 7..16);
    let rest = prop::collection::vec(any::<u8>(), 0..12);
    (family, fixed, attributes, rest).prop_map(|(family, fixed, attributes, rest)| {
        [vec![family], fixed, attributes.concat(), rest].concat()
    })
}

proptest! {
    #[test]
    fn no_message_makes_a_reader_panic_or_find_more_than_it_holds(body in body()) {
        let most = body.len();
        prop_assert!(read(link, &body).map_or(0, |found| found.len()) <= 1);
        prop_assert!(read(address, &body).map_or(0, |found| found.len()) <= 1);
        prop_assert!(read(route, &body).map_or(0, |found| found.len()) <= 1 + most / 8);
        prop_assert!(read(neighbour, &body).map_or(0, |found| found.len()) <= 1 + most / 4);
    }
}
