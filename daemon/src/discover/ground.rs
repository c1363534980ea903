//! Where a search may go: this machine's own networks, and the ports of the target.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::{IpNet, Ipv4Net};

use super::Candidate;
use crate::target::{Address, SpecKind, TargetSpec};

/// What Nix's ssh takes where nothing else is said.
const SSH: u16 = 22;
/// A port to which nothing is sent (RFC 863).
const DISCARD: u16 = 9;
/// The most names of one target that are asked for.
const MAX_NAMES: usize = 4;

/// The networks, and what is looked for in them.
pub(super) struct Ground {
    own: Vec<IpNet>,
    /// The port that Nix would go to. One that somebody announces is not taken: Nix would not.
    port: u16,
    addresses: Vec<Address>,
    service: &'static str,
}

impl Ground {
    /// `own` has this machine's own address in each network; `leads_to` what ssh_config makes of a
    /// builder's own host, and of its port.
    pub(super) fn new(own: &[IpNet], wanted: &TargetSpec, leads_to: Option<(&str, u16)>) -> Self {
        let mut addresses = wanted.addresses.clone();
        let (port, service) = match &wanted.kind {
            SpecKind::Cache(cache) => (cache.port, "_nix_binary_cache._tcp.local"),
            SpecKind::Builder(builder) => {
                let (host, port) = leads_to.unwrap_or((&builder.host, builder.port.unwrap_or(SSH)));
                for address in &mut addresses {
                    if address.host == builder.host {
                        host.clone_into(&mut address.host);
                    }
                }
                (port, "_ssh._tcp.local")
            }
        };
        Self {
            own: own.to_vec(),
            port,
            addresses,
            service,
        }
    }

    /// Under which machines announce what is looked for (RFC 6763, 4.1).
    pub(super) const fn service(&self) -> &'static str {
        self.service
    }

    /// The target's names that multicast DNS may know (RFC 6762, 3), each with its port.
    pub(super) fn names(&self) -> Vec<(String, u16)> {
        let names = self.addresses.iter().filter_map(|address| {
            let name = address.host.trim_end_matches('.').to_ascii_lowercase();
            let port = address.port.unwrap_or(self.port);
            name.ends_with(".local").then_some((name, port))
        });
        names.take(MAX_NAMES).collect()
    }

    /// The target's literal addresses: where it is not.
    pub(super) fn known(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().filter_map(|address| {
            let ip: IpAddr = address.host.parse().ok()?;
            Some(SocketAddr::new(ip, address.port.unwrap_or(self.port)))
        })
    }

    /// This machine's own IPv4 addresses, without those that only it can see.
    pub(super) fn own_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.own.iter().filter_map(|network| match network {
            IpNet::V4(network) if !network.addr().is_loopback() => Some(network.addr()),
            IpNet::V4(_) | IpNet::V6(_) => None,
        })
    }

    /// Whether another machine on one of this machine's networks can have that address. Link-local
    /// IPv6 ones are left out: they mean nothing without an interface.
    pub(super) fn is_near(&self, ip: IpAddr) -> bool {
        let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        !ip.is_loopback()
            && !link_local
            && self.own.iter().all(|network| network.addr() != ip)
            && self
                .own
                .iter()
                .any(|network| network.contains(&ip) && is_host(network, ip))
    }

    /// Those of `addresses` that are near, at the target's port.
    pub(super) fn near(&self, addresses: Vec<IpAddr>) -> Vec<Candidate> {
        let near = addresses.into_iter().filter(|ip| self.is_near(*ip));
        near.map(|ip| self.candidate(ip)).collect()
    }

    pub(super) fn candidate(&self, ip: IpAddr) -> Candidate {
        Candidate {
            address: SocketAddr::new(ip, self.port),
            named: false,
        }
    }

    /// Every address of `network` but this machine's own; `None` where that is no part of a network
    /// that this machine is in.
    pub(super) fn addresses(
        &self,
        network: Ipv4Net,
    ) -> Option<impl Iterator<Item = Candidate> + use<>> {
        let around = IpNet::V4(network);
        if !self.own.iter().any(|own| own.contains(&around)) {
            return None;
        }
        let own: Vec<IpAddr> = self.own.iter().map(IpNet::addr).collect();
        let (own_networks, port) = (self.own.clone(), self.port);
        let hosts = network.hosts().map(IpAddr::V4).filter(move |ip| {
            !own.contains(ip) && own_networks.iter().all(|network| is_host(network, *ip))
        });
        Some(hosts.map(move |ip| Candidate {
            address: SocketAddr::new(ip, port),
            named: false,
        }))
    }
}

