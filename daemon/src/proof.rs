//! When a builder is to prove itself: a test build through Nix, which nobody has asked for. Pure: what happened in, when
//! the next one is due out; time is an argument, in microseconds since 1970, since it outlives boots.
//!
//! | the last one                     | the next is due                                      |
//! |----------------------------------|------------------------------------------------------|
//! | there is none                    | at once                                              |
//! | passed, with what there is now   | a week later                                         |
//! | failed so, n times in a row      | 10 minutes later, twice that, … a day later          |
//! | passed or failed with other      | a minute later; with `builds = "weekly"` a week later|
//!
//! One that failed is made again sooner than a week later, though nothing has changed that can be seen from here: it is
//! the verdict, and somebody may have mended what made it fail.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{config::Builds, target::TargetId};

/// Between one that passed and the next.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// After the first that failed.
const FIRST_AGAIN: Duration = Duration::from_secs(600);
/// After many.
const LAST_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// At least so long between two: a setup that changes all the time is no reason to build all the time.
const APART: Duration = Duration::from_secs(60);

/// How a builder has proved itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// What it was proved with, as a digest.
    pub setup: String,
    /// When it ended.
    pub at: u64,
    /// How long it took, in microseconds.
    pub took: u64,
    /// How many have failed since the last that passed: 0 says that it passed.
    pub failures: u32,
}

/// The last proof of each builder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs(BTreeMap<TargetId, Proof>);

impl Proofs {
    /// A test build of `builder` ended at `at`, whoever asked for it, and `took` so many microseconds. With `setup` it
    /// has passed, or not.
    pub fn ended(&mut self, builder: &TargetId, setup: &str, at: u64, took: u64, passed: bool) {
        let before = self.0.get(builder).map_or(0, |proof| proof.failures);
        let proof = Proof {
            setup: setup.to_owned(),
            at,
            took,
            failures: if passed { 0 } else { before.saturating_add(1) },
        };
        self.0.insert(builder.clone(), proof);
    }

    /// How `builder` has proved itself with `setup`; `None` where it has not.
    pub fn holds(&self, builder: &TargetId, setup: &str) -> Option<&Proof> {
        let proof = self.0.get(builder);
        proof.filter(|proof| proof.failures == 0 && proof.setup == setup)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetId, &Proof)> {
        self.0.iter()
    }

    /// When `builder`, whose checks pass with `setup`, is to prove itself; `None` where nobody wants it.
    pub fn due(&self, builder: &TargetId, setup: &str, builds: Builds, now: u64) -> Option<u64> {
        if builds == Builds::Never {
            return None;
        }
        // What ended in the future was noted by another clock.
        let Some(last) = self.0.get(builder).filter(|last| last.at <= now) else {
            return Some(now);
        };
        let is_same = last.setup == setup;
        let wait = match (builds, last.failures) {
            (Builds::Changes, _) if !is_same => APART,
            (_, 0) => WEEK,
            (_, failures) => again(failures),
        };
        Some(last.at.saturating_add(usec(wait)))
    }

    /// Forgets all builders but these.
    pub fn keep(&mut self, is_watched: impl Fn(&TargetId) -> bool) {
        self.0.retain(|builder, _| is_watched(builder));
    }
}

impl FromIterator<(TargetId, Proof)> for Proofs {
    fn from_iter<I: IntoIterator<Item = (TargetId, Proof)>>(proofs: I) -> Self {
        Self(proofs.into_iter().collect())
    }
}

fn again(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    FIRST_AGAIN.saturating_mul(doubled).min(LAST_AGAIN)
}

