//! What a newcomer should try next.

use super::{Word, laptop::Way};

/// What `cargo practice tour` shows by itself, in two minutes.
pub const STORY: [Word; 18] = [
    Word::Stop,
    Word::Start,
    Word::Move,
    Word::Steer,
    Word::Back,
    Word::Unsteer,
    Word::RefuseKey,
    Word::AcceptKey,
    Word::SwapKey,
    Word::OldKey,
    Word::Portal,
    Word::Reset,
    Word::StopNixDaemon,
    Word::StartNixDaemon,
    Word::Unsign,
    Word::Reset,
    Word::Vanish,
    Word::Appear,
];

/// What was tried so far, and what is broken now: one thing at a time, and beside that the desktop may have moved.
#[derive(Clone, Debug, Default)]
pub struct Tour {
    tried: Vec<Word>,
    broken: Option<Word>,
    moved: bool,
    /// Whether Nix follows the desktop; `None` where it goes by what is declared, which is followed in any case.
    steered: Option<bool>,
}

impl Tour {
    /// Of a laptop that goes this way.
    pub fn new(way: Way) -> Self {
        Self {
            steered: (way == Way::Nix).then_some(false),
            ..Self::default()
        }
    }

    /// `word` was done.
    pub fn tried(&mut self, word: Word) {
        match word {
            Word::Move => self.moved = true,
            Word::Back => self.moved = false,
            Word::Steer | Word::Unsteer => self.steer(word),
            Word::Reset => {
                (self.broken, self.moved) = (None, false);
                self.steer(word);
            }
            word if word.heals() => self.broken = None,
            word => self.broken = Some(word),
        }
        if !self.tried.contains(&word) {
            self.tried.push(word);
        }
    }

    fn steer(&mut self, word: Word) {
        self.steered = self.steered.and(word.steers());
    }

    /// Whether a desktop that moves is followed.
    pub fn follows(&self) -> bool {
        self.steered != Some(false)
    }

    /// What is broken now.
    pub const fn broken(&self) -> Option<Word> {
        self.broken
    }

    /// Why `word` would mend nothing, and what would; `None` for what can be done.
    pub fn objection(&self, word: Word) -> Option<String> {
        let way = match (word, self.steered) {
            (Word::Steer | Word::Unsteer, None) => {
                "There is no ssh here: the laptop goes by what is declared, and follows as it is.\n"
            }
            (Word::Steer, Some(true)) => "Nix follows already.\n",
            (Word::Unsteer, Some(false)) => "Nix does go by its own files.\n",
            (Word::Steer | Word::Unsteer | Word::Back | Word::Reset, _) => return None,
            (word, _) if !word.heals() => return None,
            _ => "",
        };
        if !way.is_empty() {
            return Some(way.to_owned());
        }
        match self.broken {
            Some(broken) if broken.remedy() == word => None,
            Some(broken) => Some(format!(
                "That would mend nothing. What is broken is `{broken}`: it {deed}.\n`cargo practice {remedy}` mends that.\n",
                broken = broken.as_str(),
                deed = broken.deed(),
                remedy = broken.remedy().as_str(),
            )),
            None => Some("Nothing is broken.\n".to_owned()),
        }
    }

    /// The next word: what mends the desktop if it is broken, else what was not tried yet. `None`
    /// when all was seen.
    pub fn next(&self) -> Option<Word> {
        if let Some(broken) = self.broken {
            return Some(broken.remedy());
        }
        if self.moved && !self.follows() && !self.tried.contains(&Word::Steer) {
            return Some(Word::Steer);
        }
        if self.moved {
            return Some(Word::Back);
        }
        if self.steered == Some(true) {
            return Some(Word::Unsteer);
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
        let mut tour = Tour::new(Way::Nix);
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

    #[test]
    fn what_mends_something_else_is_not_done() {
        let mut tour = Tour::new(Way::Nix);
        assert!(
            tour.objection(Word::Thaw)
                .unwrap()
                .contains("Nothing is broken")
        );
        tour.tried(Word::Freeze);
        let objection = tour.objection(Word::AcceptKey).unwrap();
        assert!(
            objection.contains("`cargo practice thaw` mends that"),
            "{objection}"
        );
        assert_eq!(tour.objection(Word::Thaw), None);
        assert_eq!(tour.objection(Word::Reset), None);
        tour.tried(Word::Move);
        assert_eq!(tour.next(), Some(Word::Thaw));
        tour.tried(Word::Thaw);
        assert_eq!(tour.next(), Some(Word::Steer));
        assert!(tour.objection(Word::Unsteer).is_some());
        tour.tried(Word::Steer);
        assert_eq!(tour.next(), Some(Word::Back));
    }

    #[test]
    fn the_story_mends_each_thing_that_it_breaks() {
        let mut tour = Tour::new(Way::Nix);
        for word in STORY {
            assert_eq!(tour.objection(word), None, "{word:?}");
            tour.tried(word);
        }
        assert_eq!((tour.broken(), tour.moved), (None, false));
    }
}
