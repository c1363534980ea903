//! What `top` knows, and what of it is looked at.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::builds::Builds;
use crate::{
    JobState, Kind, Printable, Snapshot, TargetState,
    job::End,
    language::{say, tr},
    page, reasons,
    snapshot::{HistoryEntry, Target},
};

/// Latencies of a target that are kept, at the most.
const LATENCIES: usize = 64;
/// Changes that are kept, at the most.
const CHANGES: usize = 100;
/// Lines of a test build's log that are kept, at the most.
const LOG: usize = 2000;
const MINUTE: u64 = 60_000_000;

/// All of it.
pub(super) struct Model {
    pub(super) colour: bool,
    /// Whether the terminal has no other characters.
    pub(super) ascii: bool,
    pub(super) link: Link,
    /// Which daemon that is, where there are several.
    pub(super) which: Option<String>,
    pub(super) builds: Builds,
    /// The newest first.
    pub(super) changes: VecDeque<Change>,
    /// The oldest first, by the target's label: when, and how long it took.
    latencies: BTreeMap<String, VecDeque<(u64, u64)>>,
    pub(super) log: Option<Log>,
    pub(super) mode: Mode,
    pub(super) filter: String,
    /// The label of the one that is selected: its place may change.
    selected: Option<String>,
    /// How many lines of what is told of it are above the window.
    pub(super) scroll: usize,
    /// What the last key came to; nothing once the next is pressed.
    pub(super) message: String,
}

/// Who is there to tell.
pub(super) enum Link {
    /// Nobody was asked yet.
    Looking,
    NoBus,
    NoDaemon,
    Here(Box<Snapshot>),
}

/// What the keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Show,
    Filter,
    Help,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// When, in microseconds of `CLOCK_REALTIME`.
    pub(super) at: u64,
    /// Whose: `builder/desktop`.
    pub(super) label: String,
    pub(super) state: TargetState,
    /// What it became: `down, connection refused`.
    pub(super) text: String,
}

/// The log of a test build.
pub(super) struct Log {
    pub(super) label: String,
    pub(super) start: u64,
    pub(super) lines: VecDeque<Printable>,
    /// How it ended.
    pub(super) end: Option<String>,
}

impl Log {
    pub(super) fn new(label: String, start: u64) -> Self {
        Self {
            label,
            start,
            lines: VecDeque::new(),
            end: None,
        }
    }
}

impl Model {
    pub(super) fn new(colour: bool, ascii: bool) -> Self {
        Self {
            colour,
            ascii,
            link: Link::Looking,
            which: None,
            builds: Builds::default(),
            changes: VecDeque::new(),
            latencies: BTreeMap::new(),
            log: None,
            mode: Mode::Show,
            filter: String::new(),
            selected: None,
            scroll: 0,
            message: String::new(),
        }
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        match &self.link {
            Link::Here(snapshot) => Some(snapshot),
            Link::Looking | Link::NoBus | Link::NoDaemon => None,
        }
    }

    /// Takes what the daemon knows now.
    pub(super) fn observe(&mut self, snapshot: Snapshot) {
        let before = match std::mem::replace(&mut self.link, Link::Looking) {
            Link::Here(before) => Some(before),
            Link::Looking | Link::NoBus | Link::NoDaemon => None,
        };
        for target in &snapshot.targets {
            self.observe_latency(target);
            if before.is_some() && target.state_change_timestamp != 0 {
                self.changed(Change {
                    at: target.state_change_timestamp,
                    label: target.label(),
                    state: target.state,
                    text: became(target),
                });
            }
        }
        self.latencies
            .retain(|label, _| snapshot.targets.iter().any(|t| t.label() == *label));
        self.link = Link::Here(Box::new(snapshot));
    }

    /// There is no daemon any more, or no bus.
    pub(super) fn lose(&mut self, link: Link, now: u64) {
        if self.snapshot().is_some() {
            self.changed(Change {
                at: now,
                label: "offloadd".to_owned(),
                state: TargetState::Unknown,
                text: match link {
                    Link::NoBus => tr("went away, and the bus"),
                    Link::Looking | Link::NoDaemon | Link::Here(_) => tr("went away"),
                }
                .to_owned(),
            });
        }
        self.link = link;
        self.which = None;
    }

