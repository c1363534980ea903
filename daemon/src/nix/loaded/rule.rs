//! When a file that nix-daemon has read changed. Pure: what is known goes in, a moment comes out.
//!
//! All moments are in microseconds of `CLOCK_REALTIME`.

use super::facts::{Content, Facts, Times};

/// By its times alone: when the file changed after `started`, if it did.
///
/// The last file on the way counts by the time of its content. Where only a link on the way is newer,
/// it may lead to the same content as before: NixOS makes `/etc/static` anew with every generation.
/// Then what the file was in the generation of that time decides, where that is still there.
pub(super) fn changed_since(started: u64, facts: &Facts) -> Option<u64> {
    let written = facts.times.and_then(written);
    if let Some(written) = written.filter(|written| *written > started) {
        return Some(written);
    }
    let links = facts.links.iter().copied().filter_map(written_of_link);
    let switched = links.max().filter(|switched| *switched > started)?;
    let same = facts
        .then
        .as_ref()
        .is_some_and(|then| same(then, &facts.content) == Some(true));
    (!same).then_some(switched)
}

/// By its content: when it changed, if it is not what nix-daemon has `read`. Where neither may be
/// looked into the times decide.
pub(super) fn changed_from(read: &Content, facts: &Facts, started: u64, now: u64) -> Option<u64> {
    match same(read, &facts.content) {
        Some(true) => None,
        Some(false) => Some(moment(facts, started).unwrap_or(now)),
        None => changed_since(started, facts),
    }
}

/// What was in the file at `started`; `None` where nobody knows.
///
/// Where a link on the way was made anew and nothing else tells, it leads to the same as before: NixOS starts nix-daemon
/// again where what is in the file becomes something else.
pub(super) fn at_start(started: u64, facts: &Facts) -> Option<&Content> {
    if changed_since(started, facts).is_none() {
        return Some(&facts.content);
    }
    let is_written = facts.times.and_then(written) > Some(started);
    let then = facts.then.as_ref();
    then.or((!is_written).then_some(&facts.content))
}

/// When what has changed did so: a file may have been renamed over it that was written before.
fn moment(facts: &Facts, started: u64) -> Option<u64> {
    let links = facts.links.iter().copied().filter_map(written_of_link);
    let written = facts.times.and_then(written).into_iter().chain(links).max();
    let after = |time: &u64| *time > started;
    let renamed = || facts.times.map(|times| times.ctime).filter(after);
    written.filter(after).or_else(renamed)
}

/// `None` where it can't be told.
fn same(a: &Content, b: &Content) -> Option<bool> {
    match (a, b) {
        (Content::Unreadable, _) | (_, Content::Unreadable) => None,
        (a, b) => Some(a == b),
    }
}

/// When a file's content changed: its mtime, because its ctime tells of a changed owner or a new
/// hard link as well, of which nix-daemon reads nothing. One of 1970 is no time but the mark of what
/// was copied out of a store; the ctime says when.
///
/// `None` for what is in the store: that never changes, whatever its ctime says (which a new hard
/// link by `nix store optimise` renews).
fn written(times: Times) -> Option<u64> {
    /// Nix gives all files in its store the mtime 1 (`mtimeStore`, src/libstore/posix-fs-canonicalise.cc).
    const STORE_MTIME: u64 = 1_000_000;
    match times {
        Times { in_store: true, .. } => None,
        Times { mtime, ctime, .. } if mtime <= STORE_MTIME => Some(ctime),
        Times { mtime, .. } => Some(mtime),
    }
}

