//! How much one user, and all together, may ask for at once and as time goes by: what is beyond that is refused
//! before anything is done for it.
//!
//! Callers are told apart by uid, since anybody can have many connections. The bus says whose a connection is. A
//! unique name is never given out twice (D-Bus specification, "Message Bus Names"), so what was learnt of one
//! stays true.

mod weight;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

pub(super) use self::weight::Weight;
use self::weight::{cost, pages};

/// What the calls of one user that wait for an answer may weigh: thirty-two that need work.
const EACH: u32 = 32 * Weight::Work.units();
/// And those of all: fewer than dbus-daemon lets wait for answers of other services, polkit among them.
const ALL: u32 = 120 * Weight::Work.units();
/// What a user may ask for in one go, once nothing was asked for a while.
const BURST: u32 = 2048;
/// How many unique names are remembered.
const NAMES: usize = 1024;
/// How many users' accounts are kept while they matter to nobody.
const ACCOUNTS: usize = 64;
/// How long a call counts that wants no answer: nobody learns when it is over.
const SILENT: Duration = Duration::from_secs(10);

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The user has had their share of calls under way.
    #[error("too many calls of this user wait for their answer")]
    UserBusy,
    /// Nobody gets more.
    #[error("too many calls wait for their answer")]
    Busy,
    /// The user has had their share for now.
    #[error("this user asks too often")]
    TooOften,
    /// No method takes as much.
    #[error("no call takes as much")]
    TooLong,
    /// The bus has not said whose the connection is.
    #[error("the caller is not known: the bus does not say")]
    Unknown,
}

/// Who is in, and who was there lately.
#[derive(Debug, Default)]
pub(super) struct Gate {
    names: HashMap<Box<str>, Name>,
    /// Counts up, so that the name that was used longest ago is known.
    uses: u64,
    /// By uid.
    accounts: HashMap<u32, Account>,
    /// Those under way, by who sent them and their serial number.
    calls: HashMap<(Box<str>, u32), Call>,
    /// Those of them that nobody will say the end of, and until when they count.
    silent: VecDeque<(Duration, (Box<str>, u32))>,
    weight: u32,
    /// That one of them whose turn it is to be answered.
    turn: Option<(Box<str>, u32)>,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) weight: Weight,
    /// The length of the message.
    pub(super) bytes: usize,
    pub(super) wants_answer: bool,
}

/// Whose a connection is; who has gone is nobody.
pub(super) type Owner = Option<u32>;

#[derive(Debug)]
struct Name {
    owner: Owner,
    used: u64,
}

#[derive(Debug, Default)]
struct Account {
    /// Of the calls under way.
    weight: u32,
    /// When all of [`BURST`] is there again.
    full_at: Duration,
}

#[derive(Debug)]
struct Call {
    uid: u32,
    weight: u32,
}

impl Gate {
    /// Lets the call `serial` of the connection `sender`, which is `uid`'s, in at `now`; it is in until
    /// [`Self::answered`].
    ///
    /// # Errors
    /// It is to be refused.
    pub(super) fn enter(
        &mut self,
        now: Duration,
        uid: u32,
        (sender, serial): (&str, u32),
        ask: Ask,
    ) -> Result<(), Refusal> {
        self.expire(now);
        let units = ask.weight.units() + pages(ask.bytes);
        if self.weight + units > ALL {
            return Err(Refusal::Busy);
        }
        let account = self.accounts.entry(uid).or_default();
        if account.weight + units > EACH {
            return Err(Refusal::UserBusy);
        }
        let full_at = account.full_at.max(now).saturating_add(cost(units));
        if full_at.saturating_sub(now) > cost(BURST) {
            return Err(Refusal::TooOften);
        }
        let key = (Box::from(sender), serial);
        let call = Call { uid, weight: units };
        // A number that is used twice says nothing of which call an answer ends.
        if self.calls.contains_key(&key) {
            return Err(Refusal::UserBusy);
        }
        account.full_at = full_at;
        account.weight += units;
        self.weight += units;
        if !ask.wants_answer {
            self.silent.push_back((now + SILENT, key.clone()));
        }
        self.calls.insert(key, call);
        if self.accounts.len() > ACCOUNTS {
            self.accounts
                .retain(|_, account| account.weight > 0 || account.full_at > now);
        }
        Ok(())
    }

