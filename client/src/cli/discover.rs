//! `discover`: looks on the local network for what is not where it should be.

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    json,
    output::Output,
    session::Session,
    spinner,
};
use crate::{
    Reason, Snapshot,
    language::{say, tr, tr_later},
    page::state_glyph,
    snapshot::Target,
};

pub(super) async fn discover(cli: &Cli, output: Output) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let before = session.snapshot().await?;
    let (after, found) = spinner::beside(tr("looking"), session.client.discover()).await?;
    let found: Vec<&Target> = after
        .targets
        .iter()
        .filter(|target| found.contains(&target.path()))
        .collect();
    if cli.json {
        output.print(&json::line(&json::Discovery {
            document: json::Document(session.document(None).await?),
            found: found.iter().map(|target| (*target).into()).collect(),
        })?)?;
    } else {
        output.print(&sentences(&before, &after, &found))?;
    }
    Ok(Outcome::ready(all_there(&after)))
}

fn all_there(snapshot: &Snapshot) -> bool {
    snapshot.targets.iter().all(is_there)
}

/// Whether it passes its checks: that Nix does not go there is no reason to look for it.
fn is_there(target: &Target) -> bool {
    target.state.is_ready() || target.reason.hindrance().is_some()
}

/// What came of it, a line for each target that was looked for.
fn sentences(before: &Snapshot, after: &Snapshot, found: &[&Target]) -> String {
    if found.is_empty() && all_there(before) && all_there(after) {
        return tr("Nothing is missing: every target answers where it is.").to_owned() + "\n";
    }
    let mut page = String::new();
    let mut lost = false;
    for target in &after.targets {
        let (label, address) = (target.label(), &target.address);
        let is_found = found.iter().any(|one| one.path() == target.path());
        let was_there = before
            .targets
            .iter()
            .any(|old| old.path() == target.path() && is_there(old));
        let line = match (is_found, is_there(target)) {
            (true, true) if target.reason == Reason::AddressMoved => {
                let told = say!(
                    "{label} was found at {address}; Nix does not go there: see `offloadctl`",
                    label,
                    address
                );
                format!("✔ {told}\n")
            }
            (true, true) => {
                let told = say!("{label} was found at {address}", label, address);
                format!("✔ {told}\n")
            }
            (true, false) => {
                let state = target.state;
                let sign = state_glyph(state);
                let told = say!(
                    "{label} was found at {address}, and it is {state}: see `offloadctl`",
                    label,
                    address,
                    state
                );
                format!("{sign} {told}\n")
            }
            // It came back by itself meanwhile.
            (false, true) if !was_there => {
                let told = say!("{label} is there at {address}", label, address);
                format!("✔ {told}\n")
            }
            (false, true) => continue,
            (false, false) => {
                lost = true;
                format!("✗ {}\n", say!("{label} was not found", label))
            }
        };
        page.push_str(&line);
    }
    if lost {
        page.push_str(tr(REMEDY));
    }
    page
}

/// What to do where something was not found. Answers to multicast DNS come to a port of the daemon's
/// own from whom it did not ask by name: to a firewall they belong to nothing.
const REMEDY: &str = tr_later(
    "\
→ Is the desktop on, and on this network? Multicast DNS and the neighbours were asked in any case;
  to have each address tried, name the network in /etc/offloadd/config.toml and look again:
      [discover]
      sweep = [\"192.0.2.0/24\"]
  `ip -4 route` shows this machine's networks. `offloadctl` says what is wrong at the old address.
→ NixOS's firewall drops answers of multicast DNS unless it is told to let them in:
      networking.firewall.extraCommands = \"iptables -A nixos-fw -p udp --sport 5353 -j nixos-fw-accept\";
",
);
