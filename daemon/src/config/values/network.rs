//! Networks that may be swept.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::config::error::quoted;

/// The shortest prefix: 1024 addresses, which take four seconds.
const SHORTEST: u8 = 22;
/// The most networks: a search of all must end while somebody still waits for it.
pub(in crate::config) const MOST: usize = 8;

/// Reads `192.0.2.0/24`.
pub(in crate::config) fn parse(text: &str) -> Result<Ipv4Net, String> {
    let shown = quoted(text);
    if text.is_empty() {
        return Err("is empty; remove it, or write a network such as \"192.0.2.0/24\"".into());
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Err(match Ipv4Net::new(address, 24) {
            Ok(around) => format!(
                "{shown} has no prefix; write \"{}\" for the network around it",
                around.trunc()
            ),
            Err(_) => format!("{shown} has no prefix"),
        });
    }
    let network = match text.parse::<IpNet>() {
        Ok(IpNet::V4(network)) => network,
        Ok(IpNet::V6(_)) => return Err(too_many(&shown)),
        Err(_) if matches!(text.parse(), Ok(IpAddr::V6(_))) => return Err(too_many(&shown)),
        Err(_) => {
            return Err(format!(
                "{shown} is no network; write one such as \"192.0.2.0/24\""
            ));
        }
    };
    if network.prefix_len() < SHORTEST {
        let part = Ipv4Net::new(network.network(), SHORTEST).unwrap_or(network);
        return Err(format!(
            "{shown} has more than 1024 addresses; write a part of it, such as \"{part}\""
        ));
    }
    if network != network.trunc() {
        return Err(format!(
            "{shown} is an address; write \"{}\" for the network that it is in",
            network.trunc()
        ));
    }
    Ok(network)
}

/// The one way to write it.
pub(in crate::config) fn normal(text: &str) -> Result<String, String> {
    parse(text).map(|network| network.to_string())
}

fn too_many(shown: &str) -> String {
    format!(
        "{shown} is an IPv6 network, and those have too many addresses to try; write an IPv4 one \
         such as \"192.0.2.0/24\""
    )
}
