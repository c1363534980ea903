//! The practice program as a newcomer meets it: the built program, one word after the other, the
//! verdicts read from its bus by the client crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use offload_client::{
    Client, Kind, OverallState, Reason, Snapshot, Stage, TargetState, embedded, snapshot::Target,
};
use offload_tests::{
    Ground,
    daemon::program,
    eventually,
    practice::{Word, laptop::Way, tour::Tour},
    process::Process,
};
use rustix::process::Signal;
use tokio::process::Command;
use zbus::{Connection, connection::Builder};

const HERE: &str = "127.0.15.6";
const MOVED: &str = "127.0.15.7";
/// Far more than any verdict takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What must be seen: state and reasons (any of them) of a target, and where it is.
struct Seen {
    state: TargetState,
    reasons: Vec<Reason>,
    stage: Option<Stage>,
    host: Option<&'static str>,
}

#[tokio::test]
async fn every_word_leads_to_its_own_verdict() {
    let _ground = Ground::take().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let runtime_dir = directory.path().join("runtime");
    let log = directory.path().join("log");
    let said = || std::fs::read_to_string(&log).unwrap();
    let mut practice = Process::start(&program("practice").unwrap(), None, &log, |command| {
        command.env("OFFLOADD_RUNTIME_DIR", &runtime_dir);
    })
    .unwrap();
    let mut connection = connect(&runtime_dir).await;
    let mut snapshots = Client::from(connection.clone()).watch();
    until_seen("at the start", &mut snapshots, [ready(HERE), ready(HERE)]).await;

    // Whoever follows the advice meets every word that breaks something.
    let mut tour = Tour::new(Way::Nix);
    while let Some(word) = tour.next() {
        let expected = verdicts(word);
        let sent = run("practice", &[word.as_str()], &runtime_dir).await;
        assert!(sent.status.success(), "{sent:?}");
        if matches!(word, Word::Steer | Word::Unsteer) {
            // The daemon starts anew, and its bus with it.
            while snapshots.next().await.is_some() {}
            connection = connect(&runtime_dir).await;
            snapshots = Client::from(connection.clone()).watch();
        }
        until_seen(word.as_str(), &mut snapshots, expected).await;
        tour.tried(word);
    }

    // The second terminal, without being told where the bus is: offloadctl, and what needs not be built for it.
    for (name, arguments) in [("offloadctl", [].as_slice()), ("practice", &["status"])] {
        let status = run(name, arguments, &runtime_dir).await;
        let page = String::from_utf8(status.stdout).unwrap();
        assert!(status.status.success(), "{page}");
        assert!(page.contains("ready: Nix can use"), "{page}");
        assert!(
            !page.contains('!'),
            "nothing is amiss on a desktop that is well: {page}"
        );
    }
    let doctor = run("offloadctl", &["doctor"], &runtime_dir).await;
    let page = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.status.success() && !page.contains('≠'), "{page}");

    practice.signal(Signal::INT).unwrap();
    let ended = practice.wait_exit(PATIENCE).await.unwrap();
    let said = said();
    assert!(ended.success(), "{ended}: {said}");
    assert!(said.ends_with("Practice is over.\n"), "{said}");
    // The bus's own directory may stay; what was in it went.
    let bus = embedded::socket_in(&runtime_dir);
    let left: Vec<_> = std::fs::read_dir(bus.parent().unwrap()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // What was read from the bus was said in words, with the remedy.
    for words in [
        "builder/desktop  degraded  host-key-mismatch, 127.0.15.6:2222",
        "HOST KEY CHANGED",
        "→ ",
        "cache/desktop    degraded  address-moved, 127.0.15.7:5000",
        "cache/desktop    ready     at 127.0.15.7:5000",
        "overall          offline",
        "> swap-key: gives it another host key",
    ] {
        assert!(said.contains(words), "{words:?} was not said:\n{said}");
    }
}

