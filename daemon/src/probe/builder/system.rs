//! The system stage: what the machines entry promises against what the builder's Nix says.
//!
//! nix.conf is asked for as the user that logs in sees it. nix-daemon reads the same file, but when
//! it started, as root, and without the user's own configuration: where that may make a difference,
//! a thing that is missing is not known to be (see [`crate::nix::remote`]).

pub(super) mod answer;
mod room;

use std::time::Duration;

use offload_client::{Printable, Reason, Stage, snapshot::Detail};

use self::{answer::Identity, room::Room};
use super::{
    DETAIL_MISPLACED, Notes,
    exec::{Captured, Exec, StartError},
    link::{End, Link},
};
use crate::{
    clock::within,
    nix::{
        machines,
        remote::{Missing, Others, RemoteConf},
        system, uri,
    },
    report::Failure,
    target::BuilderSpec,
};

/// The detail that says why it is not known what the builder builds.
pub(super) const DETAIL_UNKNOWN: &str = "system_unknown";

/// How much of the answer is read: Nix's settings with their descriptions are 40 to 150 KB.
const MAX_ANSWER: usize = 512 * 1024;
/// How much of the answer about its machines file.
const MAX_COUNT: usize = 1024;
/// How long an answer may take. Some forced commands never end; a connection that has gone silent
/// is another matter.
const PATIENCE: Duration = Duration::from_secs(4);
/// How much of a stranger's words is kept, in characters.
const MAX_WORDS: usize = 128;
/// How many words of a list are told.
const MAX_LIST: usize = 32;

/// Asks the builder what it builds, and notes what it says of itself. Whether it keeps what the
/// machines entry promises: `false` where that is not known, and why is noted.
///
/// It waits for ever on a connection that has gone silent: the caller has the bound.
///
/// # Errors
/// `SystemMissing` and `FeatureMissing`, or how the connection ended.
pub(super) async fn check(
    link: &Link,
    spec: &BuilderSpec,
    notes: &mut Notes,
) -> Result<bool, Failure> {
    let outcome = match ask(link, spec, notes).await {
        Ok(conf) => judge(link, spec, &conf, notes).await,
        Err(halt) => Err(halt),
    };
    match outcome {
        Ok(()) => Ok(true),
        Err(Halt::Unknown(why)) => {
            notes.note(DETAIL_UNKNOWN, why);
            Ok(false)
        }
        Err(Halt::Failed(failure)) => Err(failure),
    }
}

/// Why it is not proven.
enum Halt {
    /// It is not known: why, as a machine says it.
    Unknown(Printable),
    /// It is known not to be so, or the connection ended.
    Failed(Failure),
}

/// Asks for the identity and the configuration, in one session.
async fn ask(link: &Link, spec: &BuilderSpec, notes: &mut Notes) -> Result<RemoteConf, Halt> {
    let answer = capture(link, &question(&nix(spec)), MAX_ANSWER).await?;
    let Some(stdout) = &answer.stdout else {
        let why = format!("the answer is longer than {MAX_ANSWER} bytes");
        return Err(Halt::Unknown(why.into()));
    };
    let (head, json) = answer::split(stdout);
    if let Some(identity) = Identity::find(head) {
        notes.note("boot_id", identity.boot_id);
        notes.note("hostname", identity.hostname);
    }
    if let Some(room) = Room::find(stdout) {
        room.note(notes);
        if room.is_none() {
            return Err(Halt::Failed(Failure {
                stage: Stage::System,
                reason: Reason::StoreFull,
                detail: room.said(),
            }));
        }
    }
    if json.is_empty() {
        return Err(Halt::Unknown(answer::silence(head, &answer)));
    }
    let conf = RemoteConf::parse(json).map_err(|error| {
        let error = error.to_string();
        Halt::Unknown(Printable::excerpt(error.as_bytes(), 2 * MAX_WORDS))
    })?;
    if let Some(system) = conf.systems.first() {
        notes.note(
            "remote_system",
            Printable::excerpt(system.as_bytes(), MAX_WORDS),
        );
    }
    notes.note("remote_features", list(&conf.features));
    let unlisted = conf.features.iter();
    let unlisted: Vec<_> = unlisted
        .filter(|feature| !spec.features.contains(feature))
        .cloned()
        .collect();
    if !unlisted.is_empty() {
        notes.note("features_unlisted", list(&unlisted));
    }
    Ok(conf)
}

