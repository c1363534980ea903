//! What everybody may know of the jobs: one board, written by the jobs, read by the bus.

use std::collections::{BTreeMap, VecDeque};

use offload_client::{JobState, Printable, Reason};

use crate::target::TargetId;

/// How many lines of a job's output are kept.
pub const MAX_LINES: usize = 1000;
/// How many bytes of them.
const MAX_KEPT: usize = 64 * 1024;
/// How many bytes of a job's output are told at all. A test build has some hundred.
const MAX_TOLD: usize = 1024 * 1024;
/// How many jobs that have ended are kept.
const MAX_FINISHED: usize = 16;

/// The jobs under way, and the last ones that ended.
#[derive(Debug, Default)]
pub struct Board {
    jobs: BTreeMap<u32, Job>,
}

/// One job as it can be read. Timestamps are microseconds of `CLOCK_REALTIME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The builder it is for.
    pub builder: TargetId,
    /// Who asked for it.
    pub uid: u32,
    /// What became of it.
    pub state: JobState,
    /// Why it failed.
    pub reason: Reason,
    /// When it began.
    pub started: u64,
    /// When it ended; 0 while it is running.
    pub finished: u64,
}

/// One job.
#[derive(Debug)]
pub struct Job {
    /// All but its output.
    pub status: Status,
    /// What it printed.
    pub output: Transcript,
}

/// The last [`MAX_LINES`] lines that a job printed, fewer where they are long.
#[derive(Debug, Default)]
pub struct Transcript {
    lines: VecDeque<Printable>,
    /// The bytes of those.
    kept: usize,
    /// The bytes of all lines.
    told: usize,
    /// How many lines there were before those.
    dropped: u64,
}

impl Board {
    /// A job, while it is kept.
    pub fn get(&self, number: u32) -> Option<&Job> {
        self.jobs.get(&number)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Job)> {
        self.jobs.iter().map(|(number, job)| (*number, job))
    }

    /// Puts a job up, and takes down the oldest ones that ended: that needs no timer.
    pub(crate) fn begin(&mut self, number: u32, status: Status) {
        let output = Transcript::default();
        self.jobs.insert(number, Job { status, output });
        let ended = |job: &Job| job.status.state != JobState::Running;
        let mut extra = self.jobs.values().filter(|job| ended(job)).count();
        while extra > MAX_FINISHED {
            let oldest = self.iter().find(|(_, job)| ended(job));
            let Some(oldest) = oldest.map(|(number, _)| number) else {
                return;
            };
            self.jobs.remove(&oldest);
            extra -= 1;
        }
    }

    /// Adds a line to a job's output.
    pub(crate) fn print(&mut self, number: u32, line: Printable) {
        if let Some(job) = self.jobs.get_mut(&number) {
            job.output.push(line);
        }
    }

    /// Says how a job ended.
    pub(crate) fn end(&mut self, number: u32, state: JobState, reason: Reason, at: u64) {
        if let Some(job) = self.jobs.get_mut(&number) {
            let status = &mut job.status;
            (status.state, status.reason, status.finished) = (state, reason, at);
        }
    }
}

impl Transcript {
    fn push(&mut self, line: Printable) {
        if self.told > MAX_TOLD {
            return;
        }
        self.told += line.len() + 1;
        if self.told > MAX_TOLD {
            self.keep("… and more than is worth telling".into());
        } else {
            self.keep(line);
        }
    }

    fn keep(&mut self, line: Printable) {
        self.kept += line.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.kept > MAX_KEPT {
            let Some(oldest) = self.lines.pop_front() else {
                return;
            };
            self.kept -= oldest.len();
            self.dropped += 1;
        }
    }

    /// The lines that are kept.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.lines.iter().map(Printable::as_str)
    }

    /// How many lines there were in all.
    pub fn count(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }

    /// Those that came after the first `seen`, as far as they are kept.
    pub fn after(&self, seen: u64) -> Vec<Printable> {
        let skip = usize::try_from(seen.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.lines.iter().skip(skip).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: JobState) -> Status {
        Status {
            builder: TargetId::builder("desktop"),
            uid: 0,
            state,
            reason: Reason::None,
            started: 1,
            finished: 0,
        }
    }

    #[test]
    fn only_the_last_lines_are_kept_and_none_is_told_twice() {
        let mut output = Transcript::default();
        for line in 0..MAX_LINES + 10 {
            output.push(line.to_string().into());
        }
        assert_eq!(output.lines().count(), MAX_LINES);
        assert_eq!(output.lines().next().unwrap(), "10");
        assert_eq!(output.count(), MAX_LINES as u64 + 10);
        let new = output.after(MAX_LINES as u64 + 8);
        assert_eq!(new, ["1008", "1009"]);
        assert_eq!(output.after(3).len(), MAX_LINES);
        assert!(output.after(output.count()).is_empty());
    }

    #[test]
    fn a_builder_that_prints_without_end_is_no_longer_told() {
        let mut output = Transcript::default();
        let line = Printable::from("x".repeat(1023));
        for _ in 0..3 * MAX_TOLD / 1024 {
            output.push(line.clone());
            assert!(output.lines().map(|line| line.len()).sum::<usize>() <= MAX_KEPT);
        }
        assert_eq!(output.count(), (MAX_TOLD / 1024) as u64 + 1);
        let last = output.lines().next_back().unwrap();
        assert_eq!(last, "… and more than is worth telling");
    }

    #[test]
    fn old_jobs_make_room_and_running_ones_stay() {
        let mut board = Board::default();
        board.begin(1, status(JobState::Running));
        for number in 2..40 {
            board.begin(number, status(JobState::Running));
            board.end(number, JobState::Succeeded, Reason::None, 5);
        }
        board.begin(40, status(JobState::Running));
        assert!(board.get(1).is_some());
        assert_eq!(board.iter().count(), MAX_FINISHED + 2);
        assert!(board.get(23).is_none());
        assert!(board.get(24).is_some());
    }
}
