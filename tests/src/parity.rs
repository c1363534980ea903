//! Inputs, most of them from real configurations, with what real Nix (2.8.0, 2.26.3, 2.34.8) and OpenSSH (9.2, 10.0,
//! 10.6) made of them, held against the daemon.
//!
//! Each runs `offloadd --once --json` with nothing but what the case says in reach: [`Ground`] is a network and a
//! mount namespace of its own. The cases are data, in `cases/`, a line of JSON each; one is changed only with a real
//! program's word for it (`parity --truth` asks this machine's ssh).
//!
//! With `--live` what was written down counts for nothing: a real Nix is asked for each case, on the very same files.
//! The kinds `witness` and `builds` are there for that alone.

mod agreement;
mod builds;
mod cache;
mod files;
mod fill;
mod ground;
mod keys;
mod nix;
mod proof;
mod ssh;
mod truth;
mod witness;

use std::{fmt, path::PathBuf, str::FromStr};

use serde::de::DeserializeOwned;
use serde_json::Value;

use self::nix::Nix;
pub use self::{
    agreement::{Agreement, Tally},
    ground::{Ground, enter},
};
use crate::{Error, Result};

/// What is read, or spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A builder's line, ssh_config, known_hosts and keys, as root.
    Ssh,
    /// The same as an ordinary user, with root's files as credentials.
    User,
    /// Machines files.
    Machines,
    /// nix.conf.
    Conf,
    /// What a cache says.
    Cache,
    /// Caches of which nix-daemon alone knows that it does not get there.
    Witness,
    /// Whether a build goes where it is to go: lines, settings, environments, and what the desktop is like.
    Builds,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ssh,
        Self::User,
        Self::Machines,
        Self::Conf,
        Self::Cache,
        Self::Witness,
        Self::Builds,
    ];

    fn cases(self) -> &'static str {
        match self {
            Self::Ssh => include_str!("parity/cases/ssh.jsonl"),
            Self::User => include_str!("parity/cases/user.jsonl"),
            Self::Machines => include_str!("parity/cases/machines.jsonl"),
            Self::Conf => include_str!("parity/cases/conf.jsonl"),
            Self::Cache => include_str!("parity/cases/cache.jsonl"),
            Self::Witness => include_str!("parity/cases/witness.jsonl"),
            Self::Builds => include_str!("parity/cases/builds.jsonl"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssh => "ssh",
            Self::User => "user",
            Self::Machines => "machines",
            Self::Conf => "conf",
            Self::Cache => "cache",
            Self::Witness => "witness",
            Self::Builds => "builds",
        })
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let kind = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        kind.ok_or_else(|| Error::Unsupported(format!("no kind of cases is called {text}")))
    }
}

/// One case, and how the daemon took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The case.
    pub name: String,
    /// What the daemon made of it, and what the real program did.
    pub said: String,
    /// Whether the two agree.
    pub agrees: bool,
    /// Why they need not, where that is known.
    pub differs: Option<String>,
    /// How, where Nix was asked.
    pub agreement: Option<Agreement>,
}

impl Outcome {
    /// They agree, or differ as is known; one that is known to differ and does not is no longer known to. Versions of
    /// Nix differ too.
    pub fn is_expected(&self) -> bool {
        self.agrees == self.differs.is_none() || self.agrees && self.agreement.is_some()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            said,
            agrees,
            differs,
            agreement,
        } = self;
        if let Some(agreement) = agreement {
            write!(f, "{agreement:<16}")?;
        }
        match (agrees, differs) {
            (true, None) => write!(f, "agrees   {name}"),
            (false, Some(why)) => write!(f, "differs  {name}: {said} ({why})"),
            (true, Some(why)) => write!(f, "AGREES   {name}, which was known to differ: {why}"),
            (false, None) => write!(f, "DIFFERS  {name}: {said}"),
        }
    }
}

/// Which cases, and whether this machine's ssh is asked too.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only those with this in their names.
    pub only: Option<String>,
    /// Say where this machine's ssh disagrees with the case.
    pub truth: bool,
    /// Of so many parts of them this one, counted from 1: parts run side by side.
    pub part: Option<(usize, usize)>,
    /// Ask Nix, and not what was written down.
    pub live: bool,
    /// The Nix of this tree; this machine's own where it names none.
    pub tree: Option<PathBuf>,
}