#[tokio::test]
async fn without_ssh_what_is_declared_is_the_way_and_a_desktop_that_moves_is_followed() {
    let _ground = Ground::take().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (runtime_dir, log) = (
        directory.path().join("runtime"),
        directory.path().join("log"),
    );
    // What starts the program, and no ssh.
    let setpriv = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("setpriv"))
        .find(|program| program.exists());
    std::os::unix::fs::symlink(setpriv.unwrap(), directory.path().join("setpriv")).unwrap();
    let mut practice = Process::start(&program("practice").unwrap(), None, &log, |command| {
        command.env("OFFLOADD_RUNTIME_DIR", &runtime_dir);
        command.env("PATH", directory.path());
    })
    .unwrap();
    let mut snapshots = Client::from(connect(&runtime_dir).await).watch();
    until_seen("at the start", &mut snapshots, [ready(HERE), ready(HERE)]).await;
    run("practice", &["move"], &runtime_dir).await;
    until_seen("moved", &mut snapshots, [ready(MOVED), ready(MOVED)]).await;
    let refused = run("practice", &["steer"], &runtime_dir).await;
    let said = String::from_utf8(refused.stdout).unwrap();
    assert!(said.contains("There is no ssh here"), "{said}");
    practice.signal(Signal::TERM).unwrap();
    let ended = practice.wait_exit(PATIENCE).await.unwrap();
    assert!(
        ended.success(),
        "{ended}: {}",
        std::fs::read_to_string(&log).unwrap()
    );
}

#[tokio::test]
async fn a_word_without_a_program_says_how_to_start_one() {
    let directory = tempfile::tempdir().unwrap();
    let sent = run("practice", &["stop"], directory.path()).await;
    let said = String::from_utf8(sent.stderr).unwrap();
    assert_eq!(sent.status.code(), Some(1), "{said}");
    assert!(said.contains("start one with `cargo practice`"), "{said}");
    let page = run("practice", &["status"], directory.path()).await;
    assert_eq!(page.status.code(), Some(1), "{page:?}");
    let unknown = run("practice", &["explode"], directory.path()).await;
    assert_eq!(unknown.status.code(), Some(64));
}

/// The verdicts on the cache and on the builder that `word` leads to, from where the tour has it.
fn verdicts(word: Word) -> [Seen; 2] {
    let fine = || ready(HERE);
    match word {
        Word::Start
        | Word::Thaw
        | Word::Appear
        | Word::OldKey
        | Word::AcceptKey
        | Word::Back
        | Word::Unsteer
        | Word::StartNixDaemon
        | Word::Trust
        | Word::Reset => [fine(), fine()],
        Word::Move => [moved(), moved()],
        Word::Steer => [ready(MOVED), ready(MOVED)],
        Word::Stop => [
            down(Reason::Refused, Stage::Connect),
            down(Reason::Refused, Stage::Connect),
        ],
        Word::Freeze => [
            down(Reason::TimedOut, Stage::Http),
            down(Reason::TimedOut, Stage::Banner),
        ],
        Word::Vanish => [
            down(Reason::TimedOut, Stage::Connect),
            down(Reason::TimedOut, Stage::Connect),
        ],
        Word::Slow => [
            down(Reason::TimedOut, Stage::Http),
            down(Reason::TimedOut, Stage::Banner),
        ],
        // The reset meets some in connect(2), some in the exchange.
        Word::Cut => [cut(), cut()],
        Word::SwapKey => [fine(), degraded(Reason::HostKeyMismatch)],
        Word::RefuseKey => [fine(), degraded(Reason::AuthRejected)],
        Word::Portal => [degraded(Reason::CaptivePortal), fine()],
        Word::WrongStore => [degraded(Reason::StoreDirMismatch), fine()],
        Word::Error => [degraded(Reason::HttpStatus), fine()],
        Word::NoNix => [fine(), degraded(Reason::NixMissing)],
        Word::StopNixDaemon => [fine(), degraded(Reason::NixDaemonDown)],
        Word::Untrust => [fine(), degraded(Reason::NotTrusted)],
        Word::EchoProfile => [fine(), degraded(Reason::ProfileOutput)],
        Word::ForceCommand => [fine(), degraded(Reason::NotNix)],
        Word::OldNix => [fine(), degraded(Reason::ProtocolMismatch)],
        Word::WrongSystem => [fine(), degraded(Reason::SystemMissing)],
        Word::NoKvm => [fine(), degraded(Reason::FeatureMissing)],
        Word::Unsign => [degraded(Reason::Unsigned), fine()],
        Word::ForeignKey => [degraded(Reason::UntrustedSignature), fine()],
        Word::Garbage => [degraded(Reason::NotHttp), degraded(Reason::NotSsh)],
    }
}

