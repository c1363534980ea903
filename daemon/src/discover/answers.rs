//! What multicast DNS answers: which addresses belong to a service or a name. Anybody on the network
//! writes it: it is bounded before it is read.

mod packet;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use simple_dns::{CLASS, Name, Packet, ResourceRecord, TYPE, rdata::RData};

pub(super) use self::packet::MAX_PACKET;
use self::packet::{HEADER, is_answer, packet};

/// The most of each that are remembered.
const MOST: usize = 64;
/// The most addresses of one of the target's own names. There is room for those whatever else came.
const MAX_OF_A_NAME: usize = 8;
/// The most that are asked in one packet.
const MAX_ASKED: usize = 8;
/// It must fit into one frame of Ethernet, behind the heads of IPv6 and UDP.
const FRAME: usize = 1500 - 40 - 8;

/// What was asked, and what was learned. Names are as DNS compares them: in lower case.
pub(super) struct Answers {
    service: String,
    /// With the port of each.
    names: Vec<(String, u16)>,
    /// Who offers the service (PTR).
    instances: BTreeSet<String>,
    /// On which host (SRV). The port is not taken: see [`super::ground`].
    hosts: BTreeMap<String, String>,
    addresses: BTreeSet<(String, IpAddr)>,
    asked: BTreeSet<String>,
    told: BTreeSet<(IpAddr, Option<u16>)>,
}

impl Answers {
    /// To the questions who offers `service`, and where the hosts called `names` are.
    pub(super) fn new(service: &str, names: Vec<(String, u16)>) -> Self {
        Self {
            service: service.to_owned(),
            names,
            instances: BTreeSet::new(),
            hosts: BTreeMap::new(),
            addresses: BTreeSet::new(),
            asked: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// The packet that asks first.
    pub(super) fn question(&self) -> Option<Vec<u8>> {
        let mut questions = vec![(&*self.service, TYPE::PTR)];
        for (name, _) in &self.names {
            questions.extend([(&**name, TYPE::A), (name, TYPE::AAAA)]);
        }
        packet(&questions)
    }

    /// The packet that asks for what an answer left out: on which host an instance is, and where
    /// that is. Each is asked for once.
    pub(super) fn next_question(&mut self) -> Option<Vec<u8>> {
        let located = |host: &str| self.addresses.iter().any(|(name, _)| name == host);
        let instances = self.instances.iter();
        let without_host = instances
            .filter(|instance| !self.hosts.contains_key(*instance))
            .map(|instance| (instance, TYPE::SRV));
        let without_address = self
            .hosts
            .iter()
            .filter(|(instance, host)| self.instances.contains(*instance) && !located(host))
            .map(|(_, host)| (host, TYPE::A));
        let mut room = FRAME - HEADER;
        let questions: Vec<(String, TYPE)> = without_host
            .chain(without_address)
            .filter(|(name, _)| !self.asked.contains(*name) && Name::new(name).is_ok())
            .take(MAX_ASKED)
            .take_while(|(name, _)| {
                // The length of a label is where its dot was, the ends of the name, type and class are more.
                let left = room.checked_sub(name.len() + 6);
                room = left.unwrap_or(0);
                left.is_some()
            })
            .map(|(name, kind)| (name.clone(), kind))
            .collect();
        self.asked
            .extend(questions.iter().map(|(name, _)| name.clone()));
        let questions: Vec<_> = questions
            .iter()
            .map(|(name, kind)| (&**name, *kind))
            .collect();
        match questions.as_slice() {
            [] => None,
            questions => packet(questions),
        }
    }

    /// Learns from a packet. One that is no answer, or not well-formed, says nothing.
    pub(super) fn read(&mut self, packet: &[u8]) {
        if !is_answer(packet) {
            return;
        }
        let Ok(packet) = Packet::parse(packet) else {
            return;
        };
        // Whatever the order in the packet, a record is learned after the one that asks for it.
        for kind in [TYPE::PTR, TYPE::SRV, TYPE::A, TYPE::AAAA] {
            for record in packet.answers.iter().chain(&packet.additional_records) {
                if record.class == CLASS::IN && record.rdata.type_code() == kind {
                    self.learn(record);
                }
            }
        }
    }

    /// The addresses of the service's hosts, and of the names, each with its port, that were not
    /// told yet.
    pub(super) fn news(&mut self) -> Vec<(IpAddr, Option<u16>)> {
        let mut news = Vec::new();
        for (host, ip) in &self.addresses {
            let named = self.names.iter().find(|(name, _)| name == host);
            let offers = self
                .hosts
                .iter()
                .any(|(instance, on)| on == host && self.instances.contains(instance));
            let found = match named {
                Some((_, port)) => (*ip, Some(*port)),
                None if offers => (*ip, None),
                None => continue,
            };
            if self.told.insert(found) {
                news.push(found);
            }
        }
        news
    }

    /// Only what was asked for.
    fn learn(&mut self, record: &ResourceRecord<'_>) {
        let name = text(&record.name);
        match &record.rdata {
            RData::PTR(instance) if name == self.service && self.instances.len() < MOST => {
                self.instances.insert(text(&instance.0));
            }
            // An instance has one host, so there are no more of them than of instances.
            RData::SRV(service) if self.instances.contains(&name) => {
                self.hosts.insert(name, text(&service.target));
            }
            RData::A(address) => self.locate(name, IpAddr::V4(address.address.into())),
            RData::AAAA(address) => self.locate(name, IpAddr::V6(address.address.into())),
            _ => {}
        }
    }

    fn locate(&mut self, host: String, ip: IpAddr) {
        let is_named = |host: &str| self.names.iter().any(|(name, _)| name == host);
        let known = self.addresses.iter();
        let has_room = if is_named(&host) {
            known.filter(|(name, _)| *name == host).count() < MAX_OF_A_NAME
        } else if self.hosts.values().any(|on| *on == host) {
            known.filter(|(name, _)| !is_named(name)).count() < MOST
        } else {
            false
        };
        if has_room {
            self.addresses.insert((host, ip));
        }
    }
}

fn text(name: &Name<'_>) -> String {
    name.to_string().to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