/// Runs the cases of one kind, telling each as it ends; the tally is whether all came out as expected.
///
/// # Errors
/// When the ground can't be laid, or a case is not well-formed.
pub async fn run(
    kind: Kind,
    selection: &Selection,
    tell: &mut dyn FnMut(&Outcome),
) -> Result<bool> {
    let ground = Ground::new()?;
    let nix = if selection.live {
        Some(Nix::new(&ground, selection.tree.as_deref())?)
    } else {
        None
    };
    let nix = nix.as_ref();
    match kind {
        Kind::Ssh | Kind::User => {
            let desktop = ssh::Desktop::start(&ground, selection.live).await?;
            let is_user = kind == Kind::User;
            each(kind, selection, tell, async |case| match nix {
                Some(nix) => desktop.hold(case, nix),
                None => desktop.judge(case, is_user, selection.truth),
            })
            .await
        }
        Kind::Machines => {
            let judge = async |case: &_| files::machines(&ground, case);
            each(kind, selection, tell, judge).await
        }
        Kind::Conf => {
            let judge = async |case: &_| files::conf(&ground, case, nix);
            each(kind, selection, tell, judge).await
        }
        Kind::Cache => {
            let cases = cases(kind)?;
            let server = cache::Server::start(&ground, &cases)?;
            let judge = async |case: &_| server.judge(case, nix);
            each(kind, selection, tell, judge).await
        }
        Kind::Witness => {
            let nix = nix.ok_or_else(unwritten)?;
            let server = cache::Server::start(&ground, &cases(Kind::Cache)?)?;
            let judge = async |case: &_| witness::judge(&ground, &server, case, nix).await;
            each(kind, selection, tell, judge).await
        }
        Kind::Builds => {
            let nix = nix.ok_or_else(unwritten)?;
            let desktop = ssh::Desktop::start(&ground, true).await?;
            let judge = async |case: &_| builds::hold(&ground, &desktop, case, nix).await;
            each(kind, selection, tell, judge).await
        }
    }
}

fn unwritten() -> Error {
    Error::Unsupported("nobody has written down what these come to: --live".to_owned())
}

/// How the daemon took a case.
struct Judged {
    agrees: bool,
    said: String,
    agreement: Option<Agreement>,
}

impl From<(bool, String)> for Judged {
    fn from((agrees, said): (bool, String)) -> Self {
        Self {
            agrees,
            said,
            agreement: None,
        }
    }
}

/// What every case has.
trait Case: DeserializeOwned {
    fn name(&self) -> &str;
    fn differs(&self) -> Option<&str>;
}

fn cases<C: Case>(kind: Kind) -> Result<Vec<C>> {
    let lines = kind.cases().lines();
    let cases = lines.map(|line| {
        serde_json::from_str(line)
            .map_err(|error| Error::Unsupported(format!("{error} in this case of {kind}: {line}")))
    });
    cases.collect()
}

async fn each<C: Case>(
    kind: Kind,
    selection: &Selection,
    tell: &mut dyn FnMut(&Outcome),
    judge: impl AsyncFn(&C) -> Result<Judged>,
) -> Result<bool> {
    let mut as_expected = true;
    for (position, case) in cases::<C>(kind)?.into_iter().enumerate() {
        if selection
            .part
            .is_some_and(|(part, of)| position % of != part - 1)
        {
            continue;
        }
        let only = selection.only.as_deref();
        if only.is_some_and(|part| !case.name().contains(part)) {
            continue;
        }
        let judged = judge(&case).await?;
        let outcome = Outcome {
            name: format!("{kind}/{}", case.name()),
            said: judged.said,
            agrees: judged.agrees,
            differs: case.differs().map(str::to_owned),
            agreement: judged.agreement.map(|agreement| {
                if judged.agrees || case.differs().is_none() {
                    agreement
                } else {
                    Agreement::Known
                }
            }),
        };
        as_expected &= outcome.is_expected();
        tell(&outcome);
    }
    Ok(as_expected)
}

/// The targets of a kind in what `--once --json` printed.
fn targets<'a>(snapshot: &'a Value, kind: &str) -> Vec<&'a Value> {
    let targets = snapshot["targets"].as_array().into_iter().flatten();
    targets.filter(|target| target["kind"] == kind).collect()
}

/// The codes of its warnings.
fn codes(snapshot: &Value) -> Vec<&str> {
    let warnings = snapshot["warnings"].as_array().into_iter().flatten();
    warnings
        .filter_map(|warning| warning["code"].as_str())
        .collect()
}

/// What Nix has of a target: the layer `deployed` of a subject.
fn deployed<'a>(target: &'a Value, subject: &str) -> Option<&'a str> {
    let layers = target["layers"].as_array()?;
    let layer = layers.iter().find(|layer| layer["subject"] == subject)?;
    layer["deployed"]["value"].as_str()
}
