//! What a test build proves. Pure: evidence in, verdict out.
//!
//! The evidence is in a build's output, not in an exit code: a nonce, the boot id of the kernel it ran on, the name
//! of the host; and this machine's Nix says whether it built the path itself.

use offload_client::{Printable, Reason};

use super::derivation::{BOOT_ID, HOSTNAME, NAME, NONCE};
use crate::nix::uri::{self, StoreUri};

/// How much of a log line becomes the detail of a failure, in characters.
const MAX_DETAIL: usize = 300;
/// How much of a machine's name is shown, in characters.
const MAX_NAME: usize = 64;

/// An error as one Nix sends it to another, as far as it is fit to be shown.
const SENT_ERROR: &str = r"\x00Error\x00";
/// How Nix says that a build has failed, or the other side has gone, for a reason that it has told before.
const EFFECTS: [&str; 4] = [
    "builder for '",
    "build of '",
    "Cannot build '",
    "unexpected end-of-file",
];

/// What is known of a test build whose command succeeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    /// The nonce it was asked to write.
    pub nonce: &'a str,
    /// What its output holds.
    pub output: &'a [u8],
    /// Whether this machine's store says that it built the path itself (`ultimate` of
    /// `ValidPathInfo`, src/libstore/path-info.hh); `None` where it did not say.
    pub ultimate: Option<bool>,
    /// Whom this machine's Nix gave it to.
    pub given: &'a Given,
    /// This machine's boot id; empty where not known.
    pub own_boot_id: &'a str,
    /// The builder's boot id, by its last checks; empty where not known.
    pub boot_id: &'a str,
    /// The builder's host name, by its last checks; empty where not known.
    pub hostname: &'a str,
    /// The host of its URI.
    pub host: &'a str,
}

/// Whom this machine's Nix gave a build to, by its own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// It does not say.
    Unknown,
    /// To the builder that was asked.
    Here,
    /// To another one: its host.
    Another(String),
}

/// What a test build amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BuildVerdict {
    /// It ran where it should.
    Succeeded {
        /// That machine's name.
        place: Printable,
    },
    /// It failed, or ran on the wrong machine.
    Failed {
        /// `build-failed`, `built-locally`, `built-elsewhere` or `builder-full`.
        reason: Reason,
        /// Whether the builder is what failed.
        blames: bool,
        /// Where it ran, where that is another builder.
        place: Printable,
        /// The particulars.
        detail: Printable,
    },
}

/// Where a build ran, by what it left. The nonce in the output proves that it is no older one's.
///
/// | this store built it | Nix gave it to | boot id of the build | verdict             |
/// |---------------------|----------------|----------------------|---------------------|
/// | yes                 |                |                      | `built-locally`     |
/// |                     | another one    |                      | `built-elsewhere`   |
/// |                     |                | the builder's        | succeeded           |
/// |                     | the builder    | not known            | succeeded           |
/// |                     | unknown        | not known            | nothing is proven   |
/// |                     | the builder    | this machine's       | succeeded           |
/// |                     | unknown        | this machine's       | `built-locally`     |
/// |                     |                | a third one's        | `built-elsewhere`   |
///
/// The first row that fits counts. A boot id is the kernel's, and a container has its machine's,
/// though its init may hide it: a build in Nix's sandbox, with a `/proc` of its own, sees another one
/// than a login to the same builder. Of a builder in a container on this machine that is all there
/// is to see, so there Nix's word decides. A boot id that is neither this machine's nor the
/// builder's is of a machine to which the builder handed the build on.
pub(super) fn judge(evidence: &Evidence<'_>) -> BuildVerdict {
    if value(evidence.output, NONCE) != evidence.nonce {
        let output = Printable::excerpt(evidence.output, MAX_DETAIL);
        let detail = format!("the output is not what was asked for: {output}");
        return failed(Reason::BuildFailed, detail);
    }
    if evidence.ultimate == Some(true) {
        let detail = "this machine's own store built it".to_owned();
        return failed(Reason::BuiltLocally, detail);
    }
    if let Given::Another(host) = evidence.given {
        let host = Printable::excerpt(host.as_bytes(), MAX_NAME);
        let detail = format!("this machine's Nix gave it to {host}");
        return elsewhere(host, detail);
    }
    let (expected, found) = (evidence.boot_id, value(evidence.output, BOOT_ID));
    // In the sandbox every machine is called localhost.
    let named = Some(value(evidence.output, HOSTNAME));
    let named = named.filter(|name| !name.is_empty() && *name != "localhost");
    let is_known = !expected.is_empty() && !found.is_empty();
    match (found == evidence.own_boot_id, evidence.given) {
        _ if is_known && expected == found => succeeded(evidence, named),
        (_, Given::Here) if !is_known => succeeded(evidence, named),
        _ if !is_known => {
            let detail = "it succeeded, and nothing proves where it ran".to_owned();
            unblamed(Reason::BuildFailed, detail)
        }
        (true, Given::Here) => succeeded(evidence, named),
        (true, Given::Unknown | Given::Another(_)) => failed(
            Reason::BuiltLocally,
            "it ran under this machine's kernel".to_owned(),
        ),
        (false, _) => {
            let found = Printable::excerpt(found.as_bytes(), MAX_NAME);
            let expected = Printable::excerpt(expected.as_bytes(), MAX_NAME);
            let place = match named {
                Some(name) => Printable::excerpt(name.as_bytes(), MAX_NAME),
                None => format!("the machine with boot id {found}").into(),
            };
            let detail =
                format!("the boot id where it ran is {found}, the builder's is {expected}");
            elsewhere(place, detail)
        }
    }
}

