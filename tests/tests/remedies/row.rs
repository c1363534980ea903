//! One cause: what is spoiled, what the page says, what is done, and that it is well then.

use std::time::Duration;

use offload_client::{Kind, Reason, snapshot::Target};
use offload_tests::eventually;

use crate::machines::{Machine, Machines};

/// What is changed needs a moment to be in force: sshd starts anew for a reload.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nix hands a build to the desktop.
const BUILD: &str = "NIX_REMOTE=daemon timeout 20 nix-build --no-out-link --max-jobs 0 --option substituters '' -E \
                     'derivation { name = \"proof-'$(date +%s%N)'\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; \
                     args = [ \"-c\" \"echo > $out\" ]; requiredSystemFeatures = [ FEATURES ]; }'";
/// Nix hands a build to the desktop that needs what this machine has built.
const BUILD_FROM_HERE: &str = "made=\"derivation { name = \\\"made-$(date +%s%N)\\\"; system = \\\"x86_64-linux\\\"; \
                               builder = \\\"/bin/sh\\\"; args = [ \\\"-c\\\" \\\"echo > \\$out\\\" ]; }\"; export NIX_REMOTE=daemon; \
                               nix-build --no-out-link --builders '' --option substituters '' -E \"$made\" && \
                               timeout 20 nix-build --no-out-link --max-jobs 0 --option substituters '' -E \
                               \"derivation { name = \\\"of-$(date +%s%N)\\\"; system = \\\"x86_64-linux\\\"; builder = \\\"/bin/sh\\\"; \
                               args = [ \\\"-c\\\" \\\"echo > \\$out\\\" ($made) ]; }\"";
/// Nix takes a path from the desktop's cache.
const FETCH: &str = "rm -rf /root/.cache/nix; path=$(cat /etc/served); nix-store --delete $path > /dev/null 2>&1; \
                     NIX_REMOTE=daemon timeout 20 nix-store --realise $path";

/// What Nix itself is asked before and after.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// To build there.
    Builds,
    /// To build there what needs something that was built here.
    BuildsFromHere,
    /// To build there what needs this feature.
    BuildsWith(&'static str),
    /// To fetch from there.
    Fetches,
    /// Nothing: it would wait for longer than a test has.
    None,
}

/// One row of the table.
pub(crate) struct Row {
    pub(crate) reason: Reason,
    pub(crate) cause: &'static str,
    pub(crate) spoil: &'static [(Machine, &'static str)],
    pub(crate) remedy: &'static [Step],
    pub(crate) proof: Proof,
}

/// A part of a remedy.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    place: Machine,
    said: &'static str,
    done: Option<&'static str>,
    shows: &'static str,
}

/// A command of the page, run on the desktop as it stands there.
pub(crate) const fn there(said: &'static str) -> Step {
    step(Machine::Desktop, said)
}

/// A command of the page, run on the laptop as it stands there.
pub(crate) const fn here(said: &'static str) -> Step {
    step(Machine::Laptop, said)
}

const fn step(place: Machine, said: &'static str) -> Step {
    Step {
        place,
        said,
        done: None,
        shows: "",
    }
}

impl Step {
    /// Words of the page, and what a person does for them.
    pub(crate) const fn by(self, script: &'static str) -> Self {
        Self {
            done: Some(script),
            ..self
        }
    }

    /// What the command must show, for the person to know what to do next.
    pub(crate) const fn shows(self, words: &'static str) -> Self {
        Self {
            shows: words,
            ..self
        }
    }
}

impl Proof {
    fn script(self) -> Option<String> {
        match self {
            Self::Builds => Some(BUILD.replace("FEATURES", "")),
            Self::BuildsWith(feature) => Some(BUILD.replace("FEATURES", &format!("\"{feature}\""))),
            Self::BuildsFromHere => Some(BUILD_FROM_HERE.to_owned()),
            Self::Fetches => Some(FETCH.to_owned()),
            Self::None => None,
        }
    }
}

/// Plays all rows, each on machines in order, and prints the table; panics with those that did not mend.
pub(crate) async fn follow(kind: Kind, rows: &[Row]) {
    let Some(machines) = Machines::start().await else {
        return;
    };
    let only = std::env::var("OFFLOAD_ROW").unwrap_or_default();
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| row.cause.contains(&only)) {
        machines.put_back();
        let Row { reason, cause, .. } = row;
        match play(&machines, kind, row).await {
            Ok(followed) => println!("{reason} | {cause} | {followed} | mended"),
            Err(why) => {
                println!("{reason} | {cause} | | NOT MENDED: {why}");
                wrong.push(format!("{reason}, {cause}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

async fn play(machines: &Machines, kind: Kind, row: &Row) -> Result<String, String> {
    let asks_nix = |well: bool| match row.proof.script() {
        Some(script) => {
            let said = machines.run(Machine::Laptop, &script);
            let word = if well {
                "does not get there"
            } else {
                "gets there"
            };
            (said.is_well == well)
                .then_some(())
                .ok_or_else(|| format!("Nix {word}: {}", said.words))
        }
        None => Ok(()),
    };
    for (place, script) in row.spoil {
        let spoiled = machines.run(*place, script);
        if !spoiled.is_well {
            return Err(format!("{script}: {}", spoiled.words));
        }
    }
    let page = until(machines, kind, row.reason).await?;
    asks_nix(false)?;
    let mut followed = Vec::new();
    for step in row.remedy {
        if !page.contains(step.said) {
            return Err(format!("the page does not say {}: {page}", step.said));
        }
        let script = match step.done {
            Some(script) => script,
            None if page.contains(&format!("`{}`", step.said)) => step.said,
            None => return Err(format!("{} is no command on the page: {page}", step.said)),
        };
        done(machines, step, script).await?;
        followed.push(step.said);
    }
    until(machines, kind, Reason::None).await?;
    asks_nix(true)?;
    Ok(followed.join(", then "))
}

/// Does a step; what it must show may take a moment to be in a journal.
async fn done(machines: &Machines, step: &Step, script: &str) -> Result<(), String> {
    let mut last = String::new();
    let seen = eventually(PATIENCE, "the command shows it", async || {
        let said = machines.run(step.place, script);
        let is_shown = said.words.contains(step.shows);
        last = said.words;
        if step.shows.is_empty() {
            Some(said.is_well)
        } else {
            is_shown.then_some(true)
        }
    });
    match seen.await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(format!("`{script}` says: {last}")),
    }
}

/// Looks until the target of `kind` has this reason, or is ready where that is none; the page then.
async fn until(machines: &Machines, kind: Kind, reason: Reason) -> Result<String, String> {
    let fits = |target: &Target| {
        target.reason == reason && target.state.is_ready() == (reason == Reason::None)
    };
    let mut last = String::new();
    let seen = eventually(PATIENCE, "the page says it", async || {
        let (snapshot, page) = machines.look();
        last.clone_from(&page);
        let target = snapshot.targets.iter().find(|target| target.kind == kind);
        // What Nix does not use at all is not watched: it is the warning that says why.
        let is_warned = |code: &str| snapshot.warnings.iter().any(|it| it.code.as_str() == code);
        target
            .map_or_else(|| is_warned(reason.as_str()), fits)
            .then_some(page)
    });
    seen.await
        .map_err(|_| format!("it is never `{reason}`: {last}"))
}
