use super::*;
use crate::net::entry;

const LAN: u32 = 2;
const OTHER: u32 = 3;

fn mac(text: &str) -> Mac {
    text.parse().unwrap()
}

fn neighbour(address: &str, interface: u32, is: &str) -> Neighbour {
    Neighbour {
        address: address.parse().unwrap(),
        interface,
        presence: Presence::Seen,
        mac: Some(mac(is)),
    }
}

/// 192.0.2.0/24 on one interface, with a router to everywhere else, and 198.51.100.0/24 on another.
fn tables() -> Tables {
    let address = |interface, network: &str| Address {
        interface,
        network: network.parse().unwrap(),
        tentative: false,
    };
    let route = |destination: &str, interface, gateway: Option<&str>| Route {
        destination: destination.parse().unwrap(),
        table: entry::TABLE_MAIN,
        metric: 0,
        to: To::Hop {
            interface,
            gateway: gateway.map(|it| it.parse().unwrap()),
        },
    };
    let link = |index| entry::Link {
        index,
        usable: true,
    };
    Tables {
        links: vec![link(1), link(LAN), link(OTHER)],
        addresses: vec![
            address(1, "127.0.0.1/8"),
            address(LAN, "192.0.2.2/24"),
            address(LAN, "fe80::2/64"),
            address(OTHER, "198.51.100.2/24"),
        ],
        routes: vec![
            route("192.0.2.0/24", LAN, None),
            route("198.51.100.0/24", OTHER, None),
            route("203.0.113.0/24", LAN, Some("192.0.2.9")),
            route("0.0.0.0/0", LAN, Some("192.0.2.1")),
        ],
    }
}

const ROUTER: &str = "02:00:00:00:00:01";
const DESKTOP: &str = "02:00:00:00:00:06";

#[test]
fn who_is_on_a_link_of_this_machine_has_an_address_there_and_nobody_else_does() {
    let known = [
        neighbour("192.0.2.1", LAN, ROUTER),
        neighbour("192.0.2.6", LAN, DESKTOP),
        // A router answers for this one.
        neighbour("192.0.2.7", LAN, ROUTER),
        // Of another time, on another link.
        neighbour("192.0.2.8", OTHER, DESKTOP),
        neighbour("203.0.113.6", LAN, DESKTOP),
        Neighbour {
            presence: Presence::Missed,
            ..neighbour("192.0.2.10", LAN, DESKTOP)
        },
    ];
    let seen = |address: &str| station(address.parse().unwrap(), tables(), &known);
    let expected = Station {
        mac: mac(DESKTOP),
        link: Link {
            network: "192.0.2.0/24".parse().unwrap(),
            router: Some(mac(ROUTER)),
        },
    };
    assert_eq!(seen("192.0.2.6"), Some(expected.clone()));
    assert_eq!(seen("::ffff:192.0.2.6"), Some(expected));
    for nobody in [
        "192.0.2.5",
        "192.0.2.7",
        "192.0.2.8",
        "192.0.2.10",
        "203.0.113.6",
        "127.0.0.1",
        "198.51.100.6",
    ] {
        assert_eq!(seen(nobody), None, "{nobody}");
    }
}

#[test]
fn the_same_network_behind_another_router_is_another_link() {
    let of = |router: &str| Links::of(&tables(), &[neighbour("192.0.2.1", LAN, router)]);
    let home = Link {
        network: "192.0.2.0/24".parse().unwrap(),
        router: Some(mac(ROUTER)),
    };
    assert_eq!(of(ROUTER).interface(&home), Some(LAN));
    assert_eq!(of("02:00:00:00:00:99").interface(&home), None);
    // Not known yet: it may be another.
    assert_eq!(Links::of(&tables(), &[]).interface(&home), None);
    let without = Link {
        network: "198.51.100.0/24".parse().unwrap(),
        router: None,
    };
    assert_eq!(of(ROUTER).interface(&without), Some(OTHER));
    let mut down = tables();
    down.links.retain(|link| link.index != OTHER);
    assert_eq!(Links::of(&down, &[]).interface(&without), None);
}

#[test]
fn a_magic_packet_is_six_times_ff_and_sixteen_times_the_address() {
    let packet = mac("02:a1:b2:c3:d4:e5").magic_packet();
    assert_eq!(packet.len(), 102);
    assert_eq!(&packet[..6], [0xff; 6]);
    for part in packet[6..].chunks(6) {
        assert_eq!(part, [0x02, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5]);
    }
}

#[test]
fn a_hardware_address_is_read_as_it_is_written_and_nothing_else_is() {
    assert_eq!(mac("02:A1:b2:c3:d4:e5").to_string(), "02:a1:b2:c3:d4:e5");
    for wrong in [
        "",
        "02:a1:b2:c3:d4",
        "02:a1:b2:c3:d4:e5:f6",
        "02:a1:b2:c3:d4:+5",
        "2:a1:b2:c3:d4:e5",
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01",
    ] {
        assert_eq!(wrong.parse::<Mac>(), Err(NotAMac), "{wrong}");
    }
}
