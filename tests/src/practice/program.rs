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
mod tests {
    use offload_client::{Kind, OverallState, TargetState, snapshot::Target};

    use super::*;
    use crate::{
        fake::Fault,
        ground::{HERE, free_address},
        practice::control::send,
    };

    fn verdict(fault: Fault) -> Snapshot {
        let ready = fault == Fault::Healthy;
        Snapshot {
            state: if ready {
                OverallState::Ready
            } else {
                OverallState::Offline
            },
            targets: vec![Target {
                name: "desktop".into(),
                kind: Kind::Builder,
                state: if ready {
                    TargetState::Ready
                } else {
                    TargetState::Down
                },
                ..Target::default()
            }]
            .into(),
            ..Snapshot::default()
        }
    }

    /// Stands in for the daemon: it judges by the switch itself.
    async fn watcher(
        desktop: &Desktop,
        _: &Laptop,
        news: mpsc::Sender<Snapshot>,
        mut stop: oneshot::Receiver<()>,
    ) -> Result<()> {
        let mut judged = None;
        while stop.try_recv().is_err() {
            let fault = desktop.ssh.fault();
            if judged.replace(fault) != Some(fault) && news.send(verdict(fault)).await.is_err() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_word_changes_the_desktop_and_the_verdict_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let runtime_dir = directory.path().join("runtime");
        let (sender, mut said) = mpsc::unbounded_channel();
        let say = move |line: &str| sender.send(line.to_owned()).unwrap();
        let any = SocketAddr::new(HERE, 0);
        let ssh = free_address().unwrap();
        let style = Style::default();
        let program = run(Mode::Practice, &runtime_dir, any, ssh, style, say, watcher);
        let mut program = pin!(program);

        let socket = place::socket(&runtime_dir);
        let newcomer = async {
            let mut until = async |part: &str| {
                while let Some(line) = said.recv().await {
                    if line.contains(part) {
                        return;
                    }
                }
                panic!("{part} was never said");
            };
            until("builder/desktop  ready").await;
            let answer = send(&socket, "stop").await.unwrap();
            assert!(answer.contains("stops the cache and sshd"), "{answer}");
            assert!(answer.contains("Within 1.5 s"), "{answer}");
            until("> stop").await;
            until("builder/desktop  down").await;
            until("overall          offline").await;
            until("cargo practice start").await;
            let unknown = send(&socket, "explode\u{1b}").await.unwrap();
            assert!(
                unknown.contains("practice help") && !unknown.contains('\u{1b}'),
                "{unknown}"
            );
            let unknown = send(&socket, "statr").await.unwrap();
            assert!(unknown.contains("did you mean `start`?"), "{unknown}");
            let refused = send(&socket, "thaw").await.unwrap();
            assert!(
                refused.contains("`cargo practice start` mends that"),
                "{refused}"
            );
            send(&socket, "start").await.unwrap();
            until("builder/desktop  ready").await;
        };
        let together = async {
            select! {
                () = newcomer => {}
                ended = &mut program => panic!("the program ended: {ended:?}"),
            }
        };
        tokio::time::timeout(Duration::from_secs(20), together)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn the_daemons_end_is_the_programs_end() {
        let directory = tempfile::tempdir().unwrap();
        let any = SocketAddr::new(HERE, 0);
        let ended = run(
            Mode::Practice,
            directory.path(),
            any,
            any,
            Style::default(),
            |_| {},
            async |_, _, _, _| Err(crate::Error::Unsupported("no bus".into())),
        );
        assert!(ended.await.unwrap_err().to_string().contains("no bus"));
        assert!(!place::socket(directory.path()).exists());
    }

    #[test]
    fn help_lists_every_word() {
        let help = help();
        for word in Word::ALL {
            assert!(help.contains(word.as_str()), "{word:?}");
        }
        for line in help.lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
