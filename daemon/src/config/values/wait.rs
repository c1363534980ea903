//! How long a build waits for a desktop that is woken: `0s`, `20s`.

use std::time::Duration;

use super::duration;
use crate::config::error::quoted;

/// A desktop that is not there by then is built without.
const LONGEST: Duration = Duration::from_secs(60);

/// Reads a duration that may be none.
pub(in crate::config) fn parse(text: &str) -> Result<Duration, String> {
    if humantime::parse_duration(text).is_ok_and(|duration| duration.is_zero()) {
        return Ok(Duration::ZERO);
    }
    let wait = duration::parse(text)?;
    if wait > LONGEST {
        return Err(format!(
            "{} is too long; a build waits for at most \"1m\", or \"0s\" for not at all",
            quoted(text)
        ));
    }
    Ok(wait)
}

/// Says what is wrong with a wait.
pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_none_or_at_most_a_minute() {
        let seconds = Duration::from_secs;
        assert_eq!(parse("0s"), Ok(seconds(0)));
        assert_eq!(parse("20s"), Ok(seconds(20)));
        assert_eq!(parse("1m"), Ok(seconds(60)));
        for wrong in ["", "20", "61s", "-1s", "1ms", "soon"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("2m").unwrap_err().contains("at most"));
    }
}
