//! `test-build`: a build that proves where it ran, with its log as it comes.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    json::{self, Built},
    output::Output,
    session::{self, Session},
    spinner,
};
use crate::{
    JobState, Kind, Printable, Snapshot,
    errors::BusError,
    job::{End, Job},
    language::say,
    page::{self, Style, Tone},
    snapshot::Target,
    test_build::{self, TestBuild},
};

pub(super) async fn test_build(
    cli: &Cli,
    output: Output,
    builder: Option<&str>,
    limit: Option<Duration>,
) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let snapshot = session.snapshot().await?;
    let mut outcome = Outcome::Ready;
    for builder in builders(&snapshot, builder)? {
        let (end, lines) = follow(cli, &session, &output, builder, limit).await?;
        let after = session.snapshot().await?;
        let path = builder.path();
        let same = after.targets.iter().find(|target| target.path() == path);
        // It may have been taken out of the configuration meanwhile.
        let target = same.unwrap_or(builder);
        let build = result(target, &end);
        output.print(&if cli.json {
            json::line(&as_json(target, &build, &end, lines))?
        } else {
            page::render_test_build(target, &build, &output.style_now())
        })?;
        match end.state {
            JobState::Succeeded => {}
            // Whoever ended one wants no other.
            JobState::Cancelled => return Ok(Outcome::NotReady),
            JobState::Failed | JobState::Running | JobState::Unknown => outcome = Outcome::NotReady,
        }
    }
    Ok(outcome)
}

/// The builders that a person means; all of them without a name.
fn builders<'a>(snapshot: &'a Snapshot, name: Option<&'a str>) -> Result<Vec<&'a Target>, Failure> {
    let is_builder = |target: &&Target| target.kind == Kind::Builder;
    let known: Vec<&Target> = snapshot.targets.iter().filter(is_builder).collect();
    if known.is_empty() {
        return Err(Failure::NoBuilder);
    }
    let chosen = session::select(snapshot, name).unwrap_or_default();
    let chosen: Vec<&Target> = chosen.into_iter().filter(is_builder).collect();
    if chosen.is_empty() {
        return Err(Failure::UnknownTarget {
            name: name.unwrap_or_default().to_owned(),
            known: known.into_iter().map(Target::label).collect(),
        });
    }
    Ok(chosen)
}

/// Starts one and shows its lines until its end; with `--json` keeps them.
async fn follow(
    cli: &Cli,
    session: &Session,
    output: &Output,
    target: &Target,
    limit: Option<Duration>,
) -> Result<(End, Vec<Printable>), Failure> {
    let label = target.label();
    let start = session.client.test_build(target, limit);
    let mut job = spinner::beside(&say!("starting a test build on {label}", label), start).await?;
    let mut interrupts = Interrupts::listen()?;
    let mut kept = Vec::new();
    let mut waiting = say!("test build on {label}", label);
    let mut cancelled = false;
    loop {
        let line = tokio::select! {
            line = spinner::beside(&waiting, job.line()) => line.map_err(midway)?,
            () = interrupts.next() => {
                if cancelled {
                    return Err(Failure::Interrupted);
                }
                cancelled = true;
                waiting = say!("ending the test build on {label}", label);
                // Where standard error is closed nobody wants to read it.
                let told = say!("{waiting}; once more leaves it to itself", waiting);
                let _ = writeln!(io::stderr(), "{told}");
                cancel(&mut job, &mut interrupts).await?;
                continue;
            }
        };
        match line {
            Some(line) if cli.json => kept.push(line),
            Some(line) => output.print(&shown(&line, &output.style))?,
            None => break,
        }
    }
    let end = job.end();
    let end = end.ok_or_else(|| Failure::Nonsense("a job without an end".to_owned()))?;
    Ok((end, kept))
}

async fn cancel(job: &mut Job, interrupts: &mut Interrupts) -> Result<(), Failure> {
    tokio::select! {
        done = job.cancel() => done.map_err(midway),
        () = interrupts.next() => Err(Failure::Interrupted),
    }
}

/// A line of the log, as a terminal may have it.
fn shown(line: &str, style: &Style) -> String {
    style.paint(Tone::Faint, line) + "\n"
}

/// An error that came while the job was followed.
fn midway(error: BusError) -> Failure {
    match error {
        error if error.is_no_daemon() => Failure::LeftMidway,
        BusError::TimedOut(_) => Failure::Silent,
        BusError::ZBus(zbus::Error::InputOutput(_)) => Failure::BusGone,
        error => error.into(),
    }
}

/// What came of it: the job says how it ended, the builder's details where.
fn result(target: &Target, end: &End) -> TestBuild {
    let told = test_build::of(target);
    // One that is older than the job is another's.
    let told = told.filter(|told| told.timestamp >= end.start_timestamp);
    let took = end.finish_timestamp.saturating_sub(end.start_timestamp);
    let told = told.unwrap_or(TestBuild {
        timestamp: end.finish_timestamp,
        duration_usec: took,
        ..TestBuild::default()
    });
    TestBuild {
        state: end.state,
        reason: end.reason,
        ..told
    }
}

fn as_json(target: &Target, build: &TestBuild, end: &End, output: Vec<Printable>) -> Built {
    let failed = page::failed_build(target, build);
    Built {
        test_build_version: json::VERSION,
        target: target.into(),
        builder: target.name.clone(),
        state: build.state,
        reason: build.reason,
        words: failed.as_ref().and_then(Target::words),
        place: build.place.clone(),
        error: build.error.clone(),
        start_timestamp: end.start_timestamp,
        finish_timestamp: end.finish_timestamp,
        duration_usec: build.duration_usec,
        output,
    }
}

/// Ctrl-C, and what a service manager or `timeout` says.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn listen() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(Failure::Runtime)?,
            terminate: signal(SignalKind::terminate()).map_err(Failure::Runtime)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
