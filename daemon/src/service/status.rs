//! `STATUS=`: the verdict in one line, for `systemctl status`.

use std::{cmp::Reverse, fmt::Write, sync::Arc};

use offload_client::{Printable, Reason, Snapshot, snapshot::Target};
use tokio::sync::watch;

use crate::{health, notify::Notifier};

/// So many targets are named; of more, the worst.
const NAMED: usize = 4;
/// So much of a name is shown, in characters.
const NAME: usize = 64;

/// Keeps the status line true until the monitor is gone; says something only when it changed.
pub(crate) async fn report_status(
    notifier: Notifier,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
) {
    let mut told = status_line(&snapshots.borrow_and_update());
    while snapshots.changed().await.is_ok() {
        let line = status_line(&snapshots.borrow_and_update());
        if line != told {
            notifier.status(line.clone());
            told = line;
        }
    }
}

/// `degraded: cache/desktop ready, builder/desktop degraded (auth-rejected)`; of many targets
/// `degraded: 121 of 125 ready, cache/old down (refused), …`: short whatever is watched, since systemd
/// takes no notification of more than 4096 bytes.
pub(crate) fn status_line(snapshot: &Snapshot) -> String {
    let mut line = snapshot.state.to_string();
    let targets = &snapshot.targets;
    if targets.is_empty() {
        let _ = write!(line, ": {}", Reason::NotConfigured);
    }
    if targets.len() <= NAMED {
        write_targets(&mut line, targets.iter(), ": ");
        return line;
    }
    let ready = targets.iter().filter(|target| target.state.is_ready());
    let _ = write!(line, ": {} of {} ready", ready.count(), targets.len());
    let mut others: Vec<&Target> = targets.iter().filter(|t| !t.state.is_ready()).collect();
    // Of equals the first ones, as everywhere.
    others.sort_by_key(|target| Reverse(health::rank(target.state, target.reason)));
    let more = others.len().saturating_sub(NAMED);
    write_targets(&mut line, others.into_iter().take(NAMED), ", ");
    if more > 0 {
        let _ = write!(line, " and {more} more");
    }
    line
}

fn write_targets<'a>(
    line: &mut String,
    targets: impl Iterator<Item = &'a Target>,
    mut separator: &str,
) {
    for target in targets {
        let name = Printable::excerpt(target.name.as_bytes(), NAME);
        let _ = write!(line, "{separator}{}/{name} {}", target.kind, target.state);
        if target.reason != Reason::None && !target.state.is_ready() {
            let _ = write!(line, " ({})", target.reason);
        }
        separator = ", ";
    }
}

#[cfg(test)]
mod tests {
    use offload_client::{Kind, OverallState, TargetState};

    use super::*;

    fn target(kind: Kind, state: TargetState, reason: Reason) -> Target {
        Target {
            name: "desktop".into(),
            kind,
            state,
            reason,
            ..Target::default()
        }
    }

    fn degraded(targets: Vec<Target>) -> Snapshot {
        Snapshot {
            state: OverallState::Degraded,
            targets: targets.into(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_status_line_names_a_few_targets_and_why_they_are_not_ready() {
        let snapshot = degraded(vec![
            target(Kind::Cache, TargetState::Ready, Reason::None),
            target(Kind::Builder, TargetState::Degraded, Reason::AuthRejected),
        ]);
        assert_eq!(
            status_line(&snapshot),
            "degraded: cache/desktop ready, builder/desktop degraded (auth-rejected)"
        );
    }

    #[test]
    fn of_many_it_counts_the_ready_ones_and_names_the_worst() {
        let mut targets = vec![target(Kind::Cache, TargetState::Ready, Reason::None); 7];
        targets.push(target(Kind::Cache, TargetState::Away, Reason::NoRoute));
        assert_eq!(
            status_line(&degraded(targets.clone())),
            "degraded: 7 of 8 ready, cache/desktop away (no-route)"
        );
        targets.extend(vec![
            target(Kind::Cache, TargetState::Down, Reason::Refused);
            4
        ]);
        targets.push(target(
            Kind::Builder,
            TargetState::Degraded,
            Reason::HostKeyMismatch,
        ));
        assert_eq!(
            status_line(&degraded(targets)),
            "degraded: 7 of 13 ready, builder/desktop degraded (host-key-mismatch), \
             cache/desktop down (refused), cache/desktop down (refused), \
             cache/desktop down (refused) and 2 more"
        );
    }

    #[test]
    fn it_is_short_and_one_line_whatever_the_names() {
        let long = Target {
            name: "a\nREADY=1\n\u{10ffff}".repeat(10_000).into(),
            ..target(Kind::Builder, TargetState::Down, Reason::HostKeyMismatch)
        };
        for count in [1, NAMED, 5000] {
            let line = status_line(&degraded(vec![long.clone(); count]));
            assert!(line.len() < 2048, "{}", line.len());
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn with_nothing_to_watch_the_status_line_says_so() {
        assert_eq!(status_line(&Snapshot::default()), "unknown: not-configured");
    }
}
