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
    for number in 0..MAX_ASKED {
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
    assert_eq!(news.len(), MAX_OF_A_NAME);
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
