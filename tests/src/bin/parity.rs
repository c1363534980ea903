//! `parity [--kind KIND] [--only TEXT] [--part N/M] [--truth] [--live] [--nix TREE] [--quiet]`: the daemon held against what
//! real Nix and OpenSSH made of the same input, or with `--live` against what this machine's Nix, or the one in TREE,
//! makes of it now. As root.

use std::{env, process::ExitCode};

use offload_tests::{
    Error, Result,
    parity::{Kind, Selection, Tally, enter, run},
};

/// sysexits(3): the command was used wrongly.
const USAGE: u8 = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match parity().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("parity: {error}");
            ExitCode::from(USAGE)
        }
    }
}

async fn parity() -> Result<bool> {
    let (mut kinds, mut selection, mut quiet) = (Vec::new(), Selection::default(), false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let missing = || Error::Unsupported(format!("{argument} needs a value"));
            arguments.next().ok_or_else(missing)
        };
        match argument.as_str() {
            "--kind" => kinds.push(value()?.parse::<Kind>()?),
            "--only" => selection.only = Some(value()?),
            "--part" => selection.part = Some(part(&value()?)?),
            "--truth" => selection.truth = true,
            "--live" => selection.live = true,
            "--nix" => {
                selection.live = true;
                selection.tree = Some(value()?.into());
            }
            "--quiet" => quiet = true,
            _ => {
                let usage = "usage: parity [--kind KIND]… [--only TEXT] [--part N/M] [--truth] [--live] \
                             [--nix TREE] [--quiet]";
                return Err(Error::Unsupported(usage.to_owned()));
            }
        }
    }
    enter()?;
    if kinds.is_empty() {
        kinds.extend(Kind::ALL);
        // Those are of another account and of builders that are nowhere; of these nothing was written down.
        kinds.retain(|kind| match kind {
            Kind::User | Kind::Machines => !selection.live,
            Kind::Witness | Kind::Builds => selection.live,
            Kind::Ssh | Kind::Conf | Kind::Cache => true,
        });
    }
    let mut as_expected = true;
    for kind in kinds {
        let (mut agree, mut all, mut tally) = (0, 0, Tally::default());
        as_expected &= run(kind, &selection, &mut |outcome| {
            agree += usize::from(outcome.agrees);
            all += 1;
            if let Some(agreement) = outcome.agreement {
                tally.add(agreement);
            }
            if !quiet || !outcome.agrees || !outcome.is_expected() {
                println!("{outcome}");
            }
        })
        .await?;
        if selection.live {
            println!("{kind}: {tally}");
        } else {
            println!("{kind}: {agree} of {all} agree");
        }
    }
    Ok(as_expected)
}

/// `2/4`: the second of four parts.
fn part(text: &str) -> Result<(usize, usize)> {
    let numbers = text.split_once('/').and_then(|(part, of)| {
        let (part, of) = (part.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&part).then_some((part, of))
    });
    numbers.ok_or_else(|| Error::Unsupported(format!("{text} is no part such as 2/4")))
}