    /// The call was answered with so many bytes at `now`.
    pub(super) fn answered(&mut self, now: Duration, (sender, serial): (&str, u32), bytes: usize) {
        let Some(uid) = self.leave(sender, serial) else {
            return;
        };
        if let Some(account) = self.accounts.get_mut(&uid) {
            let cost = cost(pages(bytes));
            account.full_at = account.full_at.max(now).saturating_add(cost);
        }
    }

    /// It is the turn of this call to be answered.
    pub(super) fn give_turn(&mut self, sender: &str, serial: u32) {
        self.turn = Some((sender.into(), serial));
    }

    /// Whether it is nobody's turn.
    pub(super) fn is_idle(&self) -> bool {
        self.turn.is_none()
    }

    /// The call is over; whose it was.
    fn leave(&mut self, sender: &str, serial: u32) -> Option<u32> {
        let key = (Box::from(sender), serial);
        let call = self.calls.remove(&key)?;
        self.turn.take_if(|turn| *turn == key);
        self.weight -= call.weight;
        if let Some(account) = self.accounts.get_mut(&call.uid) {
            account.weight -= call.weight;
        }
        Some(call.uid)
    }

    /// Whose connection `sender` is, where that is known.
    pub(super) fn owner(&mut self, sender: &str) -> Option<Owner> {
        self.uses += 1;
        let name = self.names.get_mut(sender)?;
        name.used = self.uses;
        Some(name.owner)
    }