fn succeeded(evidence: &Evidence<'_>, named: Option<&str>) -> BuildVerdict {
    let known = Some(evidence.hostname).filter(|name| !name.is_empty());
    let place = named.or(known).unwrap_or(evidence.host);
    BuildVerdict::Succeeded {
        place: Printable::excerpt(place.as_bytes(), MAX_NAME),
    }
}

fn elsewhere(place: Printable, detail: String) -> BuildVerdict {
    BuildVerdict::Failed {
        reason: Reason::BuiltElsewhere,
        // It built somewhere: of the builder that was asked that says nothing bad.
        blames: false,
        place,
        detail: detail.into(),
    }
}

/// Whom Nix gave this test build to, which is meant for one of the store URLs `uris`:
/// `building '/nix/store/….drv' on 'URI'` (`DerivationBuildingGoal`,
/// src/libstore/build/derivation-building-goal.cc; derivation-goal.cc before 2.30). A `URI` that
/// is none of SSH says nothing, and neither does another way to write the user or the parameters.
pub(super) fn given<'a>(
    log: impl IntoIterator<Item = &'a str>,
    nonce: &str,
    uris: impl IntoIterator<Item = &'a str>,
) -> Given {
    let derivation = format!("{NAME}{nonce}.drv' on '");
    let said = log.into_iter().find_map(|line| {
        let (building, rest) = line.split_once(&derivation)?;
        let (uri, _) = rest.split_once('\'')?;
        building.starts_with("building '").then_some(uri)
    });
    let Some((host, port)) = said.and_then(place) else {
        return Given::Unknown;
    };
    let mut wanted = uris.into_iter().filter_map(place);
    if wanted.any(|wanted| wanted == (host.clone(), port)) {
        Given::Here
    } else {
        Given::Another(host)
    }
}

/// Host and port of a builder's store URL.
fn place(uri: &str) -> Option<(String, u16)> {
    match uri::parse(&uri::complete_machine(uri)) {
        Ok(StoreUri::Ssh(ssh)) => Some((ssh.host, ssh.port.unwrap_or(22))),
        Ok(StoreUri::Cache(_)) | Err(_) => None,
    }
}

/// The line of a failed build's log that says most, fit to be shown; empty where none does.
///
/// Nix's build hook says `cannot build on 'URI': why` (src/nix/build-remote/build-remote.cc), after
/// which the build fails for want of another builder: that is the cause. Otherwise the first `error:` is that
/// says more than that the build has failed, otherwise the last one, otherwise the last line of all.
pub(super) fn telling<'a>(log: impl DoubleEndedIterator<Item = &'a str> + Clone) -> Printable {
    let last = |wanted: &dyn Fn(&str) -> bool| log.clone().rev().find(|line| wanted(line));
    let line = last(&|line| is_refusal(line))
        .or_else(|| log.clone().find_map(cause))
        .or_else(|| last(&|line| line.trim().starts_with("error: ")))
        .or_else(|| last(&|line| !line.trim().is_empty()));
    let line = line.unwrap_or_default().trim();
    let line = line.strip_prefix("error:").unwrap_or(line);
    Printable::excerpt(line.as_bytes(), MAX_DETAIL)
}

