//! `STATUS=`: the verdict in one line, for `systemctl status`.

use std::{fmt::Write, sync::Arc};

use offload_client::{Reason, Snapshot};
use tokio::sync::watch;

use super::Notifier;

/// Keeps the status line true until the monitor is gone; says something only when it changed.
pub(crate) async fn report_status(mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let mut told = status_line(&snapshots.borrow_and_update());
    while snapshots.changed().await.is_ok() {
        let line = status_line(&snapshots.borrow_and_update());
        if line != told {
            Notifier.status(&line);
            told = line;
        }
    }
}

/// `degraded: cache/desktop ready, builder/desktop degraded (auth-rejected)`.
pub(crate) fn status_line(snapshot: &Snapshot) -> String {
    let mut line = snapshot.state.to_string();
    if snapshot.targets.is_empty() {
        let _ = write!(line, ": {}", Reason::NotConfigured);
    }
    for (i, target) in snapshot.targets.iter().enumerate() {
        let separator = if i == 0 { ": " } else { ", " };
        let _ = write!(
            line,
            "{separator}{}/{} {}",
            target.kind, target.name, target.state
        );
        if target.reason != Reason::None && !target.state.is_ready() {
            let _ = write!(line, " ({})", target.reason);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use offload_client::{Kind, OverallState, TargetState, snapshot::Target};

    use super::*;

    #[test]
    fn the_status_line_names_every_target_and_why_it_is_not_ready() {
        let ready = Target {
            name: "desktop".into(),
            kind: Kind::Cache,
            state: TargetState::Ready,
            ..Target::default()
        };
        let refused = Target {
            kind: Kind::Builder,
            state: TargetState::Degraded,
            reason: Reason::AuthRejected,
            ..ready.clone()
        };
        let snapshot = Snapshot {
            state: OverallState::Degraded,
            targets: vec![ready, refused],
            ..Snapshot::default()
        };
        assert_eq!(
            status_line(&snapshot),
            "degraded: cache/desktop ready, builder/desktop degraded (auth-rejected)"
        );
    }

    #[test]
    fn with_nothing_to_watch_the_status_line_says_so() {
        assert_eq!(status_line(&Snapshot::default()), "unknown: not-configured");
    }
}
