//! `top`: everything that is known, on one screen that follows every change.
//!
//! It wakes for what happens (a key, a signal of the daemon, a slot that Nix takes), once after each check for the latency,
//! which no signal tells, and for the ages that it shows: each second while one of them is under a minute, else each minute.

mod builds;
mod follow;
mod keys;
mod model;
mod terminal;
mod view;

use std::{pin::pin, time::Duration};

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

use self::{
    follow::News,
    keys::Action,
    model::{Link, Log, Model},
    terminal::Terminal,
};
use super::{
    args::Cli,
    failure::{Failure, Outcome},
    output::{self, Output},
};
use crate::{
    Client,
    language::{say, tr},
};

/// News that wait to be shown, at the most.
const QUEUE: usize = 64;

pub(super) async fn top(cli: &Cli, output: Output) -> Result<Outcome, Failure> {
    if !output.terminal || !terminal::is_read() {
        return Err(Failure::NoTerminal);
    }
    let mut ends = Ends::listen()?;
    let (sender, news) = mpsc::channel(QUEUE);
    let client = Client::on(cli.bus.clone());
    let mut screen = Screen {
        model: Model::new(output.style.colour, output::is_ascii()),
        // From here on the terminal is ours, and its own again when this is dropped.
        terminal: Terminal::open().map_err(Failure::Output)?,
        asker: Asker {
            sender: sender.clone(),
            client: client.clone(),
            cancel: None,
        },
        cli,
    };
    tokio::select! {
        end = screen.live(news) => end,
        () = ends.any() => Ok(Outcome::Ready),
        never = follow::daemon(&client, &sender) => match never {},
        never = follow::builds(&sender) => match never {},
    }
}

/// What is shown, and where.
struct Screen<'a> {
    model: Model,
    terminal: Terminal,
    asker: Asker,
    cli: &'a Cli,
}

impl Screen<'_> {
    async fn live(&mut self, mut news: mpsc::Receiver<News>) -> Result<Outcome, Failure> {
        let mut keys = EventStream::new();
        loop {
            let now = output::now_realtime_usec();
            self.terminal
                .draw(|area, buffer| view::view(&self.model, now, area, buffer))
                .map_err(Failure::Output)?;
            let tick = pin!(tick(self.model.until_older(now)));
            tokio::select! {
                key = keys.next() => match key {
                    Some(Ok(Event::Key(key))) => match keys::press(&mut self.model, key) {
                        Some(Action::Quit) => return Ok(Outcome::Ready),
                        Some(Action::Suspend) => self.terminal.suspend().map_err(Failure::Output)?,
                        Some(action) => self.asker.act(action, &mut self.model),
                        None => {}
                    },
                    // A new size: what is drawn next has it.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(Failure::Output(error)),
                    // Nobody is at the terminal any more.
                    None => return Ok(Outcome::Ready),
                },
                item = news.recv() => {
                    let Some(item) = item else { return Err(Failure::BusGone) };
                    self.take(item, now);
                    while let Ok(item) = news.try_recv() {
                        self.take(item, now);
                    }
                }
                () = tick => {}
            }
        }
    }

    fn take(&mut self, item: News, now: u64) {
        let model = &mut self.model;
        match item {
            News::Snapshot(None) if !self.asker.client.has_bus() => model.lose(Link::NoBus, now),
            News::Snapshot(None) => model.lose(Link::NoDaemon, now),
            News::Snapshot(Some(snapshot)) => {
                let is_new = model.snapshot().is_none();
                model.observe(*snapshot);
                if is_new {
                    self.asker.ask_once(model);
                }
            }
            News::History(entries) => model.remember(entries),
            News::Which(which) => model.which = which,
            News::Builds(builds) => model.builds = builds,
            News::Line(line) => model.log_line(line),
            News::Ended(end) => {
                self.asker.cancel = None;
                let end = match end {
                    Ok(end) => model::told(&end),
                    Err(failure) => failure.sentence(self.cli).unwrap_or_default(),
                };
                if let Some(log) = &mut model.log {
                    log.end = Some(end);
                }
            }
            News::Done(done) => {
                model.message = match done {
                    Ok(sentence) => sentence,
                    Err(failure) => failure.sentence(self.cli).unwrap_or_default(),
                };
            }
        }
    }
}

/// Asks the daemon for what a key wants, beside the screen.
struct Asker {
    sender: mpsc::Sender<News>,
    client: Client,
    /// Ends the test build that is followed.
    cancel: Option<mpsc::Sender<()>>,
}

impl Asker {
    fn act(&mut self, action: Action, model: &mut Model) {
        if let Action::Cancel = action {
            // A second one changes nothing.
            let _ = self.cancel.as_ref().map(|cancel| cancel.try_send(()));
            return;
        }
        if model.snapshot().is_none() {
            tr("there is no daemon to ask").clone_into(&mut model.message);
            return;
        }
        let (client, sender) = (self.client.clone(), self.sender.clone());
        match action {
            Action::TestBuild(builder) if self.cancel.is_some() => {
                let label = builder.label();
                model.message = say!("{label}: one test build at a time", label);
            }
            Action::TestBuild(builder) => {
                let (cancel, cancelled) = mpsc::channel(1);
                self.cancel = Some(cancel);
                model.log = Some(Log::new(builder.label(), output::now_realtime_usec()));
                tokio::spawn(follow::test_build(client, builder, cancelled, sender));
            }
            Action::Check(target) => {
                tr("checking").clone_into(&mut model.message);
                tokio::spawn(follow::check(client, target, sender));
            }
            Action::Pause(pauses) => {
                tr("asking").clone_into(&mut model.message);
                tokio::spawn(follow::pause(client, pauses, sender));
            }
            Action::Quit | Action::Suspend | Action::Cancel => {}
        }
    }

    /// What a daemon that was not there before is asked.
    fn ask_once(&self, model: &Model) {
        if let Some(snapshot) = model.snapshot() {
            let targets = snapshot.targets.clone();
            let (client, sender) = (self.client.clone(), self.sender.clone());
            tokio::spawn(follow::which(client.clone(), sender.clone()));
            tokio::spawn(follow::history(client, targets, sender));
        }
    }
}

async fn tick(after: Option<Duration>) {
    match after {
        Some(after) => sleep(after).await,
        None => std::future::pending().await,
    }
}

/// The signals that end it, after which the terminal is its own again. Ctrl-C is a key here, and comes as a signal all
/// the same from who sends one.
struct Ends([Signal; 4]);

impl Ends {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::Runtime);
        Ok(Self([
            listen(SignalKind::terminate())?,
            listen(SignalKind::interrupt())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::quit())?,
        ]))
    }

    async fn any(&mut self) {
        let [terminate, interrupt, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}
