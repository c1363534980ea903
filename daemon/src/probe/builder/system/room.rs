//! How much room the builder's store has: what fills it up fails builds that Nix goes on to hand out.

use offload_client::Printable;

use crate::probe::builder::Notes;

/// Asks for it (stat(1) of the GNU coreutils and of busybox): blocks that others than root may have, the size of one, and
/// the free and all file nodes. Who has another stat says something else, and nothing is known.
pub(super) const QUESTION: &str = "stat -f -c 'store %a %S %d %c' /nix/store";

/// Less than this is little: what a build of no great size takes, in bytes.
const LITTLE: u64 = 1 << 30;
/// Less than this is little, in file nodes.
const FEW: u64 = 10_000;

/// What is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    bytes: u64,
    /// `None` where the file system has no fixed number of them.
    nodes: Option<u64>,
}

impl Room {
    /// What the answer says of it.
    pub(super) fn find(answer: &[u8]) -> Option<Self> {
        let mut lines = answer.split(|&byte| byte == b'\n');
        lines.find_map(|line| {
            let line = std::str::from_utf8(line).ok()?.strip_prefix("store ")?;
            let mut numbers = line.split(' ').map(str::parse::<u64>);
            let mut next = || numbers.next()?.ok();
            let (blocks, size, free, all) = (next()?, next()?, next()?, next()?);
            Some(Self {
                bytes: blocks.saturating_mul(size),
                nodes: (all > 0).then_some(free),
            })
        })
    }

    /// Notes it, and where there is little.
    pub(super) fn note(self, notes: &mut Notes) {
        notes.note("store_free", self.bytes);
        if let Some(nodes) = self.nodes {
            notes.note("store_free_inodes", nodes);
        }
        notes.signs.scarce = self.scarce();
    }

    /// Whether there is none; with little more a trivial build goes.
    pub(super) fn is_none(self) -> bool {
        self.bytes == 0 || self.nodes == Some(0)
    }

    /// What there is little of, and how much.
    fn scarce(self) -> Option<Printable> {
        let nodes = self.nodes.filter(|nodes| *nodes < FEW);
        match (self.bytes, nodes) {
            (bytes, _) if bytes < LITTLE => Some(format!("{} MiB", bytes >> 20).into()),
            (_, Some(nodes)) => Some(format!("{nodes} inodes").into()),
            (_, None) => None,
        }
    }

    /// How much there is, for a machine's words.
    pub(super) fn said(self) -> Printable {
        let nodes = self.nodes.map(|nodes| format!(" and {nodes} inodes"));
        format!(
            "{} bytes{} are free in the store",
            self.bytes,
            nodes.unwrap_or_default()
        )
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_told_and_nothing_is_known_of_another_stat() {
        for (head, scarce, is_none) in [
            ("store 2621440 4096 655360 6553600", None, false),
            (
                "hello\nstore 262143 4096 655360 6553600\nmore",
                Some("1023 MiB"),
                false,
            ),
            (
                "store 2621440 4096 9999 6553600",
                Some("9999 inodes"),
                false,
            ),
            ("store 2621440 4096 0 6553600", Some("0 inodes"), true),
            // btrfs and ZFS have as many as they need.
            ("store 2621440 4096 0 0", None, false),
            ("store 150 4096 655360 6553600", Some("0 MiB"), false),
            ("store 0 4096 655360 6553600", Some("0 MiB"), true),
            ("store 18446744073709551615 4096 1 0", None, false),
        ] {
            let room = Room::find(head.as_bytes()).unwrap();
            let told = room.scarce();
            assert_eq!(
                (told.as_deref(), room.is_none()),
                (scarce, is_none),
                "{head}"
            );
        }
        for head in [
            "",
            "store",
            "store 1 2 3",
            "store 1 2 3 x",
            "stat: -c: no such file",
            "\u{0}",
        ] {
            assert_eq!(Room::find(head.as_bytes()), None, "{head}");
        }
    }
}
