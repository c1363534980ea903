//! The builder's answer to what it is asked in one session: its identity, then its configuration.

use offload_client::Printable;

use super::MAX_WORDS;
use crate::probe::builder::exec::Captured;

/// What stands before the JSON, and the rest: a profile may have printed something first.
pub(in crate::probe::builder) fn split(stdout: &[u8]) -> (&[u8], &[u8]) {
    let lines = stdout.split_inclusive(|&byte| byte == b'\n');
    let before = lines.take_while(|line| !line.starts_with(b"{"));
    stdout.split_at(before.map(<[u8]>::len).sum())
}

/// Which machine it is, and which of its lives.
#[derive(Debug, PartialEq)]
pub(in crate::probe::builder) struct Identity {
    /// The kernel's, new at each boot.
    pub boot_id: Printable,
    /// Its name.
    pub hostname: Printable,
}

impl Identity {
    /// The first line that is a UUID, and the one after it.
    pub(in crate::probe::builder) fn find(head: &[u8]) -> Option<Self> {
        let mut lines = head.split(|&byte| byte == b'\n');
        let boot_id = lines.find(|line| is_uuid(line))?;
        Some(Self {
            boot_id: Printable::excerpt(boot_id, MAX_WORDS),
            hostname: Printable::excerpt(lines.next()?, MAX_WORDS),
        })
    }
}

fn is_uuid(line: &[u8]) -> bool {
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, &u8)| {
        if is_dash(at) {
            *byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    };
    line.len() == 36 && line.iter().enumerate().all(fits)
}

/// Why there is no JSON, in the builder's own words where it has any.
pub(super) fn silence(head: &[u8], answer: &Captured) -> Printable {
    let last = |text: &str| {
        let last = text.trim_end().rsplit("\\n").find(|line| !line.is_empty());
        Printable::excerpt(last.unwrap_or_default().as_bytes(), MAX_WORDS)
    };
    let why = match (last(&answer.stderr), &answer.exit) {
        (words, Some(exit)) if words.is_empty() => exit.to_string(),
        (words, Some(exit)) => format!("{exit}: {words}"),
        (words, None) if words.is_empty() => "no exit status".into(),
        (words, None) => words.to_string(),
    };
    let silence = match Identity::find(head) {
        None if !head.is_empty() => {
            let head = Printable::excerpt(head, MAX_WORDS);
            format!("no configuration in the answer \"{head}\" ({why})")
        }
        _ => format!("no configuration in the answer ({why})"),
    };
    silence.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_profile_prints_is_neither_identity_nor_configuration() {
        let boot_id = "0e3a1e6c-76a5-4bd5-9d41-3c0e9a0f8b11";
        let stdout = format!("Welcome {{you}}\n{boot_id}\ndesk\x1b[2J\n{{\"system\":1}}\nbye\n");
        let (head, json) = split(stdout.as_bytes());
        assert_eq!(json, b"{\"system\":1}\nbye\n");
        let identity = Identity::find(head).unwrap();
        assert_eq!(identity.boot_id, boot_id);
        assert_eq!(identity.hostname, r"desk\x1b[2J");
        assert_eq!(Identity::find(b"no-uuid-here\ndesk\n"), None);
        assert_eq!(split(b"no json at all"), (&b"no json at all"[..], &b""[..]));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(
            stdout in prop::collection::vec(any::<u8>(), 0..300),
            stderr in ".{0,300}", status in any::<u32>(),
        ) {
            let (head, json) = split(&stdout);
            prop_assert_eq!(head.len() + json.len(), stdout.len());
            let answer = Captured {
                stdout: None,
                stderr: Printable::excerpt(stderr.as_bytes(), 4096),
                exit: Some(crate::probe::builder::exec::Exit::Status(status)),
            };
            let why = silence(head, &answer);
            prop_assert!(why.chars().count() < 3 * MAX_WORDS + 100, "{}", why);
        }
    }
}
