//! The handshake: Nix's own program on the builder, spoken to in Nix's own protocol.
//!
//! Nix before 2.15 does not say whether it trusts us; it does warn, and only those it does not trust, of a
//! substituter that they may not set. Where not even that works, trust is `unknown` and passes: a builder that may
//! well work is not red.

use std::time::Duration;

use offload_client::{Printable, Reason, Stage};

use super::{
    Notes,
    command::Command,
    diagnose::{Broken, diagnose},
    exec::{Exec, StartError},
    greet,
    link::{End, Link},
};
use crate::{
    clock::within,
    nix::{
        serve,
        worker::{self, Trust},
    },
    report::Failure,
    target::{BuilderSpec, Protocol},
};

/// How much of a version is shown.
const MAX_VERSION: usize = 64;

/// What a Nix on the other side says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remote {
    /// Its version; empty where it does not say.
    pub version: Printable,
    /// Whether it trusts the user who logs in.
    pub trust: Trust,
}

/// Runs what Nix runs and speaks to it, to the point where Nix would ask for something. Silence is
/// waited for without an end; what is no silence and no answer either, no longer than `patience`.
/// `None` where all is well, and what that Nix is was not to be heard.
pub(super) async fn check(
    link: &Link,
    spec: &BuilderSpec,
    patience: Duration,
    notes: &mut Notes,
) -> Result<Option<Remote>, Failure> {
    let command = Command::of(spec);
    notes.note("command", command.shown.as_str());
    notes.note("program", command.program.as_str());
    let mut exec = Exec::start(link, &command.line)
        .await
        .map_err(|error| match error {
            StartError::NoSession(why) => failure(Reason::LoginRefused, why),
            StartError::Refused(why) => failure(Reason::NotNix, why),
            StartError::End(end) => end_of_login(end),
        })?;
    let spoken = match spec.protocol {
        Protocol::SshNg => {
            let hello = speak_worker(&mut exec, patience).await;
            hello.map(|hello| (hello.protocol, Remote::from(hello)))
        }
        Protocol::Ssh => {
            let version = speak_serve(&mut exec, patience).await;
            version.map(|version| (version, Remote::default()))
        }
    };
    match spoken {
        Ok((protocol, remote)) => {
            exec.close().await;
            notes.note("protocol_version", protocol.to_string());
            match spec.protocol {
                Protocol::SshNg => Ok(Some(remote)),
                Protocol::Ssh => ask_daemon(link, spec, patience).await,
            }
        }
        Err(broken) => Err(diagnose(link, exec, &command, spec.protocol, broken, notes).await),
    }
}

async fn speak_worker(exec: &mut Exec, patience: Duration) -> Result<worker::Hello, Broken> {
    greet::magic(exec, &worker::greeting(), worker::MAGIC, patience).await?;
    let hello = worker::greet(exec).await?;
    let trust = worker::observe_trust(exec, &hello).await?;
    Ok(worker::Hello { trust, ..hello })
}

async fn speak_serve(
    exec: &mut Exec,
    patience: Duration,
) -> Result<crate::nix::wire::Version, Broken> {
    greet::magic(exec, &serve::greeting(), serve::MAGIC, patience).await?;
    Ok(serve::greet(exec).await?)
}

/// `ssh://` carries neither version nor trust: the daemon beside it is asked. Where that is not to be
/// had (a forced command, another program, one that is slow this time), there is nothing new.
async fn ask_daemon(
    link: &Link,
    spec: &BuilderSpec,
    patience: Duration,
) -> Result<Option<Remote>, Failure> {
    let command = Command::daemon_beside(spec);
    let asked = async {
        let mut exec = Exec::start(link, &command.line).await.ok()?;
        let hello = speak_worker(&mut exec, patience).await.ok()?;
        exec.close().await;
        Some(Remote::from(hello))
    };
    let remote = within(patience, asked).await.flatten();
    match link.end() {
        Some(end) => Err(failure(end.reason, end.detail)),
        None => Ok(remote),
    }
}

impl From<worker::Hello> for Remote {
    fn from(hello: worker::Hello) -> Self {
        let version = hello.nix.unwrap_or_default();
        Self {
            version: Printable::excerpt(version.as_bytes(), MAX_VERSION),
            trust: hello.trust,
        }
    }
}

/// The connection ended before a program had a word to say: the server ended the login.
pub(super) fn end_of_login(end: End) -> Failure {
    match end.reason {
        Reason::ConnectionLost => failure(Reason::LoginRefused, end.detail),
        reason => failure(reason, end.detail),
    }
}

fn failure(reason: Reason, detail: impl Into<Printable>) -> Failure {
    Failure {
        stage: Stage::Handshake,
        reason,
        detail: detail.into(),
    }
}
