//! What a run comes to.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use super::cost::Life;

/// So much of what happened before is told of a wrong sample.
const STORY: usize = 40;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) samples: u64,
    pub(super) wrong: u64,
    /// Truths that were not published in time.
    pub(super) missed: u64,
    /// By what happened: how often, and the longest time until it was published.
    pub(super) injected: BTreeMap<&'static str, (u64, Duration)>,
    pub(super) lives: Vec<Life>,
    /// How late this program itself was at the most: how busy the machine is.
    pub(super) lateness: Duration,
    pub(super) stories: Vec<String>,
    recent: VecDeque<String>,
}

impl Report {
    /// Whether the daemon told the truth, in time, and did not grow.
    pub fn is_good(&self) -> bool {
        self.wrong == 0 && self.missed == 0 && self.growth().is_empty()
    }

    pub(super) fn happened(&mut self, at: Duration, what: impl fmt::Display) {
        if self.recent.len() == STORY {
            self.recent.pop_front();
        }
        let line = format!("{:9.3} s  {what}", at.as_secs_f64());
        self.recent.push_back(line);
    }

    pub(super) fn inject(&mut self, name: &'static str) {
        self.injected.entry(name).or_default().0 += 1;
    }

    pub(super) fn took(&mut self, name: &'static str, latency: Duration) {
        let (_, longest) = self.injected.entry(name).or_default();
        *longest = latency.max(*longest);
    }

    /// The whole story of something wrong: what happened to this target, and to the laptop.
    pub(super) fn tell(&mut self, at: Duration, label: &str, what: &str) {
        let concerns = |line: &&String| line.contains(label) || !line.contains('/');
        let recent = self.recent.iter().filter(concerns);
        let recent: Vec<String> = recent.map(|line| format!("    {line}")).collect();
        let story = format!("{:.3} s: {what}\n{}", at.as_secs_f64(), recent.join("\n"));
        self.stories.push(story);
    }

    pub(super) fn life(&mut self) -> Option<&mut Life> {
        self.lives.last_mut()
    }

    fn growth(&self) -> Vec<String> {
        self.lives.iter().flat_map(Life::growth).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for story in &self.stories {
            writeln!(f, "WRONG at {story}")?;
        }
        let faults: u64 = self.injected.values().map(|(count, _)| count).sum();
        writeln!(f, "injected:            {faults}")?;
        writeln!(f, "samples:             {}", self.samples)?;
        writeln!(f, "wrong samples:       {}", self.wrong)?;
        writeln!(f, "missed transitions:  {}", self.missed)?;
        for (name, (count, longest)) in &self.injected {
            write!(f, "  {name:36} {count:5} times")?;
            if longest.is_zero() {
                writeln!(f)?;
            } else {
                writeln!(f, ", longest latency {:6.3} s", longest.as_secs_f64())?;
            }
        }
        for (number, life) in self.lives.iter().enumerate() {
            let number = number + 1;
            let Some(first) = life.first else {
                writeln!(f, "life {number}: ended before it came to rest")?;
                continue;
            };
            writeln!(
                f,
                "life {number}: memory {} KiB at first, {} at the end, {} at the most; \
                 descriptors {}, {}, {}; children {}, {}, {}",
                first.memory,
                life.last.memory,
                life.peak.memory,
                first.descriptors,
                life.last.descriptors,
                life.peak.descriptors,
                first.children,
                life.last.children,
                life.peak.children,
            )?;
        }
        for growth in self.growth() {
            writeln!(f, "GROWTH: {growth}")?;
        }
        let lateness = self.lateness.as_secs_f64();
        writeln!(f, "this machine was late by {lateness:.3} s at the most")?;
        write!(
            f,
            "soak: {}",
            if self.is_good() { "good" } else { "NOT GOOD" }
        )
    }
}
