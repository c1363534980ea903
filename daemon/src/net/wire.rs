//! Netlink messages as bytes: netlink(7), linux/netlink.h. Numbers are in the host's byte order.
//!
//! They are four, against a crate that reads every attribute of every link there is.

/// A request for everything there is of a kind (`NLM_F_REQUEST | NLM_F_DUMP`).
const DUMP_FLAGS: u16 = 0x1 | 0x300;
/// What is told of the whole changed while it was told (`NLM_F_DUMP_INTR`).
pub(super) const DUMP_INTERRUPTED: u16 = 0x10;

/// The request was refused, or, with 0, carried out (`NLMSG_ERROR`).
pub(super) const ERROR: u16 = 2;
/// The last message of a dump (`NLMSG_DONE`).
pub(super) const DONE: u16 = 3;
/// Messages were lost (`NLMSG_OVERRUN`).
pub(super) const OVERRUN: u16 = 4;

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// Marks a nested attribute, or one in network byte order (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_FLAGS: u16 = 0x8000 | 0x4000;

/// What came is not as the kernel writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// Its length says that it ends within its header, or beyond what came.
    #[error("a netlink message has a length that can't be")]
    Length,
    /// It ends before what every message of its kind has.
    #[error("a netlink message ends too early")]
    Short,
    /// An address or its prefix has a length that its family does not.
    #[error("a netlink message has an address that is none")]
    Address,
}

/// One message of the kernel's (`struct nlmsghdr` and what follows it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// The messages of one datagram. After a malformed one there is no other.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a>(&'a [u8]);

/// The attributes that follow a message's fixed part (`struct rtattr`, rtnetlink(3)). What comes
/// after one with a length that can't be is left out, as the kernel's own `nla_parse` does.
#[derive(Clone, Debug)]
pub(super) struct Attributes<'a>(&'a [u8]);

/// Asks for everything of `kind`; `body` is the kind's fixed part and its attributes.
pub(super) fn dump_request(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    message(kind, DUMP_FLAGS, sequence, body)
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = (HEADER + body.len()) as u32;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    // The port of the sender: the kernel fills it in.
    message.extend([0; 4]);
    message.extend(body);
    message
}

impl<'a> Messages<'a> {
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let datagram = std::mem::take(&mut self.0);
        if datagram.is_empty() {
            return None;
        }
        let read = || {
            let length = u32_at(datagram, 0)? as usize;
            let message = Message {
                kind: u16_at(datagram, 4)?,
                flags: u16_at(datagram, 6)?,
                sequence: u32_at(datagram, 8)?,
                body: datagram.get(HEADER..length).ok_or(Malformed::Length)?,
            };
            Ok((message, length))
        };
        Some(read().map(|(message, length)| {
            self.0 = datagram.get(aligned(length)..).unwrap_or_default();
            message
        }))
    }
}

impl<'a> Attributes<'a> {
    /// Those after the first `fixed` bytes of `body`.
    pub(super) fn after(body: &'a [u8], fixed: usize) -> Self {
        Self(body.get(aligned(fixed)..).unwrap_or_default())
    }
}

impl<'a> Iterator for Attributes<'a> {
    /// The attribute's kind and its value.
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        let length = usize::from(u16_at(rest, 0).ok()?);
        let kind = u16_at(rest, 2).ok()? & !ATTRIBUTE_FLAGS;
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        self.0 = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// Messages and attributes begin at multiples of four (`NLMSG_ALIGN`, `RTA_ALIGN`).
pub(super) const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

pub(super) fn u8_at(bytes: &[u8], at: usize) -> Result<u8, Malformed> {
    bytes.get(at).copied().ok_or(Malformed::Short)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes
        .copied()
        .map(u16::from_ne_bytes)
        .ok_or(Malformed::Short)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes
        .copied()
        .map(u32::from_ne_bytes)
        .ok_or(Malformed::Short)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as the kernel would write it.
    pub(in crate::net) fn write(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut written = message(kind, 0, 7, body);
        written.resize(aligned(written.len()), 0);
        written
    }

    /// An attribute as the kernel would write it.
    pub(in crate::net) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (ATTRIBUTE_HEADER + value.len()) as u16;
        let mut written = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        written.extend(value);
        written.resize(aligned(written.len()), 0);
        written
    }

    #[test]
    fn messages_are_read_one_after_the_other() {
        let datagram = [write(20, b"12345"), write(DONE, &[0; 4])].concat();
        let read: Vec<_> = Messages::of(&datagram).collect();
        let message = |kind, body| {
            Ok(Message {
                kind,
                flags: 0,
                sequence: 7,
                body,
            })
        };
        assert_eq!(read, [message(20, b"12345"), message(DONE, &[0; 4])]);
    }

    #[test]
    fn nothing_is_read_after_a_length_that_cannot_be() {
        for (length, error) in [
            (0_u32, Malformed::Length),
            (15, Malformed::Length),
            (21, Malformed::Length),
            (u32::MAX, Malformed::Length),
        ] {
            let mut datagram = write(20, b"1234");
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
            let read: Vec<_> = Messages::of(&datagram).collect();
            assert_eq!(read, [Err(error)], "{length}");
        }
        let datagram = write(20, b"1234");
        let read: Vec<_> = Messages::of(&datagram[..9]).collect();
        assert_eq!(read, [Err(Malformed::Short)]);
    }

    #[test]
    fn attributes_are_read_until_one_that_cannot_be() {
        let mut body = vec![9; 8];
        body.extend(attribute(1, &[1, 2, 3, 4]));
        body.extend(attribute(0x8000 | 9, &[5]));
        body.extend(3_u16.to_ne_bytes());
        body.extend([0; 20]);
        let read: Vec<_> = Attributes::after(&body, 8).collect();
        assert_eq!(read, [(1, &[1, 2, 3, 4][..]), (9, &[5][..])]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_more_messages_or_attributes_than_they_have_room_for(
            bytes in prop::collection::vec(any::<u8>(), 0..512),
            fixed in 0_usize..600,
        ) {
            prop_assert!(Messages::of(&bytes).count() <= bytes.len() / HEADER + 1);
            let attributes = Attributes::after(&bytes, fixed).count();
            prop_assert!(attributes <= bytes.len() / ATTRIBUTE_HEADER);
        }
    }
}