/// When a link was made to lead where it leads: a link is never rewritten but replaced, so it is as
/// with a file.
fn written_of_link(times: Times) -> Option<u64> {
    written(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000_000;
    const BEFORE: u64 = START - 5_000_000;
    const AFTER: u64 = START + 5_000_000;
    const LATER: u64 = START + 9_000_000;
    const NOW: u64 = START + 60_000_000;
    const IN_1970: u64 = 1_000_000;

    fn times(mtime: u64, ctime: u64) -> Times {
        Times {
            mtime,
            ctime,
            in_store: false,
        }
    }

    fn in_store(ctime: u64) -> Times {
        Times {
            mtime: IN_1970,
            ctime,
            in_store: true,
        }
    }

    fn content(byte: u8) -> Content {
        Content::Text(byte.to_string().into())
    }

    fn facts(links: &[Times], times: Option<Times>, then: Option<Content>) -> Facts {
        Facts {
            file: "/etc/nix/nix.conf".into(),
            links: links.to_vec(),
            times,
            content: content(1),
            then,
        }
    }

    #[test]
    fn what_changed_before_offloadd_looked_is_judged_by_times() {
        let link = |mtime| times(mtime, mtime);
        let (same, other) = (Some(content(1)), Some(content(2)));
        let table = [
            // links, the file itself, what the generation of that time has, the verdict
            (
                "a file that was there",
                vec![],
                Some(times(BEFORE, BEFORE)),
                None,
                None,
            ),
            (
                "a file written since",
                vec![],
                Some(times(AFTER, AFTER)),
                None,
                Some(AFTER),
            ),
            (
                "a changed owner",
                vec![],
                Some(times(BEFORE, AFTER)),
                None,
                None,
            ),
            (
                "the moment of the start",
                vec![],
                Some(times(START, START)),
                None,
                None,
            ),
            ("no file", vec![], None, None, None),
            (
                "1970 outside of the store",
                vec![],
                Some(times(IN_1970, AFTER)),
                None,
                Some(AFTER),
            ),
            (
                "1970, copied before",
                vec![],
                Some(times(IN_1970, BEFORE)),
                None,
                None,
            ),
            (
                "1970 and 0",
                vec![],
                Some(times(0, AFTER)),
                None,
                Some(AFTER),
            ),
            (
                "links of old",
                vec![link(BEFORE)],
                Some(in_store(BEFORE)),
                None,
                None,
            ),
            (
                "a store that was optimised",
                vec![link(BEFORE)],
                Some(in_store(AFTER)),
                None,
                None,
            ),
            (
                "a rebuild without a change",
                vec![link(AFTER)],
                Some(in_store(AFTER)),
                same.clone(),
                None,
            ),
            (
                "a rebuild",
                vec![link(AFTER)],
                Some(in_store(AFTER)),
                other,
                Some(AFTER),
            ),
            (
                "a rebuild after who knows what",
                vec![link(AFTER)],
                Some(in_store(BEFORE)),
                None,
                Some(AFTER),
            ),
            (
                "an unreadable generation",
                vec![link(AFTER)],
                Some(in_store(BEFORE)),
                Some(Content::Unreadable),
                Some(AFTER),
            ),
            (
                "the last of the links",
                vec![link(AFTER), link(LATER), in_store(NOW)],
                None,
                None,
                Some(LATER),
            ),
            (
                "a link to what was edited",
                vec![link(AFTER)],
                Some(link(LATER)),
                same,
                Some(LATER),
            ),
        ];
        for (what, links, file, then, expected) in table {
            let facts = facts(&links, file, then);
            assert_eq!(changed_since(START, &facts), expected, "{what}");
        }
    }

    #[test]
    fn what_changed_under_offloadds_eyes_is_judged_by_content() {
        let old = times(BEFORE, BEFORE);
        let table = [
            ("a touch", content(1), times(AFTER, AFTER), None),
            ("an edit", content(2), times(AFTER, AFTER), Some(AFTER)),
            (
                "an old file in its place",
                content(2),
                times(BEFORE, AFTER),
                Some(AFTER),
            ),
            ("a time that can't be", content(2), old, Some(NOW)),
            (
                "one that was not there",
                Content::Missing,
                times(AFTER, AFTER),
                Some(AFTER),
            ),
            (
                "one that nobody may read",
                Content::Unreadable,
                times(AFTER, AFTER),
                Some(AFTER),
            ),
            (
                "one that nobody may read, old",
                Content::Unreadable,
                old,
                None,
            ),
        ];
        for (what, read, times, expected) in table {
            let facts = facts(&[], Some(times), None);
            assert_eq!(changed_from(&read, &facts, START, NOW), expected, "{what}");
        }
    }
}
