//! The networks that this machine is on, as the kernel tells it over rtnetlink.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether this machine could reach an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// By a network of its own, by a route made for it, or, of a public address, by any route.
    #[default]
    Near,
    /// A private address, and no way to it but the default route: on any network but its own that
    /// leads nowhere, so silence there is no news of the desktop.
    Far,
    /// There is no route at all.
    Nowhere,
}

/// The way of packets to an address: when it changes, what was known of the address is old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The index of the interface they leave by.
    pub interface: u32,
    /// The router they go to first, if any.
    pub gateway: Option<IpAddr>,
    /// The length of the route's prefix: 0 of the default route.
    pub prefix: u8,
}

/// The networks that this machine is on at one moment: addresses and routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {}

impl Network {
    /// The way to `address`; `None` where there is none.
    pub fn way(&self, _address: IpAddr) -> Option<Way> {
        None
    }

    /// Whether `address` could be reached.
    pub fn reach(&self, _address: IpAddr) -> Reach {
        Reach::Near
    }

    /// The networks that this machine has an address in, loopback included.
    pub fn own(&self) -> Vec<IpNet> {
        Vec::new()
    }
}

/// Who is known to be on this machine's networks: the kernel's neighbour table, without those that
/// did not answer.
pub async fn neighbours() -> std::io::Result<Vec<IpAddr>> {
    Ok(Vec::new())
}
