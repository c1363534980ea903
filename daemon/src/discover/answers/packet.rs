//! A packet of multicast DNS (RFC 6762), in its bounds.

use simple_dns::{CLASS, Name, Packet, Question, TYPE};

/// A header (RFC 1035, 4.1.1).
pub(super) const HEADER: usize = 12;
/// The longest packet (RFC 6762, 17).
pub(in crate::discover) const MAX_PACKET: usize = 9000;

/// The most questions and records in one.
const MAX_RECORDS: usize = 64;

/// Whether it is an answer of a bearable size: its header is believed before anything is allocated.
pub(super) fn is_answer(packet: &[u8]) -> bool {
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

pub(super) fn packet(questions: &[(&str, TYPE)]) -> Option<Vec<u8>> {
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
