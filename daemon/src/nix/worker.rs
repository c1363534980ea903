//! The worker protocol, as far as a handshake goes: `nix-daemon --stdio`, behind `ssh-ng://`.
//!
//! Source: `BasicClientConnection::handshake`, `postHandshake` and `processStderrReturn` in
//! src/libstore/worker-protocol-connection.cc, the numbers in
//! src/libstore/include/nix/store/worker-protocol.hh, the other side in `processConnection` of
//! src/libstore/daemon.cc; before 2.20 all of it stood in src/libstore/remote-store.cc.

use super::wire::{ProtocolError, Version, Wire, number, put_numbers, put_string, string};

/// What the client says first (`WORKER_MAGIC_1`).
const MAGIC_OURS: u64 = 0x6e69_7863;
/// What Nix answers first (`WORKER_MAGIC_2`).
pub const MAGIC: u64 = 0x6478_696f;
/// What this side speaks: new enough to be told of trust, and older than what needs features
/// (1.38). Every Nix since 2.0 goes down to it or below.
const OURS: Version = v1(37);
/// The oldest that Nix itself accepts.
const OLDEST: Version = v1(10);
/// `WorkerProto::Op::SetOptions`.
const SET_OPTIONS: u64 = 19;
/// `WorkerProto::Op::QuerySubstitutablePathInfos`.
const QUERY_SUBSTITUTABLE_PATH_INFOS: u64 = 30;
/// What no cache is called.
const NO_SUBSTITUTER: &str = "offloadd-asks-whether-it-is-trusted";
/// What a Nix says to whom it does not trust, of a substituter that it does not know
/// (`ClientSettings::apply`, src/libstore/daemon.cc, since 2.0).
const UNTRUSTED: &str = "ignoring untrusted substituter";

/// The longest version of Nix.
const MAX_VERSION: usize = 1024;
/// The longest line of a log that is listened to.
const MAX_LINE: usize = 16 * 1024;
/// How many messages may come before an answer.
const MAX_MESSAGES: usize = 256;
/// The longest store path.
const MAX_PATH: usize = 4096;
/// More references than any path has.
const MAX_REFERENCES: u64 = 65_536;
/// How many fields a message may have.
const MAX_FIELDS: u64 = 64;

/// What a handshake tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The newest version of the protocol that the other side speaks.
    pub protocol: Version,
    /// The version of its Nix; `None` before 2.4, which does not say.
    pub nix: Option<String>,
    /// Whether it trusts this side.
    pub trust: Trust,
}

/// Whether a Nix lets this side do what only trusted users may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It does not say.
    #[default]
    Unknown,
}

impl Trust {
    /// The word on the bus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// What to write first.
pub fn greeting() -> Vec<u8> {
    let mut bytes = Vec::new();
    put_numbers(&mut bytes, &[MAGIC_OURS, OURS.to_wire()]);
    bytes
}

/// Goes on after [`MAGIC`], to the point where Nix would ask for something.
///
/// # Errors
/// Where the other side leaves the protocol, or says what is wrong.
pub async fn greet(wire: &mut impl Wire) -> Result<Hello, ProtocolError> {
    let protocol = Version::from_wire(number(wire, "version").await?)?;
    if protocol.major != OURS.major || protocol < OLDEST {
        return Err(ProtocolError::Version(protocol));
    }
    let spoken = protocol.min(OURS);
    let mut bytes = Vec::new();
    if spoken >= v1(14) {
        // No CPU affinity.
        put_numbers(&mut bytes, &[0]);
    }
    if spoken >= v1(11) {
        // No space to be reserved.
        put_numbers(&mut bytes, &[0]);
    }
    wire.write(&bytes).await;
    let nix = if spoken >= v1(33) {
        Some(string(wire, "version of Nix", MAX_VERSION).await?)
    } else {
        None
    };
    let trust = if spoken >= v1(35) {
        trust(number(wire, "trust").await?)?
    } else {
        Trust::Unknown
    };
    listen(wire, spoken, |_| {}).await?;
    Ok(Hello {
        protocol,
        nix,
        trust,
    })
}

/// Finds out whether a Nix trusts this side that speaks too old a protocol to say so (2.0 to 2.14);
/// for the others it is what they said.
///
/// It asks the process behind this one connection to use a substituter that nobody knows: an
/// untrusted user is told that it is ignored, a trusted one is obeyed without a word. Nothing is
/// ever fetched: the connection must be closed after it.
///
/// # Errors
/// Where the other side leaves the protocol, or says what is wrong.
pub async fn observe_trust(wire: &mut impl Wire, hello: &Hello) -> Result<Trust, ProtocolError> {
    let spoken = hello.protocol.min(OURS);
    // Before 1.12 no single setting could be sent.
    if spoken < v1(12) || spoken >= v1(35) {
        return Ok(hello.trust);
    }
    wire.write(&set_options(&[("substituters", NO_SUBSTITUTER)]))
        .await;
    let mut trust = Trust::Yes;
    let heard = listen(wire, spoken, |line| {
        if line.contains(UNTRUSTED) {
            trust = Trust::No;
        }
    });
    heard.await?;
    Ok(trust)
}

/// Which of `paths` the process behind this one connection would fetch, with these `settings`, each of them once: whatever
/// it says meanwhile is told to `line`. The connection must be closed after it.
///
/// # Errors
/// Where the other side leaves the protocol, or says what is wrong.
pub async fn substitutes(
    wire: &mut impl Wire,
    hello: &Hello,
    settings: &[(&str, &str)],
    paths: &[&str],
    mut line: impl FnMut(&str) + Send,
) -> Result<Vec<String>, ProtocolError> {
    let spoken = hello.protocol.min(OURS);
    // Before 1.12 no single setting could be sent, nor more than one path be asked for.
    if spoken < v1(12) {
        return Err(ProtocolError::Version(spoken));
    }
    wire.write(&set_options(settings)).await;
    listen(wire, spoken, &mut line).await?;
    let mut bytes = Vec::new();
    put_numbers(
        &mut bytes,
        &[QUERY_SUBSTITUTABLE_PATH_INFOS, paths.len() as u64],
    );
    for path in paths {
        put_string(&mut bytes, path);
        if spoken >= v1(22) {
            // No content address.
            put_string(&mut bytes, "");
        }
    }
    wire.write(&bytes).await;
    listen(wire, spoken, &mut line).await?;
    let count = bounded(wire, "paths", paths.len() as u64).await?;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(string(wire, "path", MAX_PATH).await?);
        string(wire, "deriver", MAX_PATH).await?;
        for _ in 0..bounded(wire, "references", MAX_REFERENCES).await? {
            string(wire, "reference", MAX_PATH).await?;
        }
        for size in ["size of a download", "size of a NAR"] {
            number(wire, size).await?;
        }
    }
    Ok(found)
}