/// Holds what was promised against `conf`.
async fn judge(
    link: &Link,
    spec: &BuilderSpec,
    conf: &RemoteConf,
    notes: &mut Notes,
) -> Result<(), Halt> {
    if let Some(store) = other_store(spec) {
        let store = Printable::excerpt(uri::redacted(store).as_bytes(), MAX_WORDS);
        let why = format!("builds go to the store {store}, whose configuration is not this one");
        return Err(Halt::Unknown(why.into()));
    }
    let missing = conf.missing(&spec.systems, &spec.features);
    let (reason, lost, offered) = if !missing.systems.is_empty() {
        let offered = if conf.builds_nothing {
            Detail::List(vec!["nothing (max-jobs = 0)".into()])
        } else {
            list(&conf.systems)
        };
        (Reason::SystemMissing, &missing.systems, offered)
    } else if !missing.features.is_empty() {
        let offered = list(&conf.features);
        (Reason::FeatureMissing, &missing.features, offered)
    } else if !missing.in_doubt.is_empty() {
        let words = missing.in_doubt.join(", ");
        let why = format!("{words}: not among the defaults that the login user sees");
        return Err(Halt::Unknown(Printable::excerpt(
            why.as_bytes(),
            2 * MAX_WORDS,
        )));
    } else {
        return Ok(());
    };
    let said = Printable::excerpt(said(&missing).as_bytes(), 4 * MAX_WORDS);
    if conf.others == Others::Programs {
        let why = format!("{said}, and other programs build for it");
        return Err(Halt::Unknown(why.into()));
    }
    if let Some(place) = own_builders(link, conf).await? {
        notes.note("own_builders", Printable::from(place));
    }
    notes.note("missing", list(lost));
    notes.note("offered", offered);
    note_mistake(reason, lost, conf, notes);
    Err(Halt::Failed(Failure {
        stage: Stage::System,
        reason,
        detail: said,
    }))
}

/// Where the builder has builders of its own, which do not help, where it has some.
async fn own_builders(link: &Link, conf: &RemoteConf) -> Result<Option<String>, Halt> {
    let file = match &conf.others {
        Others::None | Others::Programs => return Ok(None),
        Others::Builders => return Ok(Some("nix.conf".into())),
        Others::File(file) => file,
    };
    if !is_plain_path(file) {
        return Ok(None);
    }
    let count = format!("test -e {file} || echo 0; grep -c \"^[^#]\" {file}");
    let answer = match capture(link, &count, MAX_COUNT).await {
        Ok(answer) => answer.stdout.unwrap_or_default(),
        // It is said for an explanation alone.
        Err(Halt::Unknown(_)) => return Ok(None),
        Err(failed) => return Err(failed),
    };
    let answer = String::from_utf8_lossy(&answer);
    let count = answer.split_whitespace().next_back().map(str::parse::<u32>);
    let has_some = matches!(count, Some(Ok(1..)));
    Ok(has_some.then(|| file.clone()))
}

/// A desktop that runs no other commands than it knows (nixos-module/desktop/commands.nix) goes by how it begins.
/// What any login shell reads, fish and csh among them. The first `nix` is of versions since 2.19,
/// the second of those before; `--option` is how all of them can be told of an experimental feature.
fn question(nix: &str) -> String {
    let nix = format!("{nix} --option extra-experimental-features nix-command");
    format!(
        "cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/hostname; \
         {nix} config show --json || {nix} show-config --json; {}",
        room::QUESTION
    )
}

