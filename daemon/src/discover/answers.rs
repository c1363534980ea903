//! What multicast DNS answers: which addresses belong to a service or a name. Anybody on the network
//! writes it: it is bounded before it is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use simple_dns::{CLASS, Name, Packet, Question, ResourceRecord, TYPE, rdata::RData};

/// The longest packet (RFC 6762, 17).
pub(super) const MAX_PACKET: usize = 9000;
/// The most questions and records in one.
const MAX_RECORDS: usize = 64;
/// The most of each that are remembered.
const MOST: usize = 64;
/// The most addresses of one of the target's own names. There is room for those whatever else came.
const MOST_OF_NAME: usize = 8;
/// The most that are asked in one packet.
const MOST_ASKED: usize = 8;
/// It must fit into one frame of Ethernet, behind the heads of IPv6 and UDP.
const FRAME: usize = 1500 - 40 - 8;
/// A header (RFC 1035, 4.1.1).
const HEADER: usize = 12;

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
            .take(MOST_ASKED)
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
            known.filter(|(name, _)| *name == host).count() < MOST_OF_NAME
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

/// Whether it is an answer of a bearable size: its header is believed before anything is allocated.
fn is_answer(packet: &[u8]) -> bool {
    let Some(header) = packet.get(..HEADER) else {
        return false;
    };
    // QR is the first bit of the third byte; RCODE the last four of the fourth.
    let is_reply = header.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let is_fine = header.get(3).is_some_and(|flags| flags & 0x0f == 0);
    let counts = header.get(4..).unwrap_or_default().chunks_exact(2);
    let records: usize = counts
        .map(|count| {
            count
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        })
        .sum();
    is_reply && is_fine && records <= MAX_RECORDS && packet.len() <= MAX_PACKET
}

fn packet(questions: &[(&str, TYPE)]) -> Option<Vec<u8>> {
    // The identifier is 0 (RFC 6762, 18.1).
    let mut packet = Packet::new_query(0);
    for (name, kind) in questions {
        // Who answers should answer us alone (5.4).
        let unicast = true;
        if let Ok(name) = Name::new(name) {
            let question = Question::new(name, (*kind).into(), CLASS::IN.into(), unicast);
            packet.questions.push(question);
        }
    }
    packet.build_bytes_vec().ok()
}

