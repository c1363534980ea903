//! `history`: what changed, and when; the newest first.

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    json::{self, Entry, Past},
    output::Output,
    session::{self, Session},
};
use crate::{
    language::tr,
    page::{Style, Tone, ago, latency, state_glyph, state_tone},
    reasons,
    snapshot::{HistoryEntry, Target},
};

pub(super) async fn history(
    cli: &Cli,
    output: Output,
    target: Option<&str>,
    max: u32,
) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let snapshot = session.snapshot().await?;
    let mut parts: Vec<(&Target, Vec<HistoryEntry>)> = Vec::new();
    for one in session::select(&snapshot, target)? {
        parts.push((one, session.client.history(one, max).await?));
    }
    if cli.json {
        let targets = parts
            .iter()
            .map(|(target, entries)| as_json(target, entries));
        output.print(&json::line(&json::History {
            history_version: json::VERSION,
            targets: targets.collect(),
        })?)?;
        return Ok(Outcome::Ready);
    }
    let style = output.style;
    let pages: Vec<String> = parts
        .iter()
        .map(|(target, entries)| page(target, entries, &style))
        .collect();
    output.list(&pages.join("\n"))?;
    Ok(Outcome::Ready)
}

fn as_json(target: &Target, entries: &[HistoryEntry]) -> Past {
    let told = |entry: &HistoryEntry| Entry {
        timestamp: entry.timestamp,
        state: entry.state,
        reason: entry.reason,
        latency_usec: entry.latency_usec,
        title: reasons::title_for(&at(target, entry)).to_owned(),
    };
    Past {
        target: target.into(),
        entries: entries.iter().map(told).collect(),
    }
}

/// The target as it was then, as far as is known.
fn at(target: &Target, entry: &HistoryEntry) -> Target {
    Target {
        kind: target.kind,
        reason: entry.reason,
        ..Target::default()
    }
}

/// A headline, and a line for each entry.
fn page(target: &Target, entries: &[HistoryEntry], style: &Style) -> String {
    let mut page = style.paint(Tone::Strong, &target.label());
    page.push('\n');
    if entries.is_empty() {
        page.push_str(&format!("  {}\n", tr("nothing has changed yet")));
    }
    for entry in entries {
        let state = format!("{} {:<8}", state_glyph(entry.state), entry.state.as_str());
        let mut line = format!(
            "  {:<12}  {}",
            when(entry.timestamp, style),
            style.paint(state_tone(entry.state), &state)
        );
        let then = at(target, entry);
        let title = reasons::title_for(&then);
        if !title.is_empty() {
            line.push_str(&format!("  {title}"));
        } else if entry.latency_usec > 0 {
            line.push_str(&format!("  {}", latency(entry.latency_usec)));
        }
        page.push_str(line.trim_end());
        page.push('\n');
    }
    page
}

/// `3 h ago`; with `--verbose` the moment itself, in UTC.
fn when(timestamp_usec: u64, style: &Style) -> String {
    if style.verbose {
        super::watch::utc(timestamp_usec)
    } else {
        ago(timestamp_usec, style.now_realtime_usec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reason, TargetState};

    #[test]
    fn each_change_is_a_line() {
        let now = 1_700_000_000_000_000;
        let entry = |seconds: u64, state, reason, latency_usec| HistoryEntry {
            timestamp: now - seconds * 1_000_000,
            state,
            reason,
            latency_usec,
        };
        let entries = [
            entry(30, TargetState::Ready, Reason::None, 1_200),
            entry(7_200, TargetState::Down, Reason::Refused, 0),
        ];
        let target = Target {
            name: "desktop".into(),
            ..Target::default()
        };
        let style = Style {
            now_realtime_usec: now,
            ..Style::default()
        };
        assert_eq!(
            page(&target, &entries, &style),
            "\
cache/desktop
  30 s ago      ✔ ready     1.2 ms
  2 h ago       ✗ down      connection refused
"
        );
        let verbose = Style {
            verbose: true,
            ..style
        };
        assert!(page(&target, &entries, &verbose).contains("2023-11-14T22:12:50Z"));
        assert!(page(&target, &[], &style).contains("nothing has changed yet"));
    }
}