/// `own`, each with the address that this machine has in it; without those where it has none that it
/// would use. The kernel says which: nothing is sent for that.
pub(super) fn with_own_addresses(own: &[IpNet]) -> Vec<IpNet> {
    let inhabited = own.iter().filter_map(|network| {
        let somebody = network.hosts().next()?;
        let any: IpAddr = match network {
            IpNet::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpNet::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((somebody, DISCARD)).ok()?;
        let mine = socket.local_addr().ok()?.ip();
        let inhabited = IpNet::new(mine, network.prefix_len()).ok()?;
        network.contains(&mine).then_some(inhabited)
    });
    inhabited.collect()
}

/// Whether `ip` is neither the name of `network` nor everybody in it.
fn is_host(network: &IpNet, ip: IpAddr) -> bool {
    match network {
        IpNet::V4(network) if network.prefix_len() < 31 => {
            ip != network.network() && ip != network.broadcast()
        }
        IpNet::V4(_) | IpNet::V6(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::tests::{builder, networks};

    #[test]
    fn only_other_machines_of_own_networks_are_near() {
        let own = networks(&["192.0.2.2/24", "127.0.0.1/8", "2001:db8::2/64"]);
        let ground = Ground::new(&own, &builder(&["192.0.2.6"]), None);
        for (ip, near) in [
            ("192.0.2.7", true),
            ("192.0.2.2", false),
            ("192.0.2.0", false),
            ("192.0.2.255", false),
            ("198.51.100.7", false),
            ("127.0.15.6", false),
            ("2001:db8::7", true),
            ("2001:db8:1::7", false),
            ("fe80::7", false),
        ] {
            assert_eq!(ground.is_near(ip.parse().unwrap()), near, "{ip}");
        }
        let sent_from: Vec<_> = ground.own_addresses().collect();
        assert_eq!(sent_from, [Ipv4Addr::new(192, 0, 2, 2)]);
    }

    #[test]
    fn a_sweep_leaves_out_this_machine_the_network_and_everybody() {
        let own = networks(&["192.0.2.2/29"]);
        let ground = Ground::new(&own, &builder(&["192.0.2.6"]), None);
        let swept = |network: &str| -> Option<Vec<String>> {
            let addresses = ground.addresses(network.parse().unwrap())?;
            Some(addresses.map(|c| c.address.to_string()).collect())
        };
        let all = ["1", "3", "4", "5", "6"].map(|host| format!("192.0.2.{host}:22"));
        assert_eq!(swept("192.0.2.0/29"), Some(all.to_vec()));
        // A part of it, in which its broadcast address looks like any other.
        let part = vec!["192.0.2.6:22".to_owned()];
        assert_eq!(swept("192.0.2.6/31"), Some(part));
        for foreign in ["192.0.2.0/28", "192.0.2.8/29", "198.51.100.0/24"] {
            assert_eq!(swept(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_kernel_knows_which_address_is_its_own() {
        let own = networks(&["127.0.0.0/8", "240.0.0.0/8"]);
        assert_eq!(with_own_addresses(&own), networks(&["127.0.0.1/8"]));
    }

    #[test]
    fn names_of_multicast_dns_keep_their_port() {
        let spec = builder(&["192.0.2.6:2222", "Desktop.local.:2222", "desk.example.org"]);
        let ground = Ground::new(&[], &spec, None);
        assert_eq!(ground.names(), [("desktop.local".to_owned(), 2222)]);
        let known: Vec<_> = ground.known().map(|known| known.to_string()).collect();
        assert_eq!(known, ["192.0.2.6:2222"]);
    }

    #[test]
    fn ssh_config_says_which_host_and_port_are_meant() {
        let spec = builder(&["desktop", "192.0.2.6", "192.0.2.8:2022"]);
        let ground = Ground::new(&[], &spec, Some(("Desk.local", 2222)));
        assert_eq!(ground.names(), [("desk.local".to_owned(), 2222)]);
        let known: Vec<_> = ground.known().map(|known| known.to_string()).collect();
        assert_eq!(known, ["192.0.2.6:2222", "192.0.2.8:2022"]);
        let at = ground.candidate([192, 0, 2, 7].into()).address;
        assert_eq!(at.port(), 2222);
    }
}
