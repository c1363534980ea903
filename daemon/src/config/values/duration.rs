//! Durations as people write them: `30s`, `5m`, `1h 30m`.

use std::time::Duration;

use crate::config::error::quoted;

/// The shortest that is accepted: below it the daemon would do nothing but check.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest: sums and back-offs stay far from any overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Ten digits and 64 characters can't bring the parser's sum of seconds near `u64::MAX`, where
/// `Duration::new` would panic on a carry.
const MAX_DIGITS: usize = 10;
const MAX_LENGTH: usize = 64;

/// Reads a duration in humantime's grammar, from 10 ms to 365 days.
pub(in crate::config) fn parse(text: &str) -> Result<Duration, String> {
    let longest_number = text
        .split(|c: char| !c.is_ascii_digit() && !c.is_whitespace())
        .map(|run| run.chars().filter(char::is_ascii_digit).count())
        .max()
        .unwrap_or(0);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("is empty; write a duration such as \"30s\" or \"5m\"".into());
    }
    if trimmed.starts_with('-') {
        return Err(format!("{} is negative; {}", quoted(text), bounds()));
    }
    if longest_number > MAX_DIGITS || text.len() > MAX_LENGTH {
        return Err(format!("{} is too long; {}", quoted(text), bounds()));
    }
    let duration = humantime::parse_duration(text).map_err(|error| explain(trimmed, &error))?;
    if duration.is_zero() {
        return Err(format!("{} is zero; {}", quoted(text), bounds()));
    }
    if duration < SHORTEST {
        return Err(format!("{} is too short; {}", quoted(text), bounds()));
    }
    if duration > LONGEST {
        return Err(format!("{} is too long; {}", quoted(text), bounds()));
    }
    Ok(duration)
}

/// Shows a duration so that [`parse`] reads the same one.
pub(in crate::config) fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn bounds() -> &'static str {
    "a duration is from \"10ms\" to \"365d\""
}

fn explain(text: &str, error: &humantime::DurationError) -> String {
    use humantime::DurationError::*;
    match error {
        UnknownUnit { unit, .. } if unit.is_empty() => {
            format!(
                "{} has no unit; write \"{text}s\" for seconds",
                quoted(text)
            )
        }
        UnknownUnit { unit, .. } => {
            format!("{} is no unit of time; use ms, s, m, h or d", quoted(unit))
        }
        NumberOverflow => format!("{} is too long or too fine; {}", quoted(text), bounds()),
        _ => format!(
            "{} is no duration; write numbers with units, such as \"30s\" or \"1m 30s\"",
            quoted(text)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("30s", 30_000),
            ("10ms", 10),
            ("1m 30s", 90_000),
            ("1.5s", 1_500),
            ("1500000000ns", 1_500),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_carry_at_the_end_of_time_does_not_panic() {
        assert!(parse("18446744073709551615s 1000000000ns").is_err());
        assert!(parse("1844674407 3709551615s 1000000000ns").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(nanos in SHORTEST.as_nanos()..LONGEST.as_nanos()) {
            let duration = Duration::from_nanos(nanos as u64);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }

        #[test]
        fn what_is_accepted_is_in_bounds(text in "[0-9]{0,12}[.]?[0-9]{0,3} ?(ns|us|ms|s|m|h|d|w|y)") {
            if let Ok(duration) = parse(&text) {
                prop_assert!((SHORTEST..=LONGEST).contains(&duration));
            }
        }

        #[test]
        fn reading_never_panics(text in "([0-9. ]{0,24}(ns|us|µs|ms|s|m|h|d|y|M)? ?){0,4}|.*") {
            let _ = parse(&text);
        }
    }
}
