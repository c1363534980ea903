//! The networks that this machine is on, as the kernel tells it over rtnetlink.
//!
//! - `wire`: netlink messages as bytes. `entry`: what they tell. `socket`: asking and listening.
//! - `network`: how an address would be reached; pure.
//! - `station`: hardware addresses, and the magic packet.
//! - `watch`: the tasks that follow the changes.

mod entry;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod network;
mod socket;
mod station;
mod watch;
mod wire;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, netdevice::name_to_index},
};

use self::{
    entry::{Neighbour, Presence},
    network::Tables,
    socket::{Dumper, Question},
};
pub use self::{
    network::{Network, Reach, Way},
    station::{Link, Links, Mac, Station, links_now, station_now, wake},
    watch::{Neighbours, News, run},
};

/// The networks that this machine is on now. Fails where netlink is not permitted, or where there
/// is more than can be kept; the kernel answers without waiting for anything.
pub fn read_now() -> io::Result<Network> {
    Ok(Network::new(tables(&mut Dumper::new()?)?))
}

fn tables(dumper: &mut Dumper) -> io::Result<Tables> {
    /// A fixed part of any length is zeroes: every family, every entry. `struct ifinfomsg` is the
    /// longest, and what it asks for is made longer by counters unless `IFLA_EXT_MASK` (29) says
    /// `RTEXT_FILTER_SKIP_STATS` (8).
    const EVERY: [u8; 16] = [0; 16];
    let ask = |ask, answer, body| Question { ask, answer, body };
    let mut without_counters = EVERY.to_vec();
    without_counters.extend([8_u16.to_ne_bytes(), 29_u16.to_ne_bytes()].concat());
    without_counters.extend(8_u32.to_ne_bytes());

    let links = ask(entry::GET_LINK, entry::NEW_LINK, &without_counters);
    let addresses = ask(entry::GET_ADDRESS, entry::NEW_ADDRESS, &EVERY[..8]);
    let routes = ask(entry::GET_ROUTE, entry::NEW_ROUTE, &EVERY[..12]);
    Ok(Tables {
        links: dumper.dump(&links, entry::link)?,
        addresses: dumper.dump(&addresses, entry::address)?,
        routes: dumper.dump(&routes, entry::route)?,
    })
}

/// The addresses that a connection from one interface would come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// Of IPv4.
    pub v4: Option<Ipv4Addr>,
    /// Of IPv6.
    pub v6: Option<Ipv6Addr>,
}

/// Those of the interface called `name`, as ssh chooses them for `BindInterface` (`check_ifaddrs` in OpenSSH's
/// sshconnect.c): the first of each family, one of loopback or of the link alone where there is no other; none while it is
/// down. `None` where there is no such interface.
pub fn addresses_of(name: &str) -> io::Result<Option<OwnAddresses>> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let interface = match name_to_index(&socket, name) {
        Ok(index) => index,
        Err(Errno::NODEV | Errno::NAMETOOLONG) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let ask = |ask, answer, body| Question { ask, answer, body };
    let mut dumper = Dumper::new()?;
    let links = ask(entry::GET_LINK, entry::NEW_LINK, &[0; 16]);
    let is_up = dumper
        .dump(&links, entry::link)?
        .iter()
        .any(|link| link.index == interface && link.usable);
    if !is_up {
        return Ok(Some(OwnAddresses::default()));
    }
    let addresses = ask(entry::GET_ADDRESS, entry::NEW_ADDRESS, &[0; 8]);
    let mut found: Vec<IpAddr> = dumper
        .dump(&addresses, entry::address)?
        .into_iter()
        .filter(|address: &entry::Address| address.interface == interface)
        .map(|address| address.network.addr())
        .collect();
    found.sort_by_key(|address| match address {
        IpAddr::V4(v4) => *v4 == Ipv4Addr::LOCALHOST,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    });
    Ok(Some(OwnAddresses {
        v4: found.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        }),
        v6: found.iter().find_map(|address| match address {
            IpAddr::V6(v6) => Some(*v6),
            IpAddr::V4(_) => None,
        }),
    }))
}

