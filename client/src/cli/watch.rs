//! `watch`: each change as it happens. The page first, then a line for every change; with
//! `--json` a document for each, on one line, and `null` while there is no daemon, or no bus.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    json,
    output::Output,
    session::Session,
};
use crate::{
    Snapshot,
    language::{say, tr},
    page::{self, Style, Tone, overall_glyph, overall_tone, state_glyph, state_tone},
    reasons, warnings,
};

pub(super) async fn watch(cli: &Cli, output: Output) -> Result<Outcome, Failure> {
    let session = Session::to_come(cli);
    tokio::select! {
        failure = print(cli, output, &session) => failure.map(|()| Outcome::Ready),
        () = Output::closed() => Ok(Outcome::Ready),
    }
}

async fn print(cli: &Cli, output: Output, session: &Session) -> Result<(), Failure> {
    let mut updates = session.client.watch();
    let mut last: Option<Option<Snapshot>> = None;
    while let Some(item) = updates.next().await {
        let text = if cli.json {
            let document = serde_json::to_value(&item)
                .map_err(|error| Failure::Nonsense(error.to_string()))?;
            json::line(&json::with_words(document))?
        } else {
            let style = output.style_now();
            match (&last, &item) {
                (None, Some(now)) => {
                    let which = session.which(&style).await;
                    output.begin(&(page::render(now, &style) + &which))?;
                    "\n".to_owned()
                }
                (Some(None), Some(now)) => {
                    changes(None, Some(now), &style) + &session.which(&style).await
                }
                (Some(before), now) => changes(before.as_ref(), now.as_ref(), &style),
                (None, None) => changes(Some(&Snapshot::default()), None, &style),
            }
        };
        output.print(&text)?;
        last = Some(item);
    }
    Ok(())
}

/// A line for everything that is not as it was.
fn changes(before: Option<&Snapshot>, now: Option<&Snapshot>, style: &Style) -> String {
    let at = style.paint(Tone::Faint, &utc(style.now_realtime_usec));
    let line = |text: String| format!("{at}  {text}\n");
    let Some(now) = now else {
        return line(format!("? {}", tr("offloadd is not running")));
    };
    let Some(before) = before else {
        return line(tr("offloadd is running").to_owned()) + &page::render(now, style);
    };
    let mut lines = String::new();
    for target in &now.targets {
        let old = before
            .targets
            .iter()
            .find(|old| old.path() == target.path());
        let was = old.map(|old| (old.state, old.reason));
        if was == Some((target.state, target.reason)) {
            continue;
        }
        let sign = format!("{} {}", state_glyph(target.state), target.label());
        let mut text = style.paint(state_tone(target.state), &sign);
        match was {
            Some((old, _)) if old != target.state => {
                text.push_str(&format!(": {old} → {}", target.state));
            }
            _ => text.push_str(&format!(": {}", target.state)),
        }
        let title = reasons::title_for(target);
        if !title.is_empty() {
            text.push_str(&format!(", {title} ({})", target.stage));
        }
        lines.push_str(&line(text));
    }
    for gone in &before.targets {
        if !now
            .targets
            .iter()
            .any(|target| target.path() == gone.path())
        {
            lines.push_str(&line(say!(
                "- {target}: no longer watched",
                target = gone.label()
            )));
        }
    }
    for warning in now.warnings.iter().filter(|w| !before.warnings.contains(w)) {
        let text = format!("! {}", warnings::title_for(warning));
        lines.push_str(&line(style.paint(Tone::Uneasy, &text)));
    }
    for warning in before.warnings.iter().filter(|w| !now.warnings.contains(w)) {
        let title = warnings::title_for(warning);
        lines.push_str(&line(say!("no longer: {title}", title)));
    }
    if before.state != now.state {
        let sign = format!("{} {}", overall_glyph(now.state), tr("overall"));
        let sign = style.paint(overall_tone(now.state), &sign);
        lines.push_str(&line(format!("{sign}: {} → {}", before.state, now.state)));
    }
    lines
}

/// A moment, in UTC to the second: the standard library knows no time zones.
pub(super) fn utc(usec: u64) -> String {
    // Beyond the year 9999 there is nothing to write; no clock is there.
    let moment = UNIX_EPOCH + Duration::from_micros(usec.min(253_402_300_799_000_000));
    humantime::format_rfc3339_seconds(moment).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OverallState, Reason, Stage, TargetState, snapshot::Target};

    fn snapshot(state: TargetState, reason: Reason, overall: OverallState) -> Snapshot {
        Snapshot {
            state: overall,
            targets: vec![Target {
                name: "desktop".into(),
                state,
                reason,
                stage: Stage::Connect,
                ..Target::default()
            }]
            .into(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_change_is_a_line_and_what_stayed_is_none() {
        let style = Style::default();
        let ready = snapshot(TargetState::Ready, Reason::None, OverallState::Ready);
        let down = snapshot(TargetState::Down, Reason::Refused, OverallState::Offline);
        assert_eq!(
            changes(Some(&ready), Some(&down), &style),
            "\
1970-01-01T00:00:00Z  ✗ cache/desktop: ready → down, connection refused (connect)
1970-01-01T00:00:00Z  ✗ overall: ready → offline
"
        );
        assert_eq!(changes(Some(&ready), Some(&ready), &style), "");
        assert_eq!(
            changes(
                Some(&ready),
                Some(&Snapshot {
                    targets: vec![].into(),
                    ..ready.clone()
                }),
                &style
            ),
            "1970-01-01T00:00:00Z  - cache/desktop: no longer watched\n"
        );
        assert_eq!(
            changes(Some(&ready), None, &style),
            "1970-01-01T00:00:00Z  ? offloadd is not running\n"
        );
    }

    #[test]
    fn no_time_is_too_late_to_write() {
        assert_eq!(utc(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