    /// Takes what the daemon remembers of a target.
    pub(super) fn remember(&mut self, entries: Vec<(String, Kind, HistoryEntry)>) {
        for (label, kind, entry) in entries {
            let then = Target {
                kind,
                state: entry.state,
                reason: entry.reason,
                ..Target::default()
            };
            self.changed(Change {
                at: entry.timestamp,
                label,
                state: entry.state,
                text: became(&then),
            });
        }
    }

    fn changed(&mut self, change: Change) {
        let is_known = |known: &Change| known.at == change.at && known.label == change.label;
        if self.changes.iter().any(is_known) {
            return;
        }
        let place = self.changes.partition_point(|known| known.at > change.at);
        self.changes.insert(place, change);
        self.changes.truncate(CHANGES);
    }

    fn observe_latency(&mut self, target: &Target) {
        if target.latency_usec == 0 {
            return;
        }
        let latencies = self.latencies.entry(target.label()).or_default();
        let last = latencies.back().map_or(0, |(at, _)| *at);
        if target.last_success_timestamp > last {
            latencies.push_back((target.last_success_timestamp, target.latency_usec));
        }
        while latencies.len() > LATENCIES {
            latencies.pop_front();
        }
    }

    /// The latencies of a target, in microseconds, the oldest first.
    pub(super) fn latencies(&self, target: &Target) -> impl DoubleEndedIterator<Item = u64> {
        let kept = self.latencies.get(&target.label());
        kept.into_iter().flatten().map(|(_, usec)| *usec)
    }

    /// The targets that pass the filter.
    pub(super) fn shown(&self) -> Vec<&Target> {
        let wanted = self.filter.to_lowercase();
        let passes = |target: &&Target| {
            target.label().to_lowercase().contains(&wanted)
                || target.state.as_str().contains(&wanted)
        };
        let targets = self.snapshot().into_iter().flat_map(|s| s.targets.iter());
        targets.filter(passes).collect()
    }

    /// The place of the one that is selected among those that are shown: the first where it is not there.
    pub(super) fn place(&self) -> usize {
        let selected = self.selected.as_deref();
        let place = |target: &&Target| selected == Some(&target.label());
        self.shown().iter().position(place).unwrap_or_default()
    }

    pub(super) fn selected(&self) -> Option<&Target> {
        self.shown().get(self.place()).copied()
    }

    /// Selects another, so many further down.
    pub(super) fn select(&mut self, by: isize) {
        let shown = self.shown();
        let last = shown.len().saturating_sub(1);
        let place = self.place().saturating_add_signed(by).min(last);
        self.selected = shown.get(place).map(|target| target.label());
        self.scroll = 0;
    }

    pub(super) fn log_line(&mut self, line: Printable) {
        if let Some(log) = &mut self.log {
            log.lines.push_back(line);
            while log.lines.len() > LOG {
                log.lines.pop_front();
            }
        }
    }

    /// How long until an age that is shown is another: within a second while one is under a minute, else a minute.
    pub(super) fn until_older(&self, now: u64) -> Option<Duration> {
        let log = self.log.as_ref().filter(|log| log.end.is_none());
        let mut moments: Vec<u64> = self.changes.iter().map(|change| change.at).collect();
        moments.extend(log.map(|log| log.start));
        moments.extend(self.builds.iter().map(|build| build.since));
        if let Some(snapshot) = self.snapshot() {
            moments.push(snapshot.state_change_timestamp);
            moments.extend(snapshot.targets.iter().map(|t| t.state_change_timestamp));
        }
        let ages = moments.iter().filter(|at| **at != 0);
        let youngest = ages.map(|at| now.saturating_sub(*at)).min()?;
        Some(Duration::from_micros(match youngest {
            0..MINUTE => 1_000_000 - youngest % 1_000_000,
            _ => MINUTE,
        }))
    }
}

fn became(target: &Target) -> String {
    match reasons::title_for(target) {
        "" => target.word().to_owned(),
        title => format!("{}, {title}", target.word()),
    }
}

/// How a test build ended, in a few words.
pub(super) fn told(end: &End) -> String {
    let took = page::took(end.finish_timestamp.saturating_sub(end.start_timestamp));
    match end.state {
        JobState::Succeeded => say!("built there in {took}", took),
        JobState::Cancelled => say!("ended after {took}", took),
        state => match reasons::text(end.reason).title {
            "" => say!("{state} after {took}", state, took),
            title => say!("{state} after {took}: {title}", state, took, title),
        },
    }
}