async fn bounded(
    wire: &mut impl Wire,
    what: &'static str,
    most: u64,
) -> Result<u64, ProtocolError> {
    match number(wire, what).await? {
        count if count <= most => Ok(count),
        count => Err(ProtocolError::Number(what, count)),
    }
}

fn set_options(settings: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_numbers(&mut bytes, &[SET_OPTIONS]);
    // keepFailed, keepGoing, tryFallback; verbosity (lvlInfo: a warning is seen); maxBuildJobs,
    // maxSilentTime, useBuildHook, verboseBuild, logType, printBuildTrace, buildCores, useSubstitutes.
    put_numbers(&mut bytes, &[0, 0, 0, 3, 1, 0, 1, 0, 0, 0, 0, 1]);
    put_numbers(&mut bytes, &[settings.len() as u64]);
    for (name, value) in settings {
        put_string(&mut bytes, name);
        put_string(&mut bytes, value);
    }
    bytes
}

/// Listens to the messages before an answer.
async fn listen(
    wire: &mut impl Wire,
    spoken: Version,
    mut line: impl FnMut(&str) + Send,
) -> Result<(), ProtocolError> {
    for _ in 0..MAX_MESSAGES {
        match number(wire, "messages").await? {
            STDERR_LAST => return Ok(()),
            STDERR_NEXT => line(&string(wire, "message", MAX_LINE).await?),
            STDERR_ERROR => return Err(ProtocolError::Said(error(wire, spoken).await?)),
            STDERR_START_ACTIVITY => {
                for _ in ["activity", "level", "type"] {
                    number(wire, "activity").await?;
                }
                string(wire, "activity", MAX_LINE).await?;
                fields(wire).await?;
                number(wire, "activity").await?;
            }
            STDERR_STOP_ACTIVITY => {
                number(wire, "activity").await?;
            }
            STDERR_RESULT => {
                for _ in ["activity", "type"] {
                    number(wire, "result").await?;
                }
                fields(wire).await?;
            }
            other => return Err(ProtocolError::Number("message", other)),
        }
    }
    Err(ProtocolError::Endless(MAX_MESSAGES))
}

/// The text of an error; what may follow (traces, an exit status) is left unread.
async fn error(wire: &mut impl Wire, spoken: Version) -> Result<String, ProtocolError> {
    if spoken >= v1(26) {
        string(wire, "error", MAX_LINE).await?;
        number(wire, "error").await?;
        string(wire, "error", MAX_LINE).await?;
    }
    string(wire, "error", MAX_LINE).await
}

async fn fields(wire: &mut impl Wire) -> Result<(), ProtocolError> {
    for _ in 0..bounded(wire, "fields", MAX_FIELDS).await? {
        match number(wire, "field").await? {
            0 => {
                number(wire, "field").await?;
            }
            1 => {
                string(wire, "field", MAX_LINE).await?;
            }
            other => return Err(ProtocolError::Number("field", other)),
        }
    }
    Ok(())
}

fn trust(number: u64) -> Result<Trust, ProtocolError> {
    match number {
        0 => Ok(Trust::Unknown),
        1 => Ok(Trust::Yes),
        2 => Ok(Trust::No),
        other => Err(ProtocolError::Number("trust", other)),
    }
}

const fn v1(minor: u8) -> Version {
    Version { major: 1, minor }
}

const STDERR_LAST: u64 = 0x616c_7473;
const STDERR_NEXT: u64 = 0x6f6c_6d67;
const STDERR_ERROR: u64 = 0x6378_7470;
const STDERR_START_ACTIVITY: u64 = 0x5354_5254;
const STDERR_STOP_ACTIVITY: u64 = 0x5354_4f50;
const STDERR_RESULT: u64 = 0x5253_4c54;

#[cfg(test)]
mod tests;
