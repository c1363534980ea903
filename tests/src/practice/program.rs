//! The practice program: desktop, daemon and words in one loop.

use std::{collections::VecDeque, net::SocketAddr, path::Path, pin::pin, time::Duration};

use offload_client::{OverallState, Snapshot, page::Style};
use offloadd::clock::Stopwatch;
use strsim::damerau_levenshtein;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    Word,
    control::{Question, Words},
    expect,
    laptop::{self, Laptop, Way},
    narrate, place,
    tour::{STORY, Tour},
};
use crate::{Result, error::Context, fake::Desktop};

/// Verdicts that wait to be printed.
const NEWS: usize = 16;
/// A word with no more slips than these may have been meant.
const NEAR: usize = 2;
/// After this without a verdict the advice is given anyway.
const FIRST_VERDICT: Duration = Duration::from_secs(5);
/// Between the first verdict and the first advice: both targets' verdicts may come apart.
const PAUSE: Duration = Duration::from_millis(500);
/// In the tour: for the eye, between a verdict and the next thing that happens.
const READING: Duration = Duration::from_secs(4);

/// What the program does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It says what to try next, and waits for words.
    Practice,
    /// It does one thing after the other, and ends.
    Tour,
}

/// Runs until Ctrl-C, SIGTERM, the end of `daemon` or of the tour. It takes words in `runtime_dir`; what it has
/// to say goes to `say`, line by line, prose as `style` has it.
///
/// `daemon` watches the desktop, sends each snapshot, and ends when it is told to; see [`super::daemon::daemon`].
///
/// # Errors
/// When an address is taken, another practice program runs, or the daemon failed.
pub async fn run(
    mode: Mode,
    runtime_dir: &Path,
    cache: SocketAddr,
    ssh: SocketAddr,
    style: Style,
    mut say: impl FnMut(&str),
    daemon: impl AsyncFn(&Desktop, &Laptop, mpsc::Sender<Snapshot>, oneshot::Receiver<()>) -> Result<()>,
) -> Result<()> {
    place::prepare(runtime_dir)?;
    let words = Words::listen(&place::socket(runtime_dir)).await?;
    let desktop = Desktop::start(cache, ssh).await?;
    let laptop = Laptop::set_up(place::laptop(runtime_dir), Way::of_this_machine())?;
    laptop.write(&desktop, false)?;
    say(&introduction(mode, &desktop, &laptop));

    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let (sender, mut news) = mpsc::channel(NEWS);
    let start = |stop| daemon(&desktop, &laptop, sender.clone(), stop);
    let (mut stop, stopped) = oneshot::channel();
    let mut daemon = pin!(start(stopped));
    let mut question = pin!(words.next());
    let mut session = Session {
        tour: Tour::new(laptop.way()),
        story: (mode == Mode::Tour).then(|| STORY.into()),
        running: Stopwatch::start(),
        steer: None,
        last: None,
        advise_at: Some(Instant::now() + FIRST_VERDICT),
    };
    let ended = loop {
        if let Some(steered) = session.steer.take() {
            laptop.write(&desktop, steered)?;
            // Whoever has no patience for it is gone already.
            let _ = stop.send(());
            daemon.as_mut().await?;
            let (next, stopped) = oneshot::channel();
            stop = next;
            daemon.set(start(stopped));
        }
        select! {
            ended = &mut daemon => break ended,
            Some(snapshot) = news.recv() => session.tell(snapshot, &style, &mut say),
            asked = &mut question => {
                question.set(words.next());
                session.hear(asked?, &desktop, &mut say).await;
            }
            () = at(session.advise_at) => {
                session.advise_at = None;
                match session.story.as_mut().map(VecDeque::pop_front) {
                    None => say(&session.tour.advice()),
                    Some(Some(word)) => {
                        session.act(word, &desktop, &mut say).await?;
                        session.advise_at = session.advise_at.map(|at| at + READING);
                    }
                    Some(None) => {
                        say("That was the tour. `cargo practice` lets you try it yourself.");
                        break Ok(());
                    }
                }
            }
            _ = interrupt.recv() => break farewell(stop, daemon).await,
            _ = terminate.recv() => break farewell(stop, daemon).await,
        }
    };
    ended?;
    say("Practice is over.");
    Ok(())
}

/// The list of words for `cargo practice help`.
pub fn help() -> String {
    let poll = laptop::poll();
    let mut text = String::from(
        "cargo practice            the daemon beside a practice desktop; Ctrl-C ends it\n\
         cargo practice tour       the same, and shows by itself what can happen\n\
         cargo practice status     from another terminal: the page of `offloadctl`\n\
         cargo practice WORD       from another terminal: changes the desktop\n\n\
         The words, and within what time the daemon has its verdict:\n",
    );
    for word in Word::ALL {
        let expected = expect::after(word, &poll, false);
        let within = expected.within.as_secs_f64();
        text += &format!("  {:<16} {within:.1} s  {}\n", word.as_str(), word.deed());
    }
    text
}

