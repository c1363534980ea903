//! `offloadctl` against a daemon, or a bus, that means ill: nothing of it commands the terminal.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{
    Bus,
    fake::{Fake, builder_down},
    job::Job,
    program::{Run, finish, offloadctl, on},
};
use offload_client::{
    Kind, Printable, Snapshot, TargetState, WarningCode, embedded,
    snapshot::{Comparison, Details, Facts, Placed, Warning},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

/// Controls of each kind but NUL, which no text on a bus has: C0, C1, bidi, line separators, invisible.
const EVIL: &str = "\x1b]0;owned\x07\r\n\u{9b}2J\u{85}\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}";
/// As many bytes, that pass every gate: the wire below makes the one of the other.
const MARK: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";

/// A page is lines; nothing else of it may be a control, or not be seen.
fn is_harmless(run: &Run) -> bool {
    let shown = [run.stdout.as_str(), run.stderr.as_str()].concat();
    let harmful = |c: char| {
        (c.is_control() && c != '\n') || (EVIL.contains(c) && c != '\n' && !c.is_ascii_graphic())
    };
    !shown.chars().any(harmful) && !shown.lines().any(|line| line.starts_with("]0;owned"))
}

/// A snapshot that has the mark wherever there is text.
fn marked() -> Snapshot {
    let mut snapshot = builder_down();
    let mark = || Printable::from(MARK);
    let details: Details = [(mark(), MARK.into()), ("error".into(), MARK.into())].into();
    snapshot.version = mark();
    for target in snapshot.targets.iter_mut() {
        target.name = mark();
        target.uri = format!("ssh-ng://{MARK}@{MARK}").into();
        target.address = mark();
        target.details = details.clone();
        let placed = || {
            let (value, source) = (mark(), mark());
            Some(Placed { value, source })
        };
        target.layers = vec![Comparison {
            subject: mark(),
            declared: placed(),
            observed: placed(),
            ..Comparison::default()
        }];
        match &mut target.facts {
            Facts::Cache(facts) => (facts.store_dir, facts.signing_key) = (mark(), mark()),
            Facts::Builder(facts) => {
                (facts.systems, facts.features) = (vec![mark()], vec![mark()]);
                facts.protocol = mark();
                facts.nix_version = mark();
                facts.trusted = mark();
                facts.host_key_fingerprint = mark();
            }
        }
    }
    snapshot.warnings = [WarningCode::NixConfBroken, WarningCode::AddressMismatch]
        .map(|code| Warning {
            code,
            target: Some((Kind::Builder, mark())),
            details: details.clone(),
        })
        .into();
    snapshot
}

/// The bus at a socket beside it, behind a wire that puts [`EVIL`] where the daemon says [`MARK`].
fn through_an_evil_wire(bus: &Bus) -> String {
    let (from, to) = (
        bus.dir.path().join("evil"),
        embedded::socket_in(bus.dir.path()),
    );
    let listener = UnixListener::bind(&from).unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = UnixStream::connect(&to).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(relay(near_in, far_out, "", ""));
            tokio::spawn(relay(far_in, near_out, MARK, EVIL));
        }
    });
    format!("unix:path={}", from.display())
}

async fn relay(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mark: &str,
    evil: &str,
) {
    let mut pending = Vec::new();
    while from
        .read_buf(&mut pending)
        .await
        .is_ok_and(|count| count > 0)
    {
        let mut at = 0;
        while !mark.is_empty() && at + mark.len() <= pending.len() {
            if pending[at..].starts_with(mark.as_bytes()) {
                pending[at..at + mark.len()].copy_from_slice(evil.as_bytes());
            }
            at += 1;
        }
        // A mark may have come in part.
        let part = |length: &usize| pending.ends_with(&mark.as_bytes()[..*length]);
        let part = (1..mark.len()).rev().find(part).unwrap_or(0);
        let rest = pending.split_off(pending.len() - part);
        if to.write_all(&pending).await.is_err() {
            return;
        }
        pending = rest;
    }
}

#[tokio::test]
async fn nothing_that_a_daemon_publishes_commands_the_terminal() {
    assert_eq!(MARK.len(), EVIL.len());
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, marked()).await;
    let evil = EVIL.escape_unicode().to_string();
    let json = serde_json::to_string(&marked()).unwrap();
    // As JSON has them: `\u{1b}` is `\u001b`.
    let evil = evil.replace(['{', '}'], "");
    let padded = evil
        .split("\\u")
        .skip(1)
        .map(|code| format!("\\u{code:0>4}"));
    let json = json.replace(MARK, &padded.collect::<String>());
    fake.script
        .send_modify(|script| script.describe = Some(json));
    let address = through_an_evil_wire(&bus);
    for args in [
        &["status"][..],
        &["status", "--verbose"],
        &["status", "--json"],
        &["check"],
        &["history"],
        &["history", "--json"],
        &["discover"],
        &["doctor", "--config-dir", "/nonexistent"],
        &["doctor", "--json"],
        &["is-ready"],
        &["wait", "--timeout", "0s"],
        &["wait", "no-such"],
    ] {
        let mut command = common::program::command(args);
        command.arg("--bus").arg(&address);
        let run = finish(command).await;
        assert!(is_harmless(&run), "{args:?}: {run:?}");
        let shown = run.stdout.len() + run.stderr.len();
        assert!(shown > 0 || args == ["is-ready"], "{args:?}");
    }
    let page = offloadctl(&bus, &["status"]).await;
    assert!(
        page.stdout.contains("owned"),
        "it was there to be seen: {page:?}"
    );
}

#[tokio::test]
async fn no_line_of_a_job_commands_the_terminal() {
    let bus = Bus::start().await;
    let job = Job {
        early: vec![MARK],
        late: vec![MARK],
        ..Job::default()
    };
    let mut ready = builder_down();
    for target in ready.targets.iter_mut() {
        target.state = TargetState::Ready;
    }
    let _fake = Fake::building(&bus, ready, job).await;
    let address = through_an_evil_wire(&bus);
    for args in [&["test-build"][..], &["test-build", "--json"]] {
        let mut command = common::program::command(args);
        command.arg("--bus").arg(&address);
        let run = finish(command).await;
        assert!(is_harmless(&run), "{run:?}");
        assert!(run.stdout.contains("]0;owned"), "{run:?}");
    }
}

#[tokio::test]
async fn json_that_is_none_is_told_without_its_controls() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    for json in [EVIL.to_owned(), format!("{{\"version\":\"{EVIL}\"}}")] {
        fake.script
            .send_modify(|script| script.describe = Some(json));
        for args in [&["status", "--json"][..], &["doctor"]] {
            let run = finish(on(&bus, args)).await;
            assert!(is_harmless(&run), "{run:?}");
        }
    }
}