/// What a line of a failed build's log says of the cause, where it says anything of it. What comes before a builder's
/// program is started reaches the log of an old Nix as it is sent (`Sink & operator << (Sink & sink, const Error & ex)`,
/// src/libutil/serialise.cc): its longest part is the message.
fn cause(line: &str) -> Option<&str> {
    // What the other side lacks stands below the error since 2.30 (`DerivationBuildingGoal`).
    let is_lack = |line: &&str| {
        let lacks = ["Required system: ", "Required features: "];
        lacks.iter().any(|lack| line.starts_with(lack))
    };
    if let Some(lack) = Some(line.trim()).filter(is_lack) {
        return Some(lack);
    }
    if line.contains(SENT_ERROR) {
        return line.split(r"\x00").max_by_key(|part| part.len());
    }
    let said = line.trim_start().strip_prefix("error:")?.trim();
    let said = match said.split_once("' failed: ") {
        Some((before, why)) if before.starts_with("build of '") => why,
        _ => said,
    };
    let said = said.strip_prefix("error:").unwrap_or(said).trim();
    let is_effect = EFFECTS.iter().any(|effect| said.starts_with(effect));
    // What begins on a line of its own goes on below it (Nix 2.34).
    (!is_effect && !said.is_empty()).then_some(said)
}

/// Whether `path` is a store path of this test build: what Nix printed is checked before it is read.
pub(super) fn is_output(path: &str, nonce: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    path.starts_with('/')
        && !path.contains("/../")
        && name
            .split_once('-')
            .is_some_and(|(hash, name)| !hash.is_empty() && name.strip_prefix(NAME) == Some(nonce))
}

/// Whether Nix's `path-info --json` says that this store built `path` itself; `None` where it says
/// nothing of it. A false one is left out (`pathInfoToJSON`, src/nix/path-info.cc): an old Nix prints
/// a list with the path in each, later ones an object by path (since 2.19), the latest below `info`.
pub(super) fn ultimate(json: &[u8], path: &str) -> Option<bool> {
    let all: serde_json::Value = serde_json::from_slice(json).ok()?;
    let base = path.rsplit('/').next().unwrap_or(path);
    let entry = match &all {
        serde_json::Value::Array(entries) => entries
            .iter()
            .find(|entry| entry.get("path").and_then(|p| p.as_str()) == Some(path)),
        object => [Some(object), object.get("info")]
            .into_iter()
            .flatten()
            .find_map(|paths| paths.get(path).or_else(|| paths.get(base))),
    };
    let entry = entry?.as_object()?;
    if entry.get("valid").and_then(serde_json::Value::as_bool) == Some(false) {
        return None;
    }
    let flag = entry.get("ultimate");
    Some(flag.and_then(serde_json::Value::as_bool).unwrap_or(false))
}

/// Whether a line of Nix's log says that it could not use the builder.
pub(super) fn is_refusal(line: &str) -> bool {
    line.contains("cannot build on '")
}

/// Whether what Nix said last shows that the builder's store is this machine's own: the build here
/// holds the lock of its output (`PathLocks`, src/libstore/pathlocks.cc) while it waits for the one
/// there.
pub(super) fn waits_for_itself(told: &str) -> bool {
    told.contains("waiting for lock on")
}

/// The builder failed.
pub(super) fn failed(reason: Reason, detail: impl Into<Printable>) -> BuildVerdict {
    BuildVerdict::Failed {
        reason,
        blames: true,
        place: Printable::default(),
        detail: detail.into(),
    }
}

/// Something failed before the builder had a part in it, or beside it.
pub(super) fn unblamed(reason: Reason, detail: impl Into<Printable>) -> BuildVerdict {
    BuildVerdict::Failed {
        reason,
        blames: false,
        place: Printable::default(),
        detail: detail.into(),
    }
}

/// The value of `key=value` in an output; empty where there is none.
fn value<'a>(output: &'a [u8], key: &str) -> &'a str {
    let text = std::str::from_utf8(output).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_default()
        .trim()
}

#[cfg(test)]
mod tests;