    /// The bus said whose connection `sender` is.
    pub(super) fn learn(&mut self, sender: &str, owner: Owner) {
        if self.names.len() >= NAMES && !self.names.contains_key(sender) {
            let oldest = self.names.iter().min_by_key(|(_, name)| name.used);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.names.remove(&oldest);
            }
        }
        self.uses += 1;
        let used = self.uses;
        self.names.insert(sender.into(), Name { owner, used });
    }

    /// Takes those for over that nobody says the end of.
    fn expire(&mut self, now: Duration) {
        while self.silent.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, (sender, serial))) = self.silent.pop_front() {
                self.leave(&sender, serial);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{weight::PAGE, *};

    const NOW: Duration = Duration::from_secs(1000);

    fn asked(weight: Weight) -> Ask {
        Ask {
            weight,
            bytes: 200,
            wants_answer: true,
        }
    }

    fn ask(
        gate: &mut Gate,
        now: Duration,
        uid: u32,
        serial: u32,
        weight: Weight,
    ) -> Result<(), Refusal> {
        gate.enter(now, uid, (&format!(":1.{uid}"), serial), asked(weight))
    }

    /// Lets `uid` ask until it is refused: how often it was let in, and why it was refused.
    fn storm(gate: &mut Gate, now: Duration, uid: u32, weight: Weight) -> (u32, Refusal) {
        for serial in 1..1_000_000 {
            if let Err(refusal) = ask(gate, now, uid, serial, weight) {
                return (serial - 1, refusal);
            }
        }
        panic!("it is never refused");
    }

    #[test]
    fn a_user_who_asks_for_much_at_once_is_refused_and_others_are_not() {
        let mut gate = Gate::default();
        assert_eq!(
            storm(&mut gate, NOW, 7, Weight::Work),
            (32, Refusal::UserBusy)
        );
        // Over another connection too.
        let other = |gate: &mut Gate| gate.enter(NOW, 7, (":2.7", 1), asked(Weight::Light));
        assert_eq!(other(&mut gate), Err(Refusal::UserBusy));
        assert_eq!(ask(&mut gate, NOW, 8, 1, Weight::Work), Ok(()));
        gate.leave(":1.7", 32);
        assert_eq!(other(&mut gate), Ok(()));
    }

    #[test]
    fn all_together_have_an_end_too() {
        let mut gate = Gate::default();
        let storms = (1..100).map(|uid| storm(&mut gate, NOW, uid, Weight::Work).0);
        assert_eq!(storms.sum::<u32>(), 120);
        let refused = ask(&mut gate, NOW, 200, 1, Weight::Light);
        assert_eq!(refused, Err(Refusal::Busy));
    }

    #[test]
    fn who_asks_too_often_gets_some_of_it_back_as_time_goes_by() {
        let mut gate = Gate::default();
        let mut let_in = |now, count: u32| {
            let entered = |serial: &u32| {
                let entered = ask(&mut gate, now, 7, *serial, Weight::Light);
                gate.leave(":1.7", *serial);
                entered.is_ok()
            };
            (1..=count).filter(entered).count()
        };
        assert_eq!(let_in(NOW, 10_000), BURST as usize);
        assert_eq!(let_in(NOW + Duration::from_millis(500), 10_000), 1000);
        let tomorrow = NOW + Duration::from_secs(86_400);
        assert_eq!(let_in(tomorrow, 10_000), BURST as usize);
    }

    #[test]
    fn who_gets_much_gets_it_less_often() {
        let mut gate = Gate::default();
        let much = 256 * PAGE;
        let mut answers = 0;
        while ask(&mut gate, NOW, 7, 1, Weight::Work).is_ok() {
            gate.answered(NOW, (":1.7", 1), much);
            answers += 1;
        }
        assert_eq!(answers, 8);
        assert_eq!(ask(&mut gate, NOW, 8, 1, Weight::Work), Ok(()));
        let later = NOW + Duration::from_secs(1);
        assert_eq!(ask(&mut gate, later, 7, 1, Weight::Work), Ok(()));
    }

    #[test]
    fn who_wants_no_answer_counts_for_a_while() {
        let mut gate = Gate::default();
        let ask = Ask {
            wants_answer: false,
            ..asked(Weight::Work)
        };
        let mut silent = |now, serial| gate.enter(now, 7, (":1.7", serial), ask);
        for serial in 1..=32 {
            assert_eq!(silent(NOW, serial), Ok(()));
        }
        assert!(silent(NOW, 33).is_err());
        assert_eq!(silent(NOW + SILENT, 33), Ok(()));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut gate = Gate::default();
        gate.learn(":2.1", Some(1));
        for uid in 0..10 * NAMES as u32 {
            gate.learn(&format!(":1.{uid}"), Some(uid));
            let owner = gate.owner(":2.1");
            assert_eq!(owner, Some(Some(1)), "who asks all the while stays");
            let now = NOW + Duration::from_secs(uid.into());
            assert_eq!(ask(&mut gate, now, uid, 1, Weight::Work), Ok(()));
            gate.leave(&format!(":1.{uid}"), 1);
        }
        assert_eq!(gate.names.len(), NAMES);
        assert!(gate.accounts.len() <= ACCOUNTS + 1);
        assert!(gate.calls.is_empty() && gate.weight == 0);
    }

    #[test]
    fn long_calls_wait_in_smaller_numbers() {
        let mut gate = Gate::default();
        let ask = Ask {
            bytes: 60_000,
            ..asked(Weight::Light)
        };
        let entered = |serial: &u32| gate.enter(NOW, 7, (":1.7", *serial), ask).is_ok();
        let bytes = (1..1000).take_while(entered).count() * ask.bytes;
        assert!(bytes < 2_500_000, "{bytes}");
    }

    #[test]
    fn a_turn_ends_with_its_call() {
        let mut gate = Gate::default();
        for serial in [1, 2] {
            assert_eq!(ask(&mut gate, NOW, 7, serial, Weight::Light), Ok(()));
        }
        assert!(gate.is_idle());
        gate.give_turn(":1.7", 1);
        gate.answered(NOW, (":1.7", 2), 100);
        assert!(!gate.is_idle());
        gate.answered(NOW, (":1.7", 1), 100);
        assert!(gate.is_idle());
    }

    #[test]
    fn a_serial_number_that_is_under_way_is_not_taken_twice() {
        let mut gate = Gate::default();
        assert_eq!(ask(&mut gate, NOW, 7, 5, Weight::Work), Ok(()));
        assert!(ask(&mut gate, NOW, 7, 5, Weight::Work).is_err());
        gate.leave(":1.7", 5);
        gate.leave(":1.7", 5);
        assert_eq!(gate.weight, 0);
    }
}
