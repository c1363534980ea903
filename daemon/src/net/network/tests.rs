use super::*;

const WIFI: u32 = 2;
const VPN: u32 = 3;
const LO: u32 = 1;

/// A laptop at home: WiFi with the usual networks, and loopback.
fn home() -> Tables {
    let link = |index| Link {
        index,
        usable: true,
    };
    Tables {
        links: vec![link(LO), link(WIFI), link(VPN)],
        addresses: vec![
            address(LO, "127.0.0.1/8"),
            address(WIFI, "192.168.1.20/24"),
            address(WIFI, "fd00::20/64"),
        ],
        routes: vec![
            route("0.0.0.0/0", WIFI, Some("192.168.1.1")),
            route("192.168.1.0/24", WIFI, None),
            route("fd00::/64", WIFI, None),
            Route {
                table: TABLE_LOCAL,
                to: To::Here { interface: WIFI },
                ..route("192.168.1.20/32", WIFI, None)
            },
        ],
    }
}

fn address(interface: u32, network: &str) -> Address {
    Address {
        interface,
        network: network.parse().unwrap(),
        tentative: false,
    }
}

fn route(destination: &str, interface: u32, gateway: Option<&str>) -> Route {
    let gateway = gateway.map(|gateway| gateway.parse().unwrap());
    Route {
        destination: destination.parse().unwrap(),
        table: TABLE_MAIN,
        metric: 0,
        to: To::Hop { interface, gateway },
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn reach(tables: &Tables, address: &str) -> Reach {
    Network::new(tables.clone()).reach(ip(address))
}

fn interface(tables: &Tables, address: &str) -> Option<u32> {
    let way = Network::new(tables.clone()).way(ip(address));
    way.map(|way| way.interface)
}

#[test]
fn what_is_reached_from_home() {
    for (address, expected) in [
        ("192.168.1.6", Reach::Near),
        ("192.168.1.20", Reach::Near),
        ("127.0.15.6", Reach::Near),
        ("::1", Reach::Near),
        ("0.0.0.0", Reach::Near),
        ("::ffff:192.168.1.6", Reach::Near),
        ("fd00::6", Reach::Near),
        // Public, by the default route.
        ("8.8.8.8", Reach::Near),
        ("100.128.0.1", Reach::Near),
        // Private, of another network.
        ("192.168.2.6", Reach::Far),
        ("10.0.0.6", Reach::Far),
        ("172.31.0.6", Reach::Far),
        ("169.254.3.4", Reach::Far),
        ("100.64.0.6", Reach::Far),
        ("192.0.2.6", Reach::Far),
        ("198.51.100.6", Reach::Far),
        ("203.0.113.6", Reach::Far),
        ("::ffff:10.0.0.6", Reach::Far),
        // There is no default route of IPv6.
        ("fd01::6", Reach::Nowhere),
        ("2606:4700::1111", Reach::Nowhere),
    ] {
        assert_eq!(reach(&home(), address), expected, "{address}");
    }
    let mut tables = home();
    tables.routes.push(route("::/0", WIFI, Some("fe80::1")));
    for (address, expected) in [
        ("fd01::6", Reach::Far),
        ("2001:db8::6", Reach::Far),
        ("fe80::6", Reach::Far),
        ("2606:4700::1111", Reach::Near),
    ] {
        assert_eq!(reach(&tables, address), expected, "{address}");
    }
}

#[test]
fn the_way_is_by_the_longest_prefix_and_then_the_lowest_metric() {
    let mut tables = home();
    let way = Network::new(tables.clone()).way(ip("8.8.8.8"));
    let expected = Way {
        interface: WIFI,
        gateway: Some(ip("192.168.1.1")),
        prefix: 0,
    };
    assert_eq!(way, Some(expected));

    tables.routes.insert(
        0,
        Route {
            metric: 600,
            ..route("192.168.1.0/24", VPN, None)
        },
    );
    assert_eq!(interface(&tables, "192.168.1.6"), Some(WIFI));
    tables.routes.push(route("192.168.1.6/32", VPN, None));
    assert_eq!(interface(&tables, "192.168.1.6"), Some(VPN));
    assert_eq!(interface(&tables, "192.168.1.7"), Some(WIFI));
}

#[test]
fn a_vpn_that_leads_to_the_desktop_makes_it_near() {
    // As tailscale and wg-quick make them: a table of their own, before main.
    let mut tables = home();
    tables.routes.push(Route {
        table: 52,
        ..route("100.64.0.6/32", VPN, None)
    });
    assert_eq!(reach(&tables, "100.64.0.6"), Reach::Near);
    assert_eq!(reach(&tables, "100.64.0.7"), Reach::Far);
    tables.routes.push(Route {
        table: 51820,
        ..route("0.0.0.0/0", VPN, None)
    });
    assert_eq!(interface(&tables, "8.8.8.8"), Some(VPN));
    assert_eq!(interface(&tables, "192.168.1.6"), Some(WIFI));
}

#[test]
fn a_default_route_in_two_halves_is_one() {
    let mut tables = home();
    tables.routes.push(route("0.0.0.0/1", VPN, None));
    tables.routes.push(route("128.0.0.0/1", VPN, None));
    assert_eq!(reach(&tables, "10.0.0.6"), Reach::Far);
    assert_eq!(reach(&tables, "8.8.8.8"), Reach::Near);
}

#[test]
fn no_way_leads_by_an_interface_that_is_down() {
    let mut tables = home();
    tables.routes.push(Route {
        metric: 600,
        ..route("0.0.0.0/0", VPN, None)
    });
    tables.links[1].usable = false;
    assert_eq!(reach(&tables, "192.168.1.6"), Reach::Far);
    assert_eq!(interface(&tables, "8.8.8.8"), Some(VPN));
    // What is ours is ours.
    assert_eq!(reach(&tables, "192.168.1.20"), Reach::Near);
    let own = Network::new(tables.clone()).own();
    assert_eq!(own, ["127.0.0.0/8".parse::<IpNet>().unwrap()]);

    tables.links.remove(2);
    assert_eq!(reach(&tables, "192.168.1.6"), Reach::Nowhere);
    assert_eq!(reach(&tables, "8.8.8.8"), Reach::Nowhere);
    assert_eq!(reach(&tables, "127.0.15.6"), Reach::Near);
}

#[test]
fn a_route_that_refuses_is_no_way() {
    let refused = |destination, table, metric| Route {
        table,
        metric,
        to: To::Refused,
        ..route(destination, 0, None)
    };
    let mut tables = home();
    tables.routes.push(refused("10.0.0.0/8", TABLE_MAIN, 0));
    // The kernel's own last resort of IPv6, and one of a rule that is not read.
    tables.routes.push(refused("::/0", TABLE_MAIN, u32::MAX));
    tables.routes.push(refused("192.168.1.0/24", 77, 0));
    assert_eq!(reach(&tables, "10.0.0.6"), Reach::Nowhere);
    assert_eq!(reach(&tables, "fd01::6"), Reach::Nowhere);
    assert_eq!(reach(&tables, "192.168.1.6"), Reach::Near);
    tables.routes.push(route("::/0", WIFI, Some("fe80::1")));
    assert_eq!(reach(&tables, "2606:4700::1111"), Reach::Near);
}

#[test]
fn there_is_no_way_from_an_address_that_is_not_settled() {
    let mut tables = home();
    tables.addresses[2].tentative = true;
    tables.addresses.push(address(WIFI, "fe80::20/64"));
    tables.routes.push(route("fe80::/64", WIFI, None));
    assert_eq!(reach(&tables, "fd00::6"), Reach::Nowhere);
    assert_eq!(reach(&tables, "fe80::6"), Reach::Near);
    assert_eq!(reach(&tables, "192.168.1.6"), Reach::Near);
    let before = Network::new(tables.clone());
    tables.addresses[2].tentative = false;
    assert_eq!(reach(&tables, "fd00::6"), Reach::Near);
    assert_ne!(Network::new(tables), before);
}

#[test]
fn a_machine_of_which_nothing_is_known_reaches_everything() {
    let unknown = Network::default();
    for address in ["192.168.1.6", "8.8.8.8", "fd00::6"] {
        assert_eq!(unknown.reach(ip(address)), Reach::Near, "{address}");
        assert_eq!(unknown.way(ip(address)), None);
    }
    assert_ne!(unknown, Network::new(Tables::default()));
}

#[test]
fn own_networks_are_told_once_each() {
    let mut tables = home();
    tables.addresses.push(address(WIFI, "192.168.1.21/24"));
    let own = Network::new(tables).own();
    let expected = ["127.0.0.0/8", "192.168.1.0/24", "fd00::/64"];
    assert_eq!(own, expected.map(|net| net.parse::<IpNet>().unwrap()));
}

#[test]
fn a_neighbour_is_on_the_link_of_a_network_of_ones_own() {
    let network = Network::new(home());
    assert_eq!(network.link(ip("192.168.1.6")), Some(WIFI));
    assert_eq!(network.link(ip("fd00::6")), Some(WIFI));
    for other in ["192.168.1.20", "192.168.2.6", "2001:db8::6"] {
        assert_eq!(network.link(ip(other)), None, "{other}");
    }
}
