//! Verdicts as lines for the terminal.

use std::{fmt::Write, time::Duration};

use offload_client::{
    Snapshot, TargetState, reasons,
    snapshot::{Facts, Target},
};

/// What changed from `old` to `new`, a line for each target and one for the whole; nothing where
/// nothing did. `since` is how long the program has run.
pub fn changes(old: Option<&Snapshot>, new: &Snapshot, since: Duration) -> Vec<String> {
    let stamp = format!("{:7.1} s", since.as_secs_f64());
    let before = |target: &Target| {
        old.and_then(|old| {
            let same = |t: &&Target| t.kind == target.kind && t.name == target.name;
            old.targets.iter().find(same)
        })
    };
    let mut lines = Vec::new();
    for target in &new.targets {
        let judged = |t: &Target| (t.state, t.reason, address(t).to_owned());
        if before(target).map(judged) != Some(judged(target)) {
            lines.push(format!("{stamp}  {}", verdict(target)));
        }
    }
    if old.map(|old| old.state) != Some(new.state) {
        lines.push(format!("{stamp}  {:<16} {}", "overall", new.state));
    }
    lines
}

fn verdict(target: &Target) -> String {
    let name = format!("{}/{}", target.kind, target.name);
    let mut line = format!("{name:<16} {:<9}", target.state);
    // Writing to a String can't fail.
    let _ = match target.state {
        TargetState::Ready => {
            let milliseconds = target.latency_usec as f64 / 1000.0;
            write!(line, " at {}, {milliseconds:.1} ms", address(target))
        }
        TargetState::Unknown if target.reason == Default::default() => Ok(()),
        _ => write!(
            line,
            " {} at stage {}, {}",
            cause(target),
            target.stage,
            address(target)
        ),
    };
    if let (TargetState::Ready, Facts::Builder(facts)) = (target.state, &target.facts)
        && !facts.host_key_fingerprint.is_empty()
    {
        let _ = write!(line, ", host key {}", facts.host_key_fingerprint);
    }
    line
}

/// The reason's code, and its title where it has one.
fn cause(target: &Target) -> String {
    match reasons::text(target.reason).title {
        "" => target.reason.to_string(),
        title => format!("{} ({title})", target.reason),
    }
}

fn address(target: &Target) -> &str {
    match target.address.as_str() {
        "" => "no address yet",
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use offload_client::{Kind, OverallState, Reason, Stage};

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
                address: "127.0.15.6:5000".into(),
                state,
                reason,
                stage: Stage::Connect,
                latency_usec: 640,
                ..Target::default()
            }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn each_change_is_one_line() {
        let ready = snapshot(TargetState::Ready, Reason::None);
        let down = snapshot(TargetState::Down, Reason::Refused);
        let lines = changes(Some(&ready), &down, Duration::from_millis(3_240));
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with("    3.2 s  cache/desktop    down      refused"),
            "{lines:?}"
        );
        assert!(
            lines[0].ends_with("at stage connect, 127.0.15.6:5000"),
            "{lines:?}"
        );
        assert_eq!(lines[1], "    3.2 s  overall          offline");
    }

    #[test]
    fn what_only_takes_another_time_is_no_change() {
        let ready = snapshot(TargetState::Ready, Reason::None);
        let mut slower = ready.clone();
        slower.targets[0].latency_usec = 900;
        assert_eq!(
            changes(Some(&ready), &slower, Duration::ZERO),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_move_is_a_change() {
        let here = snapshot(TargetState::Ready, Reason::None);
        let mut moved = here.clone();
        moved.targets[0].address = "127.0.15.7:5000".into();
        let lines = changes(Some(&here), &moved, Duration::ZERO);
        assert_eq!(
            lines,
            ["    0.0 s  cache/desktop    ready     at 127.0.15.7:5000, 0.6 ms"]
        );
    }
}
