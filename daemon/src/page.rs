//! The page on the terminal, for who runs the daemon by hand.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use offload_client::{Reason, Snapshot, TargetState, page};
use tokio::sync::watch;

use crate::clock::Now;

/// Coloured where standard output is a terminal.
pub(crate) fn style() -> page::Style {
    let terminal = io::stdout().is_terminal();
    page::Style {
        colour: terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        now_realtime_usec: Now::read().realtime_usec,
        ..page::Style::default()
    }
}

/// Shows the page once, when everything is judged for the first time, and where to go on. Never ends.
pub(crate) async fn first(mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let judged = snapshots.wait_for(|snapshot| is_judged(snapshot)).await;
    if let Ok(snapshot) = judged.map(|snapshot| Arc::clone(&snapshot)) {
        let page = page::render(&snapshot, &style());
        // A reader that went away is no reason to stop watching.
        let _ = write!(io::stdout(), "\n{page}\n{}\n", next());
    }
    std::future::pending::<()>().await;
}

fn is_judged(snapshot: &Snapshot) -> bool {
    let mut targets = snapshot.targets.iter();
    targets.all(|target| target.state != TargetState::Unknown || target.reason != Reason::None)
}

/// Built from the sources, it is started as it was.
fn next() -> &'static str {
    if env::var_os("CARGO_MANIFEST_DIR").is_some() {
        "This page at any time, in a second terminal: cargo run --release --bin offloadctl"
    } else {
        "This page at any time, in a second terminal: offloadctl"
    }
}

#[cfg(test)]
mod tests {
    use offload_client::snapshot::Target;

    use super::*;

    #[test]
    fn what_can_t_be_judged_is_judged_and_what_was_not_looked_at_is_not() {
        let of = |state, reason| Snapshot {
            targets: vec![Target {
                state,
                reason,
                ..Target::default()
            }]
            .into(),
            ..Snapshot::default()
        };
        assert!(!is_judged(&of(TargetState::Unknown, Reason::None)));
        assert!(is_judged(&of(TargetState::Unknown, Reason::NotVisible)));
        assert!(is_judged(&of(TargetState::Ready, Reason::None)));
        assert!(is_judged(&Snapshot::default()));
    }
}
