//! Who is answered next: one call after the other, of each user in turn.
//!
//! Whoever asks for much waits for their own answers, and others for one of theirs at most.

use std::collections::VecDeque;

/// What waits for its turn, by user.
#[derive(Debug)]
pub(super) struct Turns<T>(VecDeque<(u32, VecDeque<T>)>);

impl<T> Turns<T> {
    /// Puts `call` behind those that the user `uid` made before.
    pub(super) fn push(&mut self, uid: u32, call: T) {
        match self.0.iter_mut().find(|(user, _)| *user == uid) {
            Some((_, calls)) => calls.push_back(call),
            None => self.0.push_back((uid, [call].into())),
        }
    }

    /// Whose turn it is; the next time it is another user's, where one waits.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (uid, mut calls) = self.0.pop_front()?;
        let call = calls.pop_front();
        if !calls.is_empty() {
            self.0.push_back((uid, calls));
        }
        call
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_in_turn_and_the_calls_of_each_in_their_order() {
        let mut turns = Turns::default();
        for call in 0..100 {
            turns.push(1, (1, call));
        }
        turns.push(2, (2, 0));
        turns.push(2, (2, 1));
        let mut next = || turns.pop();
        assert_eq!(next(), Some((1, 0)));
        assert_eq!(next(), Some((2, 0)));
        assert_eq!(next(), Some((1, 1)));
        assert_eq!(next(), Some((2, 1)));
        turns.push(3, (3, 0));
        assert_eq!(turns.pop(), Some((1, 2)));
        assert_eq!(turns.pop(), Some((3, 0)));
        let rest: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(rest, (3..100).map(|call| (1, call)).collect::<Vec<_>>());
        assert!(turns.is_empty());
    }
}
