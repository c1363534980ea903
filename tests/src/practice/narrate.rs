//! Verdicts as lines for the terminal.

use std::time::Duration;

use offload_client::{
    Snapshot, TargetState,
    page::{self, Style},
    snapshot::Target,
};

/// What comes before a line: when it was, in seconds since the program began.
pub fn stamp(since: Duration) -> String {
    format!("{:7.1} s  ", since.as_secs_f64())
}

/// What changed from `old` to `new`, a line for each target and one for the whole; nothing where
/// nothing did. Under what is not ready stand the cause and the remedy, as `offloadctl` has them.
/// `since` is how long the program has run.
pub fn changes(
    old: Option<&Snapshot>,
    new: &Snapshot,
    since: Duration,
    style: &Style,
) -> Vec<String> {
    let stamp = stamp(since);
    let mut lines = Vec::new();
    for (target, help) in new.targets.iter().zip(helps(new, style)) {
        if is_news(old.and_then(|old| find(old, target)), target) {
            lines.push(format!("{stamp}{}", verdict(target)));
            lines.extend(help);
        }
    }
    if old.map(|old| old.state) != Some(new.state) {
        lines.push(format!("{stamp}{:<16} {}", "overall", new.state));
    }
    lines
}

fn find<'a>(old: &'a Snapshot, target: &Target) -> Option<&'a Target> {
    let same = |t: &&Target| t.kind == target.kind && t.name == target.name;
    old.targets.iter().find(same)
}

/// Another verdict, or the same one of another place. What is down is looked for in one place after
/// the other: only where it is found is news.
fn is_news(old: Option<&Target>, new: &Target) -> bool {
    old.is_none_or(|old| {
        // After a failed check the address is only where it was looked for last.
        let found = new.state.is_ready() && new.consecutive_failures == 0;
        let moved = found && old.address != new.address;
        (old.state, old.reason) != (new.state, new.reason) || moved
    })
}

fn verdict(target: &Target) -> String {
    let line = format!("{:<16} {:<9}", target.label(), target.state);
    let told = match target.state {
        TargetState::Ready => {
            let milliseconds = target.latency_usec as f64 / 1000.0;
            format!(" at {}, {milliseconds:.1} ms", target.address)
        }
        _ if target.reason == Default::default() => String::new(),
        _ => format!(" {}, {}", target.reason, target.address),
    };
    (line + &told).trim_end().to_owned()
}

/// The lines of the status page that stand under each target's own, which begins without a space.
fn helps(snapshot: &Snapshot, style: &Style) -> Vec<Vec<String>> {
    let mut helps = Vec::new();
    for line in page::render_targets(&snapshot.targets, style).lines() {
        match helps.last_mut() {
            Some(help) if line.starts_with(' ') => Vec::push(help, line.to_owned()),
            _ => helps.push(Vec::new()),
        }
    }
    helps
}

#[cfg(test)]
mod tests {
    use offload_client::{Kind, OverallState, Reason, Stage, reasons};

    use super::*;

    fn snapshot(state: TargetState, reason: Reason) -> Snapshot {
        Snapshot {
            state: if state.is_ready() {
                OverallState::Ready
            } else {
                OverallState::Offline
            },
            targets: vec![Target {
                name: "desktop".into(),
                kind: Kind::Cache,
                uri: "http://127.0.15.6:5000".into(),
                address: "127.0.15.6:5000".into(),
                state,
                reason,
                stage: Stage::Connect,
                latency_usec: 640,
                ..Target::default()
            }]
            .into(),
            ..Snapshot::default()
        }
    }

    fn said(old: Option<&Snapshot>, new: &Snapshot) -> Vec<String> {
        changes(old, new, Duration::from_millis(3_240), &Style::default())
    }

    #[test]
    fn a_change_is_a_line_with_what_a_user_would_read_under_it() {
        let ready = snapshot(TargetState::Ready, Reason::None);
        let down = snapshot(TargetState::Down, Reason::Refused);
        let lines = said(Some(&ready), &down);
        assert_eq!(
            lines[0],
            "    3.2 s  cache/desktop    down      refused, 127.0.15.6:5000"
        );
        let help = lines[1..].join(" ");
        let squeezed = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            squeezed.starts_with("connect: connection refused"),
            "{help}"
        );
        for words in [
            reasons::explanation_for(&down.targets[0]),
            reasons::remedy_for(&down.targets[0]),
        ] {
            assert!(squeezed.contains(&words), "{words} is not in {help}");
        }
        assert!(lines.iter().all(|line| line.len() <= 82), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), "    3.2 s  overall          offline");
    }

    #[test]
    fn each_target_has_its_own_help() {
        let mut down = snapshot(TargetState::Down, Reason::Refused);
        let builder = Target {
            kind: Kind::Builder,
            state: TargetState::Degraded,
            reason: Reason::HostKeyMismatch,
            ..down.targets[0].clone()
        };
        down.targets = down.targets.into_iter().chain([builder]).collect();
        let both = said(None, &down);
        let mut first = down.clone();
        first.targets[1].reason = Reason::AuthRejected;
        let second = said(Some(&first), &down);
        assert!(second[0].contains("host-key-mismatch"), "{second:#?}");
        assert!(both.ends_with(&[&second[..], &both[both.len() - 1..]].concat()));
    }

    #[test]
    fn what_only_takes_another_time_is_no_change() {
        let ready = snapshot(TargetState::Ready, Reason::None);
        let mut slower = ready.clone();
        slower.targets[0].latency_usec = 900;
        assert_eq!(said(Some(&ready), &slower), Vec::<String>::new());
    }

    #[test]
    fn a_move_is_a_change_and_a_search_is_none() {
        let moved = |mut to: Snapshot| {
            to.targets[0].address = "127.0.15.7:5000".into();
            to
        };
        let here = snapshot(TargetState::Ready, Reason::None);
        assert_eq!(
            said(Some(&here), &moved(here.clone())),
            ["    3.2 s  cache/desktop    ready     at 127.0.15.7:5000, 0.6 ms"]
        );
        let mut pending = moved(here.clone());
        pending.targets[0].consecutive_failures = 1;
        assert_eq!(said(Some(&here), &pending), Vec::<String>::new());
        let down = snapshot(TargetState::Down, Reason::Refused);
        assert_eq!(
            said(Some(&down), &moved(down.clone())),
            Vec::<String>::new()
        );
    }
}
