//! What a newcomer should try next.

use super::Word;

/// What was tried so far.
#[derive(Clone, Debug, Default)]
pub struct Tour {
    tried: Vec<Word>,
    broken: Option<Word>,
}

impl Tour {
    /// `word` was sent.
    pub fn tried(&mut self, word: Word) {
        self.broken = if word.heals() { None } else { Some(word) };
        if !self.tried.contains(&word) {
            self.tried.push(word);
        }
    }

    /// The next word: what mends the desktop if it is broken, else what was not tried yet. `None`
    /// when all was seen.
    pub fn next(&self) -> Option<Word> {
        if let Some(broken) = self.broken {
            return Some(broken.remedy());
        }
        let new = |word: &Word| !word.heals() && !self.tried.contains(word);
        Word::ALL.into_iter().find(new)
    }

    /// The same as a sentence.
    pub fn advice(&self) -> String {
        match self.next() {
            Some(word) => {
                format!(
                    "Next, in a second terminal: cargo practice {word}\n    ({deed})",
                    word = word.as_str(),
                    deed = word.deed()
                )
            }
            None => "That was everything. `cargo practice help` lists it all.".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_the_advice_shows_everything_and_ends_healthy() {
        let mut tour = Tour::default();
        let mut followed = Vec::new();
        while let Some(word) = tour.next() {
            tour.tried(word);
            followed.push(word);
            assert!(followed.len() < 100, "the tour never ends: {followed:?}");
        }
        for word in Word::ALL.into_iter().filter(|word| !word.heals()) {
            assert!(followed.contains(&word), "{word:?} was never advised");
        }
        assert!(followed.last().unwrap().heals());
        assert!(tour.advice().contains("everything"));
    }
}