/// The program: beside the one that the store's URL names, where it does, else the one on PATH.
fn nix(spec: &BuilderSpec) -> String {
    let program = spec.params.get("remote-program");
    let directory = program.and_then(|program| program.rsplit_once('/'));
    match directory {
        Some((directory, "nix-daemon" | "nix-store")) if is_plain_path(directory) => {
            format!("{directory}/nix")
        }
        _ => "nix".into(),
    }
}

/// The store that builds are done in, where that has another configuration than its machine:
/// it is elsewhere, or its own parameters prevail over nix.conf.
fn other_store(spec: &BuilderSpec) -> Option<&str> {
    let store = spec.params.get("remote-store")?;
    let (base, query) = store.split_once('?').unwrap_or((store, ""));
    let is_here = match base.split_once("://") {
        None => true,
        Some((scheme, _)) => scheme == "local",
    };
    let overrides = |pair: &str| {
        let key = pair.split('=').next().unwrap_or_default();
        uri::percent_decode(key).is_ok_and(|key| key == "system-features")
    };
    let is_its_own = is_here && !query.split('&').any(overrides);
    (!is_its_own).then_some(store)
}

/// Runs `command`, whose answer may be nothing that makes sense.
async fn capture(link: &Link, command: &str, most: usize) -> Result<Captured, Halt> {
    let ended = |end: End| {
        Halt::Failed(Failure {
            stage: Stage::System,
            reason: end.reason,
            detail: end.detail,
        })
    };
    match within(PATIENCE, Exec::capture(link, command, most)).await {
        Some(Ok(captured)) => Ok(captured),
        Some(Err(StartError::NoSession(why) | StartError::Refused(why))) => Err(Halt::Unknown(why)),
        Some(Err(StartError::End(end))) => Err(ended(end)),
        // A command that does not end leaves the connection as good as it was; a peer that is
        // gone does not open another session either.
        None => {
            if let Ok(session) = link.session().await {
                // Dropping it would leave it open for as long as the connection stands.
                let _ = session.close().await;
            }
            Err(match link.end() {
                Some(end) => ended(end),
                None => {
                    let why = format!("no end of the answer within {} s", PATIENCE.as_secs());
                    Halt::Unknown(why.into())
                }
            })
        }
    }
}

/// Nothing that a shell or a remote's `grep` would take for anything but a path.
fn is_plain_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    path.starts_with('/') && path.len() <= 256 && path.bytes().all(is_plain)
}

fn list(words: &[Printable]) -> Detail {
    let words = words.iter().take(MAX_LIST);
    Detail::List(
        words
            .map(|word| Printable::excerpt(word.as_bytes(), MAX_WORDS))
            .collect(),
    )
}

/// What nobody has because it is no such thing: a system with a slip in it, a host key one field too early.
fn note_mistake(reason: Reason, lost: &[Printable], conf: &RemoteConf, notes: &mut Notes) {
    if reason == Reason::FeatureMissing && lost.iter().any(|word| machines::is_host_key(word)) {
        notes.note(DETAIL_MISPLACED, "host key");
    }
    let offered = conf.systems.iter().map(AsRef::as_ref);
    let meant = lost
        .iter()
        .find_map(|word| system::meant(word, offered.clone()));
    if let Some(meant) = meant.filter(|_| reason == Reason::SystemMissing) {
        notes.note("meant", meant);
    }
}

/// Everything that is missing.
fn said(missing: &Missing) -> String {
    let lists = [
        ("systems", &missing.systems),
        ("features", &missing.features),
    ];
    let lists = lists.iter().filter(|(_, words)| !words.is_empty());
    let lists: Vec<_> = lists
        .map(|(what, words)| format!("missing {what}: {}", words.join(", ")))
        .collect();
    lists.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_path_is_said_to_a_shell() {
        assert!(is_plain_path("/etc/nix/machines"));
        for path in [
            "machines",
            "/a b",
            "/a;reboot",
            "/$HOME",
            "/a`b`",
            "/a\"",
            "/ä",
            "",
        ] {
            assert!(!is_plain_path(path), "{path}");
        }
    }
}
