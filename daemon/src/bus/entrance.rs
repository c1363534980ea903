//! Where calls come in: a call that is too much is refused before zbus makes a task of it, and the others are handed
//! to it one after the other.
//!
//! Nobody waits here for what only another needs. Until the bus has said whose a connection is, its calls are kept
//! aside; and a call that is answered at once has its turn, of each user one ([`Turns`]), when the answer before it
//! is on its way: so no more than one answer, however long, is before any other.
//!
//! The daemon's own questions go over a second connection: on this one their answers would come after a storm.
//! `abuse` in `tests/` sends storms to dbus-daemon and to dbus-broker, and the same to a service that does nothing:
//! what that one's callers wait, the bus makes them wait.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::pending,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet, time::sleep};
use zbus::{
    Connection, Message,
    message::{Flags, Header},
};

use super::{
    callers::Callers,
    gate::{Ask, Owner, Refusal, Weight},
    refusals::RefusedCall,
    turns::Turns,
};

/// How many bytes of calls are kept for a connection that nobody knows yet,
const EACH: usize = 16 * 1024;
/// and for all of them.
const ALL: usize = 4 * 1024 * 1024;
/// How long an answer may be on its way before the next call has its turn all the same: some calls get none.
const TURN: Duration = Duration::from_secs(1);

/// Calls on their way in.
#[derive(Debug)]
pub(super) struct Entrance {
    /// Over which the bus is asked who calls.
    asking: Connection,
    callers: Arc<Callers>,
    refused: mpsc::Sender<RefusedCall>,
    /// Calls over connections of which the bus is asked whose they are,
    unidentified: HashMap<Box<str>, Vec<Message>>,
    /// how many bytes they are,
    held: usize,
    /// and the questions.
    questions: JoinSet<(Box<str>, Result<Owner, Refusal>)>,
    turns: Turns<Message>,
    /// When the one whose turn it is has had its time.
    until: Duration,
}

impl Entrance {
    pub(super) fn new(
        asking: Connection,
        callers: Arc<Callers>,
        refused: mpsc::Sender<RefusedCall>,
    ) -> Self {
        Self {
            asking,
            callers,
            refused,
            unidentified: HashMap::new(),
            held: 0,
            questions: JoinSet::new(),
            turns: Turns::default(),
            until: Duration::ZERO,
        }
    }

    /// Takes a call that came in.
    pub(super) fn take(&mut self, call: Message) {
        let header = call.header();
        let Some(sender) = header.sender() else {
            // A bus says of each call who sent it.
            return;
        };
        match self.callers.with(|gate| gate.owner(sender)) {
            Some(owner) => self.enter(owner, call),
            None => {
                let sender = Box::from(sender.as_str());
                self.hold(sender, call);
            }
        }
    }

    /// Refuses a call that is too long.
    pub(super) fn refuse_long(&self, call: &Message) {
        self.refuse(call, Refusal::TooLong);
    }

    /// The call whose turn it is.
    pub(super) fn next(&mut self) -> Option<Message> {
        let now = self.callers.now();
        if now < self.until && !self.callers.with(|gate| gate.is_idle()) {
            return None;
        }
        let call = self.turns.pop()?;
        let header = call.header();
        let member = header.member().map_or("", |member| member.as_str());
        if let (Some(sender), true) = (header.sender(), is_answered_at_once(&header, member)) {
            let serial = header.primary().serial_num().get();
            self.callers
                .with(|gate| gate.give_turn(sender.as_str(), serial));
            self.until = now + TURN;
        }
        Some(call)
    }

    /// Waits until [`Self::next`] may have one. Whoever stops waiting loses nothing.
    pub(super) async fn wait(&mut self) {
        let left = self.until.saturating_sub(self.callers.now());
        let turn = async {
            if self.turns.is_empty() {
                return pending().await;
            }
            tokio::select! {
                () = self.callers.over() => {}
                () = sleep(left) => {}
            }
        };
        let questions = &mut self.questions;
        let question = async {
            match questions.join_next().await {
                Some(Ok(answer)) => answer,
                // Nothing is asked, or the runtime ends.
                Some(Err(_)) | None => pending().await,
            }
        };
        tokio::select! {
            biased;
            (sender, owner) = question => self.settle(&sender, owner),
            () = turn => {}
        }
    }

    /// Keeps the call of a connection that nobody knows yet, and asks whose it is.
    fn hold(&mut self, sender: Box<str>, call: Message) {
        let bytes = call.data().len();
        if self.held + bytes > ALL {
            return self.refuse(&call, Refusal::Unknown);
        }
        match self.unidentified.entry(sender) {
            Entry::Occupied(mut calls) => {
                let before: usize = calls.get().iter().map(|call| call.data().len()).sum();
                if before + bytes > EACH {
                    return self.refuse(&call, Refusal::Unknown);
                }
                calls.get_mut().push(call);
            }
            Entry::Vacant(none) => {
                let sender = none.key().clone();
                let (callers, asking) = (self.callers.clone(), self.asking.clone());
                self.questions.spawn(async move {
                    let owner = callers.owner(&asking, &sender).await;
                    (sender, owner.map_err(|_| Refusal::Unknown))
                });
                none.insert(vec![call]);
            }
        }
        self.held += bytes;
    }

