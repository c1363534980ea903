//! Plays the script of a scenario to the core, and writes down what comes of it.

use std::{fmt::Write as _, time::Duration};

use offload_client::{Reason, Stage};

use super::world::at;
use crate::{
    clock::Now,
    config::Poll,
    health::{CheckId, Effect, Event, Health, Outcome},
    net::Reach,
    target::TargetId,
};

/// Plays the events and answers of `script` to the core, and holds what comes of them, and the
/// times of the checks, against it.
#[track_caller]
pub(super) fn play(script: &str) {
    let mut expected = String::new();
    let mut stage = Play::new();
    for line in script.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let _ = writeln!(expected, "{}", words.join(" "));
        stage.line(words[0], words[1]);
    }
    assert_eq!(stage.transcript, expected, "\n{}", stage.transcript);
}

/// One target, and the stage on which it plays.
pub(super) struct Play {
    pub(super) health: Health,
    pub(super) id: TargetId,
    now: Now,
    /// When the last check ended.
    pub(super) ended: Now,
    /// The check in flight, when it began, and whether its line has shown that.
    in_flight: Option<(CheckId, Duration, bool)>,
    transcript: String,
    /// Searches that were asked for so far.
    pub(super) seeks: usize,
}

impl Play {
    pub(super) fn new() -> Self {
        let now = at(Duration::from_secs(1_000));
        let mut play = Self {
            health: Health::new(Poll::default(), 1, now),
            id: TargetId::builder("desktop"),
            now,
            ended: now,
            in_flight: None,
            transcript: String::new(),
            seeks: 0,
        };
        play.happen(Event::Added(play.id.clone()));
        play
    }

    /// One line: its first two columns.
    pub(super) fn line(&mut self, time: &str, word: &str) {
        let event = match word {
            "refresh" => Event::Refresh(None),
            "changed" => Event::Changed(self.id.clone()),
            "pause" => Event::Pause { until: None },
            "resume" => Event::Resume,
            "near" => self.reach(Reach::Near),
            "far" => self.reach(Reach::Far),
            "by-name" => self.reach(Reach::ByName),
            "nowhere" => self.reach(Reach::Nowhere),
            "found" => Event::Found {
                target: self.id.clone(),
            },
            "built" | "misbuilt" => Event::Tested {
                target: self.id.clone(),
                outcome: match word {
                    "built" => Ok(()),
                    _ => Err(Reason::BuildFailed),
                },
            },
            "unproved" => Event::Unproved {
                target: self.id.clone(),
            },
            "hindered" | "doubted" | "lifted" => Event::Hindered {
                target: self.id.clone(),
                reason: match word {
                    "hindered" => Some(Reason::AddressMoved),
                    "doubted" => Some(Reason::ForeignBuildHook),
                    _ => None,
                },
            },
            "closed" | "pause-60s" | "tick" | "ask" => Event::Tick,
            answer => return self.answer(answer),
        };
        if time == "-" {
            self.pass(Duration::from_millis(500));
            if let Some((.., shown)) = &mut self.in_flight {
                *shown = true;
            }
        } else {
            let since = humantime::parse_duration(time).unwrap();
            self.now = self.ended.after(since);
            let wake = self.health.next_wake();
            assert!(
                word == "tick" || wake.is_none_or(|wake| wake > self.now.boot),
                "{time} {word}: a check or the end of a pause is due before"
            );
        }
        let event = match word {
            "closed" => Event::Closed {
                target: self.id.clone(),
                idle: self.now.boot - self.ended.boot,
            },
            "pause-60s" => Event::Pause {
                until: Some(self.now.boot + Duration::from_secs(60)),
            },
            _ => event,
        };
        let result = if word == "ask" {
            let effects = self.health.request(self.now, &self.id).unwrap();
            self.take(effects)
        } else {
            self.happen(event)
        };
        self.write(time, word, &result);
    }

    fn reach(&self, reach: Reach) -> Event {
        let target = self.id.clone();
        Event::Reach { target, reach }
    }

    fn answer(&mut self, word: &str) {
        if self.in_flight.is_none() {
            let wake = self.health.next_wake().expect("a check is scheduled");
            self.pass(wake - self.now.boot);
            self.happen(Event::Tick);
        }
        let (check, began, shown) = self.in_flight.expect("a check is due");
        let since = began.saturating_sub(self.ended.boot);
        let time = if shown { "-".into() } else { rounded(since) };
        if word == "begin" {
            self.in_flight = Some((check, began, true));
            return self.write(&time, word, "");
        }

        let (outcome, latency) = outcome(word);
        let ends = (began + latency).max(self.now.boot);
        self.pass(ends - self.now.boot);
        self.in_flight = None;
        self.ended = self.now;
        let result = self.happen(Event::Reported {
            target: self.id.clone(),
            check,
            outcome,
            latency,
        });
        self.write(&time, word, &result);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    fn happen(&mut self, event: Event) -> String {
        let effects = self.health.handle(self.now, event);
        self.take(effects)
    }

    fn take(&mut self, effects: Vec<Effect>) -> String {
        let mut results = Vec::new();
        for effect in effects {
            match effect {
                Effect::Start { check, .. } => {
                    assert_eq!(self.in_flight, None, "one check at a time");
                    self.in_flight = Some((check, self.now.boot, false));
                }
                Effect::Abort { check, .. } => {
                    assert_eq!(self.in_flight.map(|(id, ..)| id), Some(check));
                    self.in_flight = None;
                    results.push("aborted".to_owned());
                }
                Effect::Changed {
                    new: (state, reason),
                    ..
                } => results.push(format!("{state} {reason}").trim().to_owned()),
                Effect::Missing { target } => {
                    assert_eq!(target, self.id);
                    self.seeks += 1;
                }
                Effect::OverallChanged { .. } => {}
            }
        }
        results.join(", ")
    }

    fn write(&mut self, time: &str, word: &str, result: &str) {
        let _ = write!(self.transcript, "{time} {word}");
        if !result.is_empty() {
            let _ = write!(self.transcript, " -> {result}");
        }
        self.transcript.push('\n');
    }
}

/// The answer of a check, and how long it takes: a reason, behind an `@` the stage where it is not `connect`.
fn outcome(word: &str) -> (Outcome, Duration) {
    if word == "ok" {
        return (Ok(Stage::Auth), Duration::from_millis(5));
    }
    let (word, stage) = word.split_once('@').unwrap_or((word, "connect"));
    let (reason, stage) = (Reason::from_word(word), Stage::from_word(stage));
    assert_ne!(reason, Reason::None, "{word} is no reason");
    let latency = match reason {
        Reason::TimedOut => Duration::from_secs(2),
        _ => Duration::from_millis(1),
    };
    (Err((stage, reason)), latency)
}

/// A jittered time as `~30s`, any other as it is.
fn rounded(time: Duration) -> String {
    let nominal = [30, 60, 120, 300].into_iter().find(|secs| {
        let exact = Duration::from_secs(*secs);
        time >= exact * 9 / 10 && time <= exact * 11 / 10
    });
    match nominal {
        Some(secs) => format!("~{secs}s"),
        None => format!("{}s", time.as_secs_f64()),
    }
}
