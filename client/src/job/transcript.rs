//! The lines of a job, each once and in order, out of two sources that overlap: the signals that
//! announce them, and readings of all that was printed so far.

use std::collections::VecDeque;

use crate::Printable;

/// The most lines that wait to be asked for, which is also what the daemon keeps. Of more the last
/// ones stay.
const KEPT: usize = 1000;

/// Counts: the n-th signal announces the n-th line, however early or late it comes.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// Lines that are known, given out or waiting.
    known: usize,
    /// Of the known ones, those that came by a reading and whose signals are still to come.
    ahead: VecDeque<Printable>,
    waiting: VecDeque<Printable>,
    /// Lines that were announced before there was a transcript; the first reading has them.
    before: Option<usize>,
}

impl Transcript {
    /// The transcript of a job of which so many lines were announced already.
    pub(super) fn new(announced: usize) -> Self {
        Self {
            before: Some(announced),
            ..Self::default()
        }
    }

    /// A signal announced a line.
    pub(super) fn announced(&mut self, line: Printable) {
        if let Some(before) = &mut self.before {
            *before += 1;
            return;
        }
        if self.ahead.front() == Some(&line) {
            self.ahead.pop_front();
            return;
        }
        // Those ahead were never announced, so nothing that comes now is one of them.
        self.ahead.clear();
        self.add(line);
    }

    /// A reading: all lines so far, or the last of very many.
    pub(super) fn read(&mut self, output: Vec<Printable>) {
        // Of very many lines nobody knows which the first of a reading is. What came after the ones
        // that are known has been announced by then: the daemon tells the lines before the end.
        if self.known > 0 && output.len() >= KEPT {
            return;
        }
        let announced = self.before.take();
        for (index, line) in output.into_iter().enumerate().skip(self.known) {
            if announced.is_none_or(|announced| index >= announced) {
                self.ahead.push_back(line.clone());
            }
            self.add(line);
        }
        // Lines that no reading has any more.
        self.known = self.known.max(announced.unwrap_or_default());
    }

    /// The next line to give out.
    pub(super) fn next(&mut self) -> Option<Printable> {
        self.waiting.pop_front()
    }

    fn add(&mut self, line: Printable) {
        self.known += 1;
        if self.waiting.len() == KEPT {
            self.waiting.pop_front();
        }
        self.waiting.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(transcript: &mut Transcript) -> Vec<Printable> {
        std::iter::from_fn(|| transcript.next()).collect()
    }

    fn lines(texts: &[&str]) -> Vec<Printable> {
        texts.iter().map(|text| (*text).into()).collect()
    }

    #[test]
    fn lines_that_were_announced_before_come_with_the_first_reading() {
        let mut transcript = Transcript::new(1);
        transcript.announced("b".into());
        assert_eq!(all(&mut transcript), lines(&[]));
        transcript.read(lines(&["a", "b"]));
        transcript.announced("c".into());
        assert_eq!(all(&mut transcript), lines(&["a", "b", "c"]));
    }

    #[test]
    fn lines_that_nobody_announced_are_not_waited_for() {
        let mut transcript = Transcript::new(0);
        transcript.read(lines(&["a", "b"]));
        transcript.announced("c".into());
        transcript.read(lines(&["a", "b", "c", "d"]));
        assert_eq!(all(&mut transcript), lines(&["a", "b", "c", "d"]));
    }

    #[test]
    fn of_very_many_lines_the_last_ones_wait() {
        let mut transcript = Transcript::new(0);
        transcript.read(Vec::new());
        for n in 0..KEPT + 5 {
            transcript.announced(n.to_string().into());
        }
        let left = all(&mut transcript);
        assert_eq!(left.len(), KEPT);
        assert_eq!(left.first().map(Printable::as_str), Some("5"));
    }

    #[test]
    fn a_reading_of_the_last_of_very_many_lines_adds_none() {
        let mut transcript = Transcript::new(0);
        transcript.read(lines(&["a"]));
        for n in 0..KEPT {
            transcript.announced(n.to_string().into());
        }
        assert_eq!(all(&mut transcript).len(), KEPT);
        transcript.read((1..=KEPT).map(|n| n.to_string().into()).collect());
        assert_eq!(all(&mut transcript), lines(&[]));
    }

    proptest! {
        /// The daemon prints, announces and answers in any order that keeps each of them in order;
        /// lines may be alike.
        #[test]
        fn no_line_is_lost_or_doubled(
            printed in prop::collection::vec("[ab]".prop_map(Printable::from), 0..30),
            steps in prop::collection::vec(0..3u8, 0..90),
            nameless in 0..5usize,
        ) {
            let (mut done, mut announced) = (0, 0);
            let mut transcript = None;
            let mut given = Vec::new();
            for step in steps.into_iter().chain([0; 30]).chain([1; 30]).chain([2]) {
                match step {
                    0 => done = printed.len().min(done + 1),
                    1 if announced < done => {
                        match &mut transcript {
                            None if announced + 1 >= nameless => transcript = Some(Transcript::new(announced + 1)),
                            None => {}
                            Some(transcript) => transcript.announced(printed[announced].clone()),
                        }
                        announced += 1;
                    }
                    2 => transcript.get_or_insert_with(|| Transcript::new(announced)).read(printed[..done].to_vec()),
                    _ => {}
                }
                if let Some(transcript) = &mut transcript {
                    given.extend(std::iter::from_fn(|| transcript.next()));
                }
            }
            prop_assert_eq!(given, printed);
        }
    }
}
