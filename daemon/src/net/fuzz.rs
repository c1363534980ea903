//! What must hold of what the kernel says over rtnetlink.

use std::net::IpAddr;

use super::{
    entry::{self, Presence},
    network::{Network, Reach, Tables},
    wire::{self, Messages},
};

/// No datagram makes more than it has room for, and what is made of it answers for every address.
pub(crate) fn netlink(datagram: &[u8]) {
    let mut tables = Tables::default();
    let mut neighbours = Vec::new();
    for message in Messages::of(datagram).map_while(Result::ok) {
        let again = wire::dump_request(message.kind, message.sequence, message.body);
        let again: Vec<_> = Messages::of(&again).collect();
        let [Ok(again)] = again.as_slice() else {
            unreachable!("{again:?}")
        };
        let same = (message.kind, message.sequence, message.body);
        assert_eq!((again.kind, again.sequence, again.body), same);
        // As where it is read, what went before stays.
        let _ = match message.kind {
            entry::NEW_LINK => entry::link(&message, &mut tables.links),
            entry::NEW_ADDRESS => entry::address(&message, &mut tables.addresses),
            entry::NEW_ROUTE => entry::route(&message, &mut tables.routes),
            entry::NEW_NEIGHBOUR => entry::neighbour(&message, &mut neighbours),
            _ => Ok(()),
        };
    }
    let room = datagram.len() / 8;
    let made = tables.links.len() + tables.addresses.len() + tables.routes.len();
    assert!(made + neighbours.len() <= room, "{tables:?} {neighbours:?}");
    for neighbour in neighbours {
        let address = neighbour.address;
        assert!(!address.is_multicast() && !address.is_unspecified());
        assert!(matches!(
            neighbour.presence,
            Presence::Seen | Presence::Missed | Presence::Asked | Presence::Untold
        ));
    }
    judge(&Network::new(tables));
}

fn judge(network: &Network) {
    let own = network.own();
    assert!(own.is_sorted());
    let mut addresses: Vec<IpAddr> = own.iter().map(|net| net.network()).collect();
    addresses.extend([IpAddr::from([192, 0, 2, 6]), IpAddr::from([0; 16])]);
    for net in &own {
        assert_eq!(
            net.trunc(),
            *net,
            "the bits of the host are not the network's"
        );
    }
    for address in addresses {
        let way = network.way(address);
        let reach = network.reach(address);
        match &way {
            Some(way) => {
                assert_ne!(reach, Reach::Nowhere, "{address} by {way:?}");
                assert!(way.prefix <= if address.is_ipv4() { 32 } else { 128 });
            }
            None => {
                let address = address.to_canonical();
                let is_own = address.is_loopback() || address.is_unspecified();
                assert_eq!(reach == Reach::Nowhere, !is_own, "{address}");
            }
        }
    }
}
