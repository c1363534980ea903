//! How far a check came, stage by stage.

use super::{Kind, Reason, Style, Target, Tone, state_tone, text};
use crate::{Stage, TargetState, language::tr};

const INDENT: &str = "    ";
const GAP: &str = "  ";

const CACHE: [Stage; 6] = [
    Stage::Resolve,
    Stage::Connect,
    Stage::Tls,
    Stage::Http,
    Stage::CacheInfo,
    Stage::Signature,
];

const BUILDER: [Stage; 9] = [
    Stage::Resolve,
    Stage::Connect,
    Stage::Banner,
    Stage::HostKey,
    Stage::Auth,
    Stage::Handshake,
    Stage::Trust,
    Stage::System,
    Stage::Build,
];

/// `resolve ✔  connect ✗  (not reached: …)`, wrapped and indented.
pub(super) fn line(target: &Target, style: &Style) -> String {
    let stages = of(target);
    let Some(at) = stages.iter().position(|stage| *stage == target.stage) else {
        return String::new();
    };
    let failed = failed(target);
    let mut items: Vec<(String, Option<Tone>)> = Vec::new();
    for stage in stages.iter().take(at + 1) {
        let (sign, tone) = if failed && *stage == target.stage {
            ("✗", state_tone(target.state))
        } else {
            ("✔", Tone::Good)
        };
        items.push((format!("{stage} {sign}"), Some(tone)));
    }
    // A test build is nobody's check: it is missed only where it was made.
    let rest: Vec<&str> = (stages.iter().skip(at + 1))
        .filter(|stage| **stage != Stage::Build)
        .map(|stage| stage.as_str())
        .collect();
    if !rest.is_empty() {
        let word = if failed {
            tr("not reached")
        } else {
            tr("not checked")
        };
        items.push((format!("({word}: {})", rest.join(", ")), Some(Tone::Faint)));
    }
    wrapped(&items, style)
}

/// The stages of its kind; without TLS where its URL has none.
fn of(target: &Target) -> Vec<Stage> {
    let tls = target.uri.starts_with("https:") || target.stage == Stage::Tls;
    match target.kind {
        Kind::Cache => (CACHE.into_iter())
            .filter(|stage| tls || *stage != Stage::Tls)
            .collect(),
        Kind::Builder => BUILDER.to_vec(),
    }
}

/// Whether its stage is the one that failed, and not the last one that passed.
fn failed(target: &Target) -> bool {
    !matches!(target.state, TargetState::Ready)
        && !matches!(target.reason, Reason::None | Reason::Paused)
        && target.reason.hindrance().is_none()
}

fn wrapped(items: &[(String, Option<Tone>)], style: &Style) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for (item, tone) in items {
        let width = text::width(item);
        if used > 0 && used + GAP.len() + width > style.width {
            lines.push('\n');
            used = 0;
        }
        let gap = if used == 0 { INDENT } else { GAP };
        lines.push_str(gap);
        lines.push_str(&match tone {
            Some(tone) => style.paint(*tone, item),
            None => item.clone(),
        });
        used += gap.len() + width;
    }
    lines.push('\n');
    lines
}