    /// The bus said whose a connection is, or has not.
    fn settle(&mut self, sender: &str, owner: Result<Owner, Refusal>) {
        for call in self.unidentified.remove(sender).unwrap_or_default() {
            self.held -= call.data().len();
            match owner {
                Ok(owner) => self.enter(owner, call),
                Err(why) => self.refuse(&call, why),
            }
        }
    }

    /// Lets a call in, or refuses it; nobody is told who has gone.
    fn enter(&mut self, owner: Owner, call: Message) {
        let Some(uid) = owner else {
            return;
        };
        let header = call.header();
        let (Some(sender), Some(member)) = (header.sender(), header.member()) else {
            return;
        };
        let now = self.callers.now();
        let ask = Ask {
            weight: Weight::of(member),
            bytes: call.data().len(),
            wants_answer: wants_answer(&header),
        };
        let key = (sender.as_str(), header.primary().serial_num().get());
        let refusal = self
            .callers
            .with(|gate| gate.enter(now, uid, key, ask).err());
        match refusal {
            Some(why) => self.refuse(&call, why),
            None => self.turns.push(uid, call),
        }
    }

    fn refuse(&self, call: &Message, why: Refusal) {
        let header = call.header();
        let Some(sender) = header.sender().filter(|_| wants_answer(&header)) else {
            return;
        };
        let refused = RefusedCall {
            sender: sender.as_str().into(),
            serial: header.primary().serial_num(),
            why,
        };
        // One too many gets no answer at all: to wait for room would be to let everybody wait.
        let _ = self.refused.try_send(refused);
    }
}

fn wants_answer(header: &Header<'_>) -> bool {
    let flags = header.primary().flags();
    !flags.contains(Flags::NO_REPLY_EXPECTED)
}

/// Whether the answer to a call waits for nobody else.
fn is_answered_at_once(header: &Header<'_>, member: &str) -> bool {
    let waits = matches!(
        member,
        "Check" | "Discover" | "Wake" | "Pause" | "Resume" | "TestBuild" | "Cancel"
    );
    !waits && wants_answer(header)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use zbus::{Guid, connection::Builder};

    use super::*;
    use crate::bus::refusals;

    /// An entrance, whom it tells, and a bus that never says who calls.
    async fn entrance() -> (Entrance, mpsc::Receiver<RefusedCall>, Connection) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let bus = Builder::unix_stream(theirs).server(Guid::generate()).p2p();
        let asking = Builder::unix_stream(ours).p2p();
        let (asking, bus) = tokio::try_join!(asking.build(), bus.build()).unwrap();
        let (refused, refusals) = refusals::queue();
        let entrance = Entrance::new(asking, Arc::default(), refused);
        (entrance, refusals, bus)
    }

    fn call(sender: &'static str, member: &'static str, body: &str) -> Message {
        let call = Message::method_call("/", member).sender(sender);
        call.build(&body).unwrap()
    }

    fn sender(call: Option<Message>) -> Option<String> {
        Some(call?.header().sender()?.to_string())
    }

    #[tokio::test]
    async fn who_is_known_does_not_wait_for_who_is_not() {
        let (mut entrance, _refusals, _bus) = entrance().await;
        entrance.callers.with(|gate| gate.learn(":1.2", Some(7)));
        entrance.take(call(":1.1", "Get", ""));
        assert!(entrance.next().is_none(), "nobody has said whose it is");
        entrance.take(call(":1.2", "Get", ""));
        assert_eq!(sender(entrance.next()).as_deref(), Some(":1.2"));
        // The bus said it.
        entrance.settle(":1.1", Ok(Some(8)));
        entrance.callers.with(|gate| gate.give_turn("", 0));
        entrance.until = Duration::ZERO;
        assert_eq!(sender(entrance.next()).as_deref(), Some(":1.1"));
        assert_eq!(entrance.held, 0);
    }

    #[tokio::test]
    async fn of_unidentified_callers_no_more_is_kept_than_a_share() {
        let (mut entrance, mut refusals, _bus) = entrance().await;
        let long = "x".repeat(1000);
        for _ in 0..100 {
            entrance.take(call(":1.1", "Get", &long));
        }
        assert!(entrance.held <= EACH);
        assert_eq!(entrance.questions.len(), 1);
        assert_eq!(refusals.len(), 100 - entrance.unidentified[":1.1"].len());
        assert_eq!(refusals.recv().await.unwrap().why, Refusal::Unknown);
        entrance.settle(":1.1", Ok(None));
        assert_eq!((entrance.held, entrance.next().is_none()), (0, true));
    }

    #[tokio::test]
    async fn the_next_has_its_turn_when_the_answer_before_it_is_written() {
        let (mut entrance, _refusals, _bus) = entrance().await;
        for (name, uid) in [(":1.1", 7), (":1.2", 8)] {
            entrance.callers.with(|gate| gate.learn(name, Some(uid)));
        }
        // What waits for somebody else takes no turn.
        entrance.take(call(":1.1", "Check", ""));
        assert!(entrance.next().is_some());
        let storm = [0; 3].map(|_| call(":1.1", "Describe", ""));
        let first = storm[0].header().primary().serial_num().get();
        for call in storm {
            entrance.take(call);
        }
        entrance.take(call(":1.2", "Get", ""));
        assert_eq!(sender(entrance.next()).as_deref(), Some(":1.1"));
        assert!(entrance.next().is_none());
        entrance.callers.answered(":1.1", first, 100_000);
        entrance.wait().await;
        assert_eq!(sender(entrance.next()).as_deref(), Some(":1.2"));
    }
}
