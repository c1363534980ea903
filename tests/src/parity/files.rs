//! Machines files and nix.conf as Nix of the case's version reads them.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Case, Judged,
    agreement::{Word, hold},
    codes, deployed,
    ground::{Ground, SYSTEM_PATH},
    nix::Nix,
    targets,
};
use crate::{Result, error::Context};

/// The Nix that was asked: of the versions that were, the newest where all of them agree.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) enum Asked {
    #[default]
    #[serde(rename = "any")]
    Any,
    #[serde(rename = "2.34")]
    Newest,
    #[serde(rename = "2.26")]
    Middle,
    #[serde(rename = "2.8")]
    Oldest,
}

impl Asked {
    fn version(self) -> &'static str {
        match self {
            Self::Any | Self::Newest => "2.34.8",
            Self::Middle => "2.26.3",
            Self::Oldest => "2.8.0",
        }
    }

    /// An environment in which it stands in the `PATH`, or the one that is asked now.
    pub(super) fn environment(
        self,
        ground: &Ground,
        now: Option<&Nix<'_>>,
    ) -> Result<BTreeMap<&'static str, String>> {
        if let Some(nix) = now {
            return Ok(nix.environment());
        }
        let bin = ground.nix(self.version())?;
        let path = format!("{}:{SYSTEM_PATH}", bin.display());
        Ok(BTreeMap::from([("PATH", path)]))
    }
}

/// A machines file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MachinesCase {
    name: String,
    differs: Option<String>,
    /// `machines`, and what else it leads to.
    input: BTreeMap<String, String>,
    #[serde(default)]
    nix: Asked,
    /// What Nix has read.
    #[serde(default)]
    targets: Vec<Machine>,
    /// Whether it drops the whole list.
    #[serde(default)]
    broken: bool,
    /// In place of `targets`: see [`judge_expected`].
    expect: Option<String>,
}

/// Store type, user, host, port, systems, features, slots.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Machine(
    Option<String>,
    Option<String>,
    String,
    u16,
    Vec<String>,
    Vec<String>,
    Option<u64>,
);

/// A nix.conf.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfCase {
    name: String,
    differs: Option<String>,
    /// `nix.conf`, and what it includes.
    input: BTreeMap<String, String>,
    #[serde(default)]
    nix: Asked,
    /// Whether https, host, port, path.
    #[serde(default)]
    caches: Vec<(bool, String, u16, String)>,
    /// User, host, port.
    #[serde(default)]
    builders: Vec<(Option<String>, String, u16)>,
    /// Whether Nix refuses it.
    #[serde(default)]
    broken: bool,
    /// In place of caches and builders: `conf-broken` or `conf-fine`.
    expect: Option<String>,
}

impl Case for MachinesCase {
    fn name(&self) -> &str {
        &self.name
    }

    fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }
}

impl Case for ConfCase {
    fn name(&self) -> &str {
        &self.name
    }

    fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }
}

/// Whether the daemon watches the builders that Nix has of it.
pub(super) fn machines(ground: &Ground, case: &MachinesCase) -> Result<Judged> {
    let place = place(ground, "machines", &case.name, &case.input)?;
    let conf = format!("substituters =\nbuilders = @{}/machines\n", place.display());
    ground.write(place.join("nix.conf"), conf, 0o644)?;
    let configuration = format!("[nix]\nconf = \"{}/nix.conf\"\n", place.display());
    let environment = case.nix.environment(ground, None)?;
    let snapshot = match ground.once(&configuration, &environment, false)? {
        Ok(snapshot) => snapshot,
        Err(error) => return Ok((false, error).into()),
    };
    let builders = targets(&snapshot, "builder");
    let mut found: Vec<_> = builders.iter().map(|target| machine(target)).collect();
    found.sort();
    let said = format!("{found:?} {:?}", codes(&snapshot));
    if let Some(expect) = &case.expect {
        return Ok((judge_expected(expect, &found, &snapshot), said).into());
    }
    let mut wanted = case.targets.clone();
    for Machine(protocol, ..) in &mut wanted {
        let known = protocol.as_deref().map(|protocol| match protocol {
            "Ssh" => "ssh",
            "SshNg" => "ssh-ng",
            other => other,
        });
        *protocol = known.map(str::to_owned);
    }
    wanted.sort();
    let is_broken = codes(&snapshot).contains(&"machines-file-broken");
    Ok((found == wanted && is_broken == case.broken, said).into())
}

