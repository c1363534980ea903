//! What will be seen after a word, and by when: reckoned from the daemon's own intervals.

use std::time::Duration;

use offloadd::config::Poll;

use super::Word;

/// What will be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// A sentence.
    pub seen: &'static str,
    /// The longest that it takes.
    pub within: Duration,
}

/// Steady intervals are spread by a tenth.
const JITTER_PERCENT: u32 = 110;
/// A connection's end, which the daemon is told of by the kernel: it follows one at once, but no
/// sooner than a second after the last that it followed. Then the check itself.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// The daemon is started once more.
const RESTART: Duration = Duration::from_secs(1);

/// What `word` leads to under `poll` where a desktop that moves is followed or not, from a state in which all was well (or, for a word that
/// mends, from the state that it mends).
pub fn after(word: Word, poll: &Poll, follows: bool) -> Expectation {
    let next_check = poll.interval * JITTER_PERCENT / 100;
    // Each silent check takes its whole time-out; they follow each other at the fast interval.
    let silence = next_check + poll.timeout * poll.fall + poll.fast_interval * (poll.fall - 1);
    let spoilt = next_check + poll.timeout;
    // What only a deep check sees waits for the first one that is due; none of it is slow.
    let deep = poll.deep_interval + next_check + poll.timeout;
    // At worst the last check of what is down began just before it was mended.
    let mended = poll.timeout
        + poll.down_max_interval * JITTER_PERCENT / 100
        + poll.fast_interval * (poll.rise.saturating_sub(1));
    let (seen, within) = match word {
        Word::Stop => (
            "Both connections end, the ports refuse: both are down, `refused`.",
            AT_ONCE,
        ),
        Word::Cut => (
            "Both connections are cut, and so is each new one: both are down.",
            // The first cut may be a kept connection's; the second counts.
            AT_ONCE + poll.fast_interval,
        ),
        Word::Move if !follows => (
            "It is found there, but Nix's files say 127.0.15.6: degraded, `address-moved`.",
            AT_ONCE + poll.fast_interval * poll.rise,
        ),
        Word::Move | Word::Back => (
            "The old address refuses, the other candidate answers: both move, none is down.",
            AT_ONCE + poll.fast_interval * poll.rise,
        ),
        Word::Steer => (
            "offloadd starts anew, and both are ready, wherever the desktop is.",
            RESTART + AT_ONCE,
        ),
        Word::Unsteer => (
            "offloadd starts anew, and what Nix's files say counts again.",
            RESTART + AT_ONCE,
        ),
        Word::SwapKey => (
            "The builder is degraded, `host-key-mismatch`: nothing more was sent to it.",
            AT_ONCE,
        ),
        Word::RefuseKey => (
            "The builder is degraded, `auth-rejected`: a person has to mend that.",
            AT_ONCE,
        ),
        Word::Freeze => (
            "After several silent checks in a row, not before, both are down, `timed-out`.",
            silence,
        ),
        Word::Vanish => (
            "As with freeze: both are down, `timed-out`, now at the stage `connect`.",
            silence,
        ),
        Word::Slow => (
            "Both are too slow for the time a check has: after several, down, `timed-out`.",
            silence,
        ),
        Word::Portal => (
            "The cache is degraded, `captive-portal`. The builder stays ready.",
            spoilt,
        ),
        Word::WrongStore => (
            "The cache is degraded, `store-dir-mismatch`. The builder stays ready.",
            spoilt,
        ),
        Word::Error => (
            "The cache is degraded, `http-status`. The builder stays ready.",
            spoilt,
        ),
        Word::NoNix => (
            "The builder is degraded, `nix-missing`: a login still works.",
            deep,
        ),
        Word::StopNixDaemon => (
            "The builder is degraded, `nix-daemon-down`, though a login still works.",
            deep,
        ),
        Word::Untrust => (
            "The builder is degraded, `not-trusted`: Nix there would refuse what is sent.",
            deep,
        ),
        Word::EchoProfile => (
            "The builder is degraded, `profile-output`: Nix would take it for an answer.",
            deep,
        ),
        Word::ForceCommand => (
            "The builder is degraded, `not-nix`: something else answers.",
            deep,
        ),
        Word::OldNix => ("The builder is degraded, `protocol-mismatch`.", deep),
        Word::WrongSystem => (
            "The builder is degraded, `system-missing`: it can't do what was promised.",
            deep,
        ),
        Word::NoKvm => (
            "The builder is degraded, `feature-missing`: it can't do what was promised.",
            deep,
        ),
        Word::Unsign => (
            "The cache is degraded, `unsigned`. The builder stays ready.",
            deep,
        ),
        Word::ForeignKey => (
            "The cache is degraded, `untrusted-signature`. The builder stays ready.",
            deep,
        ),
        Word::Garbage => (
            "Neither a cache nor a builder answers: degraded, `not-http` and `not-ssh`.",
            spoilt + AT_ONCE,
        ),
        Word::Start
        | Word::Thaw
        | Word::Appear
        | Word::OldKey
        | Word::AcceptKey
        | Word::StartNixDaemon
        | Word::Trust
        | Word::Reset => (
            "What was down or degraded is ready after two good answers.",
            mended,
        ),
    };
    Expectation { seen, within }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_takes_as_long_as_its_checks() {
        let poll = Poll {
            interval: Duration::from_secs(10),
            fast_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            fall: 3,
            ..Poll::default()
        };
        // 11 s until the next check is due, three time-outs, two pauses between them.
        assert_eq!(
            after(Word::Freeze, &poll, true).within,
            Duration::from_secs(11 + 6 + 2)
        );
        assert!(after(Word::Stop, &poll, true).within <= AT_ONCE);
    }

    #[test]
    fn with_the_practice_intervals_nobody_waits_long() {
        let all = Word::ALL.into_iter();
        for (word, follows) in all.flat_map(|word| [(word, true), (word, false)]) {
            let expected = after(word, &super::super::laptop::poll(), follows);
            assert!(
                expected.within <= Duration::from_secs(5),
                "{word:?}: {expected:?}"
            );
            assert!(expected.seen.len() <= 80, "{word:?}: {expected:?}");
        }
    }
}
