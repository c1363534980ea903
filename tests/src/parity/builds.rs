//! Whether a build goes where the list of builders says, and the daemon knows.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink};

use offload_client::{Kind, Snapshot};
use serde::Deserialize;

use super::{
    Case, Judged,
    agreement::{Word, hold as held},
    codes,
    fill::fill,
    ground::Ground,
    nix::{Nix, Wants},
    proof,
    ssh::Desktop,
};
use crate::{Result, error::Context, process::system_program};

/// The list of builders where a case has none of its own.
const MACHINES: &str = "ssh-ng://root@127.0.42.9 x86_64-linux {K} 1 1 - - {H}";

/// The desktop's store is as large as before another case.
const ROOMY: &str = "mount -o remount,size=50% /nix";

/// One way to a builder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildCase {
    name: String,
    differs: Option<String>,
    /// The list of builders; `{K}` is a key that lets in, `{H}` the host key, `{M}` the directory of it.
    #[serde(default = "machines")]
    machines: String,
    /// More such files, by their names.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// What nix.conf has behind the line that names it.
    #[serde(default)]
    conf: String,
    /// /etc/ssh/ssh_config.
    #[serde(default)]
    config: String,
    /// What Nix and the daemon have in their environment.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// What the desktop's shell does before what it is asked, in `sh`.
    #[serde(default)]
    desktop: String,
    /// What is built.
    #[serde(default)]
    wants: Wants,
    /// The warning that goes with it.
    warns: Option<String>,
    /// What nix.conf has behind that while nix-daemon starts, and offloadd sees it, and no longer afterwards: it is
    /// nix-daemon then that builds.
    started_with: Option<String>,
    /// What no check shows: held is the verdict after a test build, which has these words of Nix's where Nix does not go.
    proof: Option<String>,
}

fn machines() -> String {
    MACHINES.to_owned()
}

impl Case for BuildCase {
    fn name(&self) -> &str {
        &self.name
    }

    fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }
}

/// Has Nix build there, and asks the daemon.
pub(super) async fn hold(
    ground: &Ground,
    desktop: &Desktop<'_>,
    case: &BuildCase,
    nix: &Nix<'_>,
) -> Result<Judged> {
    desktop.behave(&format!("{ROOMY}\n{}", case.desktop), &case.config)?;
    let place = ground.path("builds");
    let filled = |text: &str| {
        let text = text.replace("{K}", "{D}k_ed25519");
        let text = text.replace("{H}", "{b64:hk_ed25519}");
        let text = text.replace("{M}", &place.display().to_string());
        fill(&text, desktop.keys())
    };
    let machines = ground.write(place.join("machines"), filled(&case.machines) + "\n", 0o644)?;
    for (name, text) in &case.files {
        // One of them may be a program.
        ground.write(place.join(name), filled(text), 0o755)?;
    }
    let write_conf = |more: &str| {
        let machines = machines.display();
        let own = filled(&format!("{}\n{more}", case.conf));
        let conf = format!("substituters =\nbuilders = @{machines}\n{own}\n");
        ground.write(place.join("nix.conf"), conf, 0o644)
    };
    let conf = write_conf("")?;
    without_ssh(ground)?;
    let mut environment = nix.environment();
    let own = case.environment.iter();
    environment.extend(own.map(|(name, value)| (name.as_str(), filled(value))));
    let configuration = format!("[nix]\nconf = \"{}\"\n", conf.display());
    if let Some(before) = &case.started_with {
        write_conf(before)?;
        let nix_daemon = nix.daemon(&place, &environment).await?;
        let more = "[proof]\nbuilds = \"never\"\n";
        let laptop = proof::laptop(nix, &place, &environment, configuration + more).await?;
        write_conf("")?;
        let is_judged =
            |snapshot: &Snapshot| proof::is_judged(snapshot, Kind::Builder, case.warns.as_deref());
        let snapshot = laptop.until("the builder is judged", is_judged).await?;
        environment.insert("NIX_REMOTE", "daemon".to_owned());
        let did = nix.builds(&place, &environment, &case.wants)?;
        drop(nix_daemon);
        let snapshot = proof::json(&snapshot)?;
        return Ok(held(&snapshot, Word::of(&snapshot, "builder"), &did));
    }
    let did = nix.builds(&place, &environment, &case.wants)?;
    if let Some(words) = &case.proof {
        let (snapshot, told) = proof::after(nix, &place, &environment, configuration).await?;
        let word = Word::of(&snapshot, "builder");
        let judged = held(&snapshot, word, &did);
        // Another version of Nix may go there after all.
        let is_told = if did.well {
            told.is_empty()
        } else {
            told.contains(words)
        };
        return Ok(Judged {
            // What Nix has built there is no longer in doubt.
            agrees: (word == Word::Goes) == did.well && is_told,
            said: format!("{}; its proof: {told}", judged.said),
            ..judged
        });
    }
    Ok(match ground.once(&configuration, &environment, false)? {
        Ok(snapshot) => {
            let judged = held(&snapshot, Word::of(&snapshot, "builder"), &did);
            let mut warns = case.warns.iter();
            let is_warned = warns.all(|code| codes(&snapshot).contains(&&**code));
            Judged {
                agrees: judged.agrees && is_warned,
                ..judged
            }
        }
        Err(error) => (false, error).into(),
    })
}

/// A directory for the PATH that has not ssh.
fn without_ssh(ground: &Ground) -> Result<()> {
    let directory = ground.path("without-ssh");
    if !directory.exists() {
        fs::create_dir(&directory).context(directory.display())?;
        for (name, package) in [("setsid", "util-linux"), ("timeout", "coreutils")] {
            symlink(system_program(name, package)?, directory.join(name)).context(name)?;
        }
    }
    Ok(())
}