async fn farewell(
    stop: oneshot::Sender<()>,
    daemon: impl Future<Output = Result<()>>,
) -> Result<()> {
    let _ = stop.send(());
    daemon.await
}

struct Session {
    tour: Tour,
    /// What is still to happen by itself; `None` where somebody is to try.
    story: Option<VecDeque<Word>>,
    running: Stopwatch,
    /// The daemon is to be started anew, and Nix to follow the desktop or not.
    steer: Option<bool>,
    last: Option<Snapshot>,
    advise_at: Option<Instant>,
}

impl Session {
    /// Says what is new in `snapshot`.
    fn tell(&mut self, snapshot: Snapshot, style: &Style, say: &mut impl FnMut(&str)) {
        let since = self.running.elapsed();
        for line in narrate::changes(self.last.as_ref(), &snapshot, since, style) {
            say(&line);
        }
        let judged = |snapshot: &Snapshot| snapshot.state != OverallState::Unknown;
        if judged(&snapshot) && !self.last.as_ref().is_some_and(judged) {
            self.advise_at = self.advise_at.map(|_| Instant::now() + PAUSE);
        }
        self.last = Some(snapshot);
    }

    /// Does what was asked, says so here, and answers there.
    async fn hear(&mut self, question: Question, desktop: &Desktop, say: &mut impl FnMut(&str)) {
        let Some(word) = Word::parse(&question.word) else {
            let answer = unknown(&question.word);
            return question.answer(&answer).await;
        };
        if let Some(objection) = self.tour.objection(word) {
            return question.answer(&objection).await;
        }
        let answer = match self.act(word, desktop, say).await {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("{}: {error}", word.as_str());
                say(&text);
                text + "\n"
            }
        };
        question.answer(&answer).await;
    }

    /// Does `word`, says so here, and returns what there is to say of it elsewhere.
    async fn act(
        &mut self,
        word: Word,
        desktop: &Desktop,
        say: &mut impl FnMut(&str),
    ) -> Result<String> {
        word.apply(desktop).await?;
        let (before, followed) = (self.tour.broken(), self.tour.follows());
        self.tour.tried(word);
        if self.tour.follows() != followed {
            self.steer = word.steers();
        }
        let expect = |word| expect::after(word, &laptop::poll(), followed);
        let expected = expect(word);
        let (mut seen, mut within) = (expected.seen.to_owned(), expected.within);
        match before {
            // A desktop that is not there moves unseen.
            Some(broken) if self.tour.broken() == Some(broken) => {
                seen = format!("`{}` goes on there.", broken.as_str());
                within = within.max(expect(broken).within);
            }
            Some(broken) if !word.heals() => {
                seen = format!(
                    "`{}` is over: one thing is broken at a time.\n{seen}",
                    broken.as_str()
                );
            }
            _ => {}
        }
        self.advise_at = Some(Instant::now() + within);
        let stamp = narrate::stamp(self.running.elapsed());
        say(&format!("{stamp}> {}: {}", word.as_str(), word.deed()));
        let within = within.as_secs_f64();
        Ok(format!(
            "Done: {}.\n{seen}\nWithin {within:.1} s.\n",
            word.deed()
        ))
    }
}

/// What is answered to a word that is none.
pub fn unknown(word: &str) -> String {
    let nearest = Word::ALL
        .into_iter()
        .map(|known| (damerau_levenshtein(word, known.as_str()), known))
        .min_by_key(|(distance, _)| *distance);
    // Whatever was sent is shown with its control characters escaped.
    let mut text = format!("{word:?} is no word of the practice desktop");
    match nearest {
        Some((distance, known)) if distance <= NEAR => {
            text += &format!(": did you mean `{}`?\n", known.as_str());
        }
        _ => text += ".\n",
    }
    text + "`cargo practice help` lists them all.\n"
}

fn introduction(mode: Mode, desktop: &Desktop, laptop: &Laptop) -> String {
    let next = match mode {
        Mode::Practice => {
            "In a second terminal `cargo practice status` shows the page of `offloadctl`."
        }
        Mode::Tour => "It does by itself what `cargo practice` has you do: two minutes.",
    };
    format!(
        "A practice desktop is up: its cache at {}, its builder at {}.\n\
         The laptop's own files are in {}.\n\
         offloadd watches both; its verdicts follow. Ctrl-C ends it all.\n{next}",
        desktop.cache.address(),
        desktop.ssh.address(),
        laptop.directory().display(),
    )
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