/// Who is known to be on this machine's networks: the kernel's neighbour table, without those that
/// did not answer.
pub async fn neighbours() -> io::Result<Vec<IpAddr>> {
    seen_now()
}

/// Whether `address` is on a network of this machine's own where nobody answers for it (ARP, or IPv6's neighbour
/// discovery), of whom it `waited` so long for an answer: the kernel goes on asking for a second longer than a
/// check waits, and then says so itself.
pub fn is_absent(address: IpAddr, waited: Duration) -> io::Result<bool> {
    /// It asks again after a second (`retrans_time_ms`, arp(7)): once may have been lost.
    const TWICE: Duration = Duration::from_millis(1_100);
    let mut known = known_now()?;
    known.retain(|one| one.address == address);
    if known.is_empty() {
        return Ok(false);
    }
    let link = read_now()?.link(address);
    Ok(is_missed(&known, link, waited >= TWICE))
}

/// Whether nobody answers for what all of `known` are of, on the link that it would be on: what another link has of it is
/// of another time.
fn is_missed(known: &[Neighbour], link: Option<u32>, is_asked_twice: bool) -> bool {
    let mut on_link = known
        .iter()
        .filter(|one| Some(one.interface) == link)
        .peekable();
    on_link.peek().is_some()
        && on_link.all(|one| match one.presence {
            Presence::Missed => true,
            Presence::Asked => is_asked_twice,
            Presence::Seen | Presence::Untold => false,
        })
}

fn seen_now() -> io::Result<Vec<IpAddr>> {
    let mut neighbours = known_now()?;
    neighbours.retain(|neighbour| neighbour.presence == Presence::Seen);
    Ok(neighbours
        .into_iter()
        .map(|neighbour| neighbour.address)
        .collect())
}

fn known_now() -> io::Result<Vec<Neighbour>> {
    known(&mut Dumper::new()?)
}

fn known(dumper: &mut Dumper) -> io::Result<Vec<Neighbour>> {
    let question = Question {
        ask: entry::GET_NEIGHBOUR,
        answer: entry::NEW_NEIGHBOUR,
        body: &[0; 12],
    };
    dumper.dump(&question, entry::neighbour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_reaches_itself_by_a_network_of_its_own() {
        let network = read_now().unwrap();
        let loopback = "127.0.15.6".parse().unwrap();
        let way = network.way(loopback).expect("the loopback interface is up");
        assert_eq!((way.gateway, way.prefix), (None, 8), "{network:?}");
        let own = network.own();
        assert!(own.iter().any(|net| net.contains(&loopback)), "{own:?}");
        assert_eq!(read_now().unwrap(), network, "nothing changed");
    }

    #[test]
    fn nobody_answers_on_the_link_that_leads_there() {
        let on = |interface, presence| Neighbour {
            address: "192.0.2.6".parse().unwrap(),
            interface,
            presence,
            mac: None,
        };
        let [wlan, cable] = [2, 3];
        let left = on(wlan, Presence::Missed);
        assert!(is_missed(&[left], Some(wlan), false));
        assert!(!is_missed(&[left], Some(cable), true));
        assert!(!is_missed(
            &[left, on(cable, Presence::Seen)],
            Some(cable),
            true
        ));
        assert!(is_missed(
            &[on(wlan, Presence::Seen), on(cable, Presence::Missed)],
            Some(cable),
            true
        ));
        assert!(!is_missed(
            &[on(cable, Presence::Asked)],
            Some(cable),
            false
        ));
        assert!(is_missed(&[on(cable, Presence::Asked)], Some(cable), true));
        // It is this machine's own by now, or behind a router.
        assert!(!is_missed(&[left], None, true));
    }

    #[tokio::test]
    async fn the_neighbour_table_can_be_read() {
        for address in neighbours().await.unwrap() {
            assert!(
                !address.is_multicast() && !address.is_loopback(),
                "{address}"
            );
        }
    }
}
