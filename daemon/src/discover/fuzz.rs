//! What must hold of what answers a question by multicast.

use std::collections::BTreeSet;

use simple_dns::Packet;

use super::answers::Answers;

/// Packets, each with its length before it as over TCP (RFC 1035, 4.2.2), make neither many addresses
/// nor many questions, and nothing is told twice.
pub(crate) fn mdns(mut bytes: &[u8]) {
    const MAX_TOLD: usize = 64 + 2 * 8;
    const MAX_ASKED: usize = 2 * 64;
    let names = [("desktop.local", 22), ("cache.local", 5000)];
    let names = names.map(|(name, port)| (name.to_owned(), port));
    let mut answers = Answers::new("_ssh._tcp.local", names.to_vec());
    let (mut told, mut asked) = (BTreeSet::new(), 0);
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (packet, rest) = rest.split_at(length);
        bytes = rest;
        answers.read(packet);
        for news in answers.news() {
            assert!(told.insert(news), "{news:?} is told twice");
        }
        answers.read(packet);
        asked += questions(&mut answers);
    }
    while let more @ 1.. = questions(&mut answers) {
        asked += more;
    }
    assert!(told.len() <= MAX_TOLD, "{told:?}");
    assert!(asked <= MAX_ASKED, "{asked} questions");
}

/// How many the next packet asks; one that asks nothing is none.
fn questions(answers: &mut Answers) -> usize {
    /// What an Ethernet frame has room for behind the heads of IPv6 and UDP.
    const FRAME: usize = 1500 - 40 - 8;
    let Some(packet) = answers.next_question() else {
        return 0;
    };
    assert!(packet.len() <= FRAME, "{} bytes", packet.len());
    let count = Packet::parse(&packet).map(|packet| packet.questions.len());
    let count = count.unwrap_or_default();
    assert!(count > 0, "a packet that asks nothing: {packet:?}");
    count
}
