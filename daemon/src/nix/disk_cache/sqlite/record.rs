//! One row, as it is stored (fileformat2.html, 2.1).

/// More columns than any of Nix's tables has.
const MAX_VALUES: usize = 64;

/// A row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Row<'a> {
    /// Its number: what an `integer primary key` is.
    pub number: i64,
    /// Its values; `None` where they go on on another page.
    pub(super) payload: Option<&'a [u8]>,
}

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Value<'a> {
    /// A whole number.
    Integer(i64),
    /// Text, in UTF-8 unless somebody put in what is none.
    Text(&'a [u8]),
    /// Nothing, a fraction, or bytes.
    Other,
}

impl Row<'_> {
    /// The values in the order of the columns; fewer where columns were added later. `None` where they
    /// are not all there, or are broken.
    pub(in super::super) fn values(&self) -> Option<Vec<Value<'_>>> {
        let payload = self.payload?;
        let (size, _) = varint(payload)?;
        let (header, mut body) = payload.split_at_checked(usize::try_from(size).ok()?)?;
        let (_, mut kinds) = varint(header)?;
        let mut values = Vec::new();
        while !kinds.is_empty() {
            let (kind, rest) = varint(kinds)?;
            kinds = rest;
            let (bytes, rest) = body.split_at_checked(length(kind)?)?;
            body = rest;
            if values.len() == MAX_VALUES {
                return None;
            }
            values.push(value(kind, bytes));
        }
        Some(values)
    }
}

impl Value<'_> {
    /// A number that is not negative.
    pub(in super::super) fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(_) | Self::Other => None,
        }
    }
}

/// How many bytes a value of a kind takes.
fn length(kind: u64) -> Option<usize> {
    Some(match kind {
        0 | 8 | 9 => 0,
        1..=4 => usize::try_from(kind).ok()?,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None, // reserved
        12.. => usize::try_from((kind - 12) / 2).ok()?,
    })
}

fn value(kind: u64, bytes: &[u8]) -> Value<'_> {
    match kind {
        1..=6 => {
            let sign = bytes.first().is_some_and(|first| first & 0x80 != 0);
            let start = if sign { -1 } else { 0 };
            let push = |number: i64, byte: &u8| number << 8 | i64::from(*byte);
            Value::Integer(bytes.iter().fold(start, push))
        }
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        13.. if kind % 2 == 1 => Value::Text(bytes),
        _ => Value::Other,
    }
}

/// Seven bits a byte, the high ones first, the ninth byte whole; and what follows.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some((number << 8 | u64::from(*byte), &bytes[9..]));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_variable_length_are_read() {
        for (bytes, expected) in [
            (&[0x00][..], 0),
            (&[0x7f], 127),
            (&[0x81, 0x00], 128),
            (&[0xff; 9], u64::MAX),
        ] {
            assert_eq!(varint(bytes), Some((expected, &[][..])));
            assert_eq!(varint(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let payload = [
            &[10, 0, 1, 2, 6, 8, 9, 7, 17, 14][..],
            &[0xff, 0x01, 0x00],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0; 8],
            b"hi",
            &[1],
        ]
        .concat();
        let row = |payload| Row {
            number: 1,
            payload: Some(payload),
        };
        let integer = Value::Integer;
        let expected = [
            Value::Other,
            integer(-1),
            integer(256),
            integer(7),
            integer(0),
            integer(1),
            Value::Other,
            Value::Text(b"hi"),
            Value::Other,
        ];
        assert_eq!(row(&payload).values().unwrap(), expected);
        let cut = &payload[..payload.len() - 1];
        assert_eq!(row(cut).values(), None);
    }

    proptest! {
        #[test]
        fn any_payload_is_read(payload: Vec<u8>) {
            let row = Row { number: 0, payload: Some(&payload) };
            let _ = row.values();
        }
    }
}