fn text(name: &Name<'_>) -> String {
    name.to_string().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use simple_dns::rdata::{A, AAAA, PTR, SRV};

    use super::*;

    const SERVICE: &str = "_ssh._tcp.local";
    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn asked(names: &[&str]) -> Answers {
        let names = names.iter().map(|name| ((*name).to_owned(), 2222));
        Answers::new(SERVICE, names.collect())
    }

    fn name(text: &str) -> Name<'_> {
        Name::new(text).unwrap()
    }

    fn ptr<'a>(service: &'a str, instance: &'a str) -> (&'a str, RData<'a>) {
        (service, RData::PTR(PTR(name(instance))))
    }

    fn srv<'a>(instance: &'a str, host: &'a str) -> (&'a str, RData<'a>) {
        let service = SRV {
            priority: 0,
            weight: 0,
            port: 2222,
            target: name(host),
        };
        (instance, RData::SRV(service))
    }

    fn at(host: &str, ip: IpAddr) -> (&str, RData<'static>) {
        match ip {
            IpAddr::V4(ip) => (host, RData::A(A::from(ip))),
            IpAddr::V6(ip) => (host, RData::AAAA(AAAA::from(ip))),
        }
    }

    fn reply(answers: &[(&str, RData<'_>)], additional: &[(&str, RData<'_>)]) -> Vec<u8> {
        let record = |(owner, data): &(&str, RData<'_>)| {
            ResourceRecord::new(name(owner), CLASS::IN, 10, data.clone()).into_owned()
        };
        let mut packet = Packet::new_reply(0);
        packet.answers = answers.iter().map(record).collect();
        packet.additional_records = additional.iter().map(record).collect();
        packet.build_bytes_vec_compressed().unwrap()
    }

    /// What a packet asks for, as `name TYPE`; each for an answer to us alone.
    fn questions(packet: Option<Vec<u8>>) -> Vec<String> {
        let packet = packet.unwrap_or_default();
        let Ok(packet) = Packet::parse(&packet) else {
            return Vec::new();
        };
        assert_eq!(packet.id(), 0);
        let questions = packet.questions.iter().map(|question| {
            assert!(question.unicast_response);
            format!("{} {:?}", question.qname, question.qtype)
        });
        questions.collect()
    }

    #[test]
    fn one_packet_asks_for_the_service_and_the_names() {
        assert_eq!(
            questions(asked(&["desktop.local"]).question()),
            [
                "_ssh._tcp.local TYPE(PTR)",
                "desktop.local TYPE(A)",
                "desktop.local TYPE(AAAA)"
            ]
        );
    }

    #[test]
    fn the_additional_records_of_an_answer_are_enough() {
        let mut answers = asked(&[]);
        let instance = r"My\.Desk._ssh._tcp.local";
        answers.read(&reply(
            &[ptr("_SSH._tcp.local", instance)],
            &[srv(instance, "Desk.local"), at("desk.local", HOME)],
        ));
        assert_eq!(questions(answers.next_question()), [""; 0]);
        assert_eq!(answers.news(), [(HOME, None)]);
        assert_eq!(answers.news(), [], "once");
    }

    #[test]
    fn what_an_answer_left_out_is_asked_for_once() {
        let mut answers = asked(&[]);
        let instance = "desk._ssh._tcp.local";
        answers.read(&reply(&[ptr(SERVICE, instance)], &[]));
        assert_eq!(
            questions(answers.next_question()),
            ["desk._ssh._tcp.local TYPE(SRV)"]
        );
        assert_eq!(questions(answers.next_question()), [""; 0]);
        answers.read(&reply(&[srv(instance, "desk.local")], &[]));
        assert_eq!(questions(answers.next_question()), ["desk.local TYPE(A)"]);
        assert_eq!(questions(answers.next_question()), [""; 0]);
        answers.read(&reply(&[at("desk.local", HOME)], &[]));
        assert_eq!(answers.news(), [(HOME, None)]);
    }

    #[test]
    fn what_is_asked_fits_into_a_frame() {
        let mut answers = asked(&[]);
        let label = "a".repeat(60);
        for number in 0..MOST_ASKED {
            let instance = format!("{number}.{label}.{label}.{label}.{SERVICE}");
            answers.read(&reply(&[ptr(SERVICE, &instance)], &[]));
        }
        let mut sizes = Vec::new();
        while let Some(packet) = answers.next_question() {
            assert!(packet.len() <= FRAME, "{} bytes", packet.len());
            sizes.push(questions(Some(packet)).len());
        }
        assert_eq!(sizes, [6, 2]);
    }

    #[test]
    fn a_name_has_its_own_port_and_both_kinds_of_address() {
        let mut answers = asked(&["desktop.local"]);
        let six = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
        answers.read(&reply(
            &[at("desktop.local", HOME), at("desktop.local", six)],
            &[at("printer.local", [192, 0, 2, 9].into())],
        ));
        assert_eq!(answers.news(), [(HOME, Some(2222)), (six, Some(2222))]);
    }

    #[test]
    fn other_services_and_questions_of_others_say_nothing() {
        let mut answers = asked(&["desktop.local"]);
        let instance = "desk._ipp._tcp.local";
        let chain = [
            ptr("_ipp._tcp.local", instance),
            srv(instance, "desk.local"),
            at("desk.local", HOME),
        ];
        answers.read(&reply(&chain, &[]));
        let mut question = reply(&[at("desktop.local", HOME)], &[]);
        question[2] &= 0x7f;
        answers.read(&question);
        let mut refused = reply(&[at("desktop.local", HOME)], &[]);
        refused[3] |= 5;
        answers.read(&refused);
        assert_eq!(answers.news(), []);
        assert_eq!(questions(answers.next_question()), [""; 0]);
    }

    #[test]
    fn a_header_that_promises_too_much_is_not_read() {
        let good = reply(&[at("desktop.local", HOME)], &[]);
        assert!(is_answer(&good));
        for count in [4, 6, 8, 10] {
            let mut greedy = good.clone();
            greedy[count] = 0xff;
            assert!(!is_answer(&greedy), "{count}");
        }
        let mut long = good;
        long.resize(MAX_PACKET + 1, 0);
        assert!(!is_answer(&long));
        assert!(!is_answer(&[0x80; HEADER - 1]));
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let mut answers = asked(&[]);
        for number in 0..200_u8 {
            let instance = format!("desk-{number}._ssh._tcp.local");
            let host = format!("desk-{number}.local");
            let ip = [192, 0, 2, number].into();
            let chain = [
                ptr(SERVICE, &instance),
                srv(&instance, &host),
                at(&host, ip),
            ];
            answers.read(&reply(&chain, &[]));
        }
        assert_eq!(answers.news().len(), MOST);
        assert!(answers.asked.len() <= MOST);
    }

    #[test]
    fn a_flood_leaves_room_for_the_names_and_what_nobody_asked_for_takes_none() {
        let mut answers = asked(&["desktop.local"]);
        for number in 0..200_u8 {
            let (instance, host) = (
                format!("desk-{number}._ipp._tcp.local"),
                format!("desk-{number}.local"),
            );
            let ip = [192, 0, 2, number].into();
            answers.read(&reply(&[srv(&instance, &host), at(&host, ip)], &[]));
        }
        assert!(answers.hosts.is_empty() && answers.addresses.is_empty());
        for number in 0..200_u8 {
            let instance = format!("desk-{number}._ssh._tcp.local");
            let ip = [198, 51, 100, number].into();
            let chain = [
                at("desk.local", ip),
                srv(&instance, "desk.local"),
                ptr(SERVICE, &instance),
            ];
            answers.read(&reply(&chain, &[]));
        }
        assert_eq!((answers.hosts.len(), answers.addresses.len()), (MOST, MOST));
        answers.news();
        for number in 0..200_u8 {
            let ip = [192, 0, 2, number].into();
            answers.read(&reply(&[at("desktop.local", ip)], &[]));
        }
        let news = answers.news();
        assert_eq!(news.len(), MOST_OF_NAME);
        assert!(
            news.contains(&([192, 0, 2, 0].into(), Some(2222))),
            "{news:?}"
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(
            packet in prop::collection::vec(any::<u8>(), 0..200),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut answers = asked(&["desktop.local"]);
            answers.read(&packet);
            // Nearly the real thing: any byte of it may be wrong.
            let instance = "desk._ssh._tcp.local";
            let mut near = reply(
                &[ptr(SERVICE, instance), srv(instance, "desk.local"), at("desk.local", HOME)],
                &[at("desktop.local", HOME)],
            );
            for (index, byte) in changes {
                let index = index.index(near.len());
                near[index] = byte;
            }
            answers.read(&near);
            let _ = (answers.next_question(), answers.question(), answers.news());
        }

        #[test]
        fn no_kind_of_record_makes_it_panic(
            kind in prop_oneof![0_u16..300, Just(32768)],
            data in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            // RFC 1035, 4.1.3: the root's name, type, class, time to live, length, data.
            let mut packet = vec![0, 0, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
            packet.extend(kind.to_be_bytes());
            packet.extend([0, 1, 0, 0, 0, 10, 0, data.len() as u8]);
            packet.extend(data);
            asked(&[]).read(&packet);
        }
    }
}
