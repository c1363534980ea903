//! Times and durations as people say them.

use crate::language::{say, tr};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A duration in microseconds, in its largest whole unit: `12 s`, `3 min`, `47 h`, `5 d`.
pub fn duration(usec: u64) -> String {
    match usec {
        0..MINUTE => say!("{n} s", n = usec / SECOND),
        MINUTE..HOUR => say!("{n} min", n = usec / MINUTE),
        // Up to two days hours say more than days.
        HOUR..172_800_000_000 => say!("{n} h", n = usec / HOUR),
        _ => say!("{n} d", n = usec / DAY),
    }
}

/// How long ago a moment is: `3 min ago`, `just now`, or `never` for 0.
pub fn ago(then_usec: u64, now_usec: u64) -> String {
    match (then_usec, now_usec.saturating_sub(then_usec)) {
        (0, _) => tr("never").to_owned(),
        (_, 0..SECOND) => tr("just now").to_owned(),
        (_, passed) => say!("{time} ago", time = duration(passed)),
    }
}

/// A latency in microseconds, with two or three digits: `0.4 ms`, `12 ms`, `1.3 s`.
pub fn latency(usec: u64) -> String {
    match usec {
        0..10_000 => tenths(usec, 1_000, "ms"),
        10_000..1_000_000 => format!("{} ms", usec / 1_000),
        _ => tenths(usec, SECOND, "s"),
    }
}

/// How long something took, in microseconds: as a latency up to a minute, then as a duration.
pub fn took(usec: u64) -> String {
    match usec {
        0..MINUTE => latency(usec),
        _ => duration(usec),
    }
}

/// `for 3 h`; nothing where the moment is not known.
pub(crate) fn since(then_usec: u64, now_usec: u64) -> Option<String> {
    match (then_usec, now_usec.saturating_sub(then_usec)) {
        (0, _) => None,
        (_, 0..SECOND) => Some(tr("just now").to_owned()),
        (_, passed) => Some(say!("for {time}", time = duration(passed))),
    }
}

/// A number of bytes: `812 MiB`, `14.2 GiB`.
pub(super) fn bytes(count: u64) -> String {
    const MIB: u64 = 1 << 20;
    match count / MIB {
        0 => say!("{count} bytes", count),
        mib @ 1..1024 => format!("{mib} MiB"),
        mib => tenths(mib, 1024, "GiB"),
    }
}

/// How soon a moment will be: `in 26 s`; nothing for 0.
pub(super) fn until(then_usec: u64, now_usec: u64) -> Option<String> {
    match (then_usec, then_usec.saturating_sub(now_usec)) {
        (0, _) => None,
        (_, 0..SECOND) => Some(tr("now").to_owned()),
        (_, left) => Some(say!("in {time}", time = duration(left))),
    }
}

fn tenths(value: u64, unit: u64, name: &str) -> String {
    let tenth = unit / 10;
    say!(
        "{whole}.{tenths} {unit}",
        whole = value / unit,
        tenths = value % unit / tenth,
        unit = name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_short() {
        for (usec, text) in [
            (0, "0.0 ms"),
            (430, "0.4 ms"),
            (1_234, "1.2 ms"),
            (12_900, "12 ms"),
            (999_999, "999 ms"),
            (1_300_000, "1.3 s"),
        ] {
            assert_eq!(latency(usec), text);
        }
    }

    #[test]
    fn what_took_long_is_told_in_minutes() {
        assert_eq!(took(3_200_000), "3.2 s");
        assert_eq!(took(2 * MINUTE), "2 min");
    }

    #[test]
    fn durations_are_in_one_unit() {
        for (usec, text) in [
            (SECOND, "1 s"),
            (MINUTE - 1, "59 s"),
            (MINUTE, "1 min"),
            (HOUR, "1 h"),
            (47 * HOUR, "47 h"),
            (2 * DAY, "2 d"),
            (u64::MAX, "213503982 d"),
        ] {
            assert_eq!(duration(usec), text);
        }
    }

    #[test]
    fn moments_are_told_from_now() {
        assert_eq!(ago(0, 5), "never");
        assert_eq!(ago(SECOND, MINUTE + SECOND), "1 min ago");
        assert_eq!(since(SECOND, HOUR + SECOND).as_deref(), Some("for 1 h"));
        assert_eq!(since(0, HOUR), None);
        assert_eq!(until(HOUR, HOUR - 26 * SECOND).as_deref(), Some("in 26 s"));
        // A clock that was set back makes nothing negative.
        assert_eq!(since(HOUR, SECOND).as_deref(), Some("just now"));
        assert_eq!(until(SECOND, HOUR).as_deref(), Some("now"));
    }
}