fn ready(host: &'static str) -> Seen {
    Seen {
        state: TargetState::Ready,
        reasons: vec![Reason::None],
        stage: None,
        host: Some(host),
    }
}

fn down(reason: Reason, stage: Stage) -> Seen {
    Seen {
        state: TargetState::Down,
        reasons: vec![reason],
        stage: Some(stage),
        host: None,
    }
}

fn cut() -> Seen {
    Seen {
        state: TargetState::Down,
        reasons: vec![Reason::Refused, Reason::ConnectionLost],
        stage: None,
        host: None,
    }
}

fn moved() -> Seen {
    Seen {
        host: Some(MOVED),
        ..degraded(Reason::AddressMoved)
    }
}

fn degraded(reason: Reason) -> Seen {
    Seen {
        state: TargetState::Degraded,
        reasons: vec![reason],
        stage: None,
        host: Some(HERE),
    }
}

impl Seen {
    fn fits(&self, target: &Target) -> bool {
        let host = |host| target.address.starts_with(&format!("{host}:"));
        target.state == self.state
            && self.reasons.contains(&target.reason)
            && self.stage.is_none_or(|stage| stage == target.stage)
            && self.host.is_none_or(host)
    }
}

async fn until_seen(
    when: &str,
    snapshots: &mut (impl Stream<Item = Option<Snapshot>> + Unpin),
    [cache, builder]: [Seen; 2],
) {
    let all = cache.state.is_ready() && builder.state.is_ready();
    let fits = |snapshot: &Snapshot| {
        let of = |kind| snapshot.targets.iter().find(|target| target.kind == kind);
        of(Kind::Cache).is_some_and(|target| cache.fits(target))
            && of(Kind::Builder).is_some_and(|target| builder.fits(target))
            && all == (snapshot.state == OverallState::Ready)
    };
    until(when, snapshots, fits).await;
}

async fn until(
    when: &str,
    snapshots: &mut (impl Stream<Item = Option<Snapshot>> + Unpin),
    fits: impl Fn(&Snapshot) -> bool,
) {
    let mut last = None;
    let wait = async {
        while let Some(snapshot) = snapshots.next().await {
            last = snapshot;
            if last.as_ref().is_some_and(&fits) {
                return true;
            }
        }
        false
    };
    let seen = tokio::time::timeout(PATIENCE, wait).await;
    assert_eq!(seen, Ok(true), "{when}: seen last: {last:#?}");
}

async fn connect(runtime_dir: &Path) -> Connection {
    let address = embedded::address(&embedded::socket_in(runtime_dir));
    eventually(PATIENCE, "the practice program's bus", async || {
        let connection = Builder::address(address.clone()).build().await.ok()?;
        let bus = zbus::fdo::DBusProxy::new(&connection).await.ok()?;
        let name = offload_client::names::BUS_NAME.try_into().ok()?;
        bus.name_has_owner(name).await.ok()?.then_some(connection)
    })
    .await
    .unwrap()
}

async fn run(name: &str, arguments: &[&str], runtime_dir: &Path) -> Output {
    let running = Command::new(program(name).unwrap())
        .args(arguments)
        .env("OFFLOADD_RUNTIME_DIR", runtime_dir)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap()
}