/// `broken`: Nix drops the list. `accepted`: it does not. `unusable`: it never reaches the builder. `user`: ssh is
/// given a user with a colon. `absent:HOST`: it has no such builder, or never chooses it (`absent-or-warned:`).
/// `present:HOST`: it has.
fn judge_expected(expect: &str, found: &[Machine], snapshot: &Value) -> bool {
    let codes = codes(snapshot);
    let is_broken = codes.contains(&"machines-file-broken");
    let is_there = |host: &str| found.iter().any(|machine| machine.2 == host);
    let is_told = |host: &str| {
        let warnings = snapshot["warnings"].as_array().into_iter().flatten();
        warnings
            .into_iter()
            .any(|warning| warning.to_string().contains(host))
    };
    match expect.split_once(':') {
        None => match expect {
            "broken" => is_broken && found.is_empty(),
            "accepted" => !is_broken && !found.is_empty(),
            "unusable" => !codes.is_empty() || found.is_empty(),
            "user" => {
                let mut users = found.iter().filter_map(|machine| machine.1.as_deref());
                users.any(|user| user.contains(':')) || !codes.is_empty()
            }
            _ => false,
        },
        Some(("present", host)) => is_there(host) || !codes.is_empty(),
        Some(("absent" | "absent-or-warned", host)) => !is_there(host) || is_told(host),
        Some(_) => false,
    }
}

/// Whether the daemon watches the caches and builders that Nix has of it; where Nix is asked, whether both read it at
/// all.
pub(super) fn conf(ground: &Ground, case: &ConfCase, nix: Option<&Nix<'_>>) -> Result<Judged> {
    let place = place(ground, "conf", &case.name, &case.input)?;
    let configuration = format!(
        "[nix]\nconf = \"{}/nix.conf\"\nexclude = []\n",
        place.display()
    );
    let environment = case.nix.environment(ground, nix)?;
    let snapshot = match ground.once(&configuration, &environment, false)? {
        Ok(snapshot) => snapshot,
        Err(error) => return Ok((false, error).into()),
    };
    if let Some(nix) = nix {
        let did = nix.reads_conf(&place)?;
        let word = if codes(&snapshot).contains(&"nix-conf-broken") {
            Word::Stays
        } else {
            Word::Goes
        };
        return Ok(hold(&snapshot, word, &did));
    }
    let is_broken = codes(&snapshot).contains(&"nix-conf-broken");
    if let Some(expect) = &case.expect {
        let agrees = is_broken == (expect == "conf-broken");
        return Ok((agrees, format!("{:?}", codes(&snapshot))).into());
    }
    let caches = targets(&snapshot, "cache").into_iter().map(|target| {
        let (host, port) = address(target);
        let uri = target["uri"].as_str().unwrap_or_default();
        (uri.starts_with("https"), host, port)
    });
    let mut caches: Vec<_> = caches.collect();
    caches.sort();
    let builders = targets(&snapshot, "builder").into_iter().map(|target| {
        let (host, port) = address(target);
        (deployed(target, "user").map(str::to_owned), host, port)
    });
    let mut builders: Vec<_> = builders.collect();
    builders.sort();
    let wanted = case.caches.iter();
    let mut wanted: Vec<_> = wanted
        .map(|(tls, host, port, _)| (*tls, host.clone(), *port))
        .collect();
    wanted.sort();
    let mut wanted_builders = case.builders.clone();
    wanted_builders.sort();
    let agrees = caches == wanted && builders == wanted_builders && is_broken == case.broken;
    let said = format!("{caches:?} {builders:?} {:?}", codes(&snapshot));
    Ok((agrees, said).into())
}

/// Lays the case's files out. In them `{M}/NAME` is where they are, `{M}` too, and `LINK:…` a link.
fn place(
    ground: &Ground,
    kind: &str,
    name: &str,
    input: &BTreeMap<String, String>,
) -> Result<PathBuf> {
    let place = ground.path(format!("{kind}-{}", name.replace('/', "_")));
    fs::create_dir_all(&place).context(place.display())?;
    let here = place.display().to_string();
    for (file, text) in input {
        let text = text
            .replace(&format!("{{M}}/{name}"), &here)
            .replace("{M}", &here);
        let text = text.replace("{T}", &ground.path("").display().to_string());
        let path = place.join(file);
        match text.strip_prefix("LINK:") {
            Some(to) => {
                let parent = path.parent().unwrap_or(&place);
                fs::create_dir_all(parent).context(parent.display())?;
                symlink(to, &path).context(path.display())?;
            }
            None => {
                ground.write(path, text, 0o644)?;
            }
        }
    }
    Ok(place)
}

fn machine(target: &Value) -> Machine {
    let (host, port) = address(target);
    let facts = &target["facts"]["builder"];
    let words = |value: &Value| {
        let words = value.as_array().into_iter().flatten();
        let mut words: Vec<_> = words
            .filter_map(|word| Some(word.as_str()?.to_owned()))
            .collect();
        words.sort();
        words
    };
    Machine(
        facts["protocol"].as_str().map(str::to_owned),
        deployed(target, "user").map(str::to_owned),
        host,
        port,
        words(&facts["systems"]),
        words(&facts["features"]),
        facts["max_jobs"].as_u64(),
    )
}

/// Where Nix has it: host without brackets, and port.
fn address(target: &Value) -> (String, u16) {
    let address = deployed(target, "address").or(target["address"].as_str());
    let (host, port) = address
        .and_then(|address| address.rsplit_once(':'))
        .unwrap_or_default();
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    (host, port.parse().unwrap_or_default())
}