fn usec(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn desktop() -> TargetId {
        TargetId::builder("desktop")
    }

    /// Plays a script: at a time a setup, and how the build ends that is due then; `-` where none is due. What comes out
    /// are the times at which builds were made, and the next one that is due.
    fn play(builds: Builds, script: &str) {
        let mut proofs = Proofs::default();
        let mut told = String::new();
        let origin = 1_000_000_000_000_000;
        for line in script.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let [time, setup, end, ..] = words[..] else {
                panic!("{line}");
            };
            let now = origin + usec(humantime::parse_duration(time).unwrap());
            let due = proofs.due(&desktop(), setup, builds, now);
            let end = if due.is_some_and(|due| due <= now) {
                proofs.ended(&desktop(), setup, now, 1, end == "passes");
                end
            } else {
                "-"
            };
            let next = proofs.due(&desktop(), setup, builds, now);
            let next = next.map_or("never".to_owned(), |next| {
                humantime::format_duration(Duration::from_micros(next - now)).to_string()
            });
            let _ = writeln!(told, "{time} {setup} {end} {}", next.replace(' ', ""));
        }
        let lines = script.lines();
        let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n");
        assert_eq!(told, lines.collect::<String>(), "\n{told}");
    }

    #[test]
    fn a_changed_setup_is_proved_at_once_and_the_same_a_week_later() {
        play(
            Builds::Changes,
            "0s    a  passes  7days
             30s   a  -       6days23h59m30s
             31s   b  -       29s
             1m    b  passes  7days
             8days b  passes  7days
             9days a  passes  7days",
        );
    }

    #[test]
    fn one_that_fails_is_made_again_ever_more_seldom() {
        play(
            Builds::Changes,
            "0s    a  fails   10m
             9m    a  -       1m
             10m   a  fails   20m
             30m   a  fails   40m
             1h10m a  fails   1h20m
             3h    a  fails   2h40m
             6h    a  fails   5h20m
             12h   a  fails   10h40m
             1day  a  fails   21h20m
             2days a  fails   1day
             3days a  fails   1day
             3days1m b passes 7days
             3days2m b -      6days23h59m",
        );
    }

    #[test]
    fn once_a_week_is_no_oftener_whatever_changes() {
        play(
            Builds::Weekly,
            "0s    a  passes  7days
             1day  b  -       6days
             7days c  passes  7days",
        );
    }

    #[test]
    fn where_nobody_wants_any_none_is_made() {
        play(Builds::Never, "0s a - never\n10days b - never");
    }

    #[test]
    fn it_holds_for_what_it_was_made_with_and_nothing_else() {
        let mut proofs = Proofs::default();
        proofs.ended(&desktop(), "a", 1, 1, true);
        let holds = |proofs: &Proofs, id, setup| proofs.holds(&id, setup).is_some();
        assert!(holds(&proofs, desktop(), "a") && !holds(&proofs, desktop(), "b"));
        assert!(!holds(&proofs, TargetId::builder("other"), "a"));
        proofs.ended(&desktop(), "a", 2, 1, false);
        assert!(!holds(&proofs, desktop(), "a"));
        proofs.keep(|_| false);
        assert_eq!(proofs.due(&desktop(), "a", Builds::Weekly, 3), Some(3));
    }

    #[test]
    fn a_clock_that_was_set_back_puts_none_off() {
        let mut proofs = Proofs::default();
        proofs.ended(&desktop(), "a", 5_000, 1, true);
        assert_eq!(
            proofs.due(&desktop(), "a", Builds::Changes, 4_000),
            Some(4_000)
        );
    }

    proptest! {
        /// Whatever ends how: never more than a thousand a year, and with a steady setup one a week at least.
        #[test]
        fn none_is_due_all_the_time(ends in prop::collection::vec((0_u8..3, any::<bool>()), 1..200)) {
            let mut proofs = Proofs::default();
            let mut now = 1;
            for (setup, passes) in ends {
                let setup = setup.to_string();
                let due = proofs.due(&desktop(), &setup, Builds::Changes, now).unwrap();
                prop_assert!(due <= now + usec(WEEK));
                now = now.max(due);
                proofs.ended(&desktop(), &setup, now, 1, passes);
                let next = proofs.due(&desktop(), &setup, Builds::Changes, now).unwrap();
                prop_assert!(next >= now + usec(FIRST_AGAIN));
            }
        }
    }
}
