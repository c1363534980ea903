//! One journal line for each change of a verdict.
//!
//! The fields become `OFFLOAD_TARGET=`, `OFFLOAD_STATE=`, `OFFLOAD_REASON=` and `MESSAGE_ID=` in
//! the journal, where `journalctl OFFLOAD_TARGET=desktop` finds them. `journalctl -x` fills the text
//! of the id (systemd/offloadd.catalog) with them: `OFFLOAD_EXPLANATION=` and `OFFLOAD_REMEDY=` are
//! there for that.

use offload_client::{
    OverallState, Reason, TargetState,
    reasons::{self, explanation_for, remedy_for},
    snapshot::Target,
};

/// A target became ready.
pub const MESSAGE_READY: &str = "8f0e3b1c5d0a4a0e9c1f2a7d6b9e4c31";
/// A target is no longer ready.
pub const MESSAGE_NOT_READY: &str = "3c6d2f5a9b7e4d18a2c40f8e1b5d7a92";
/// A target is not judged: paused, resumed or not yet checked.
pub const MESSAGE_UNKNOWN: &str = "b41a7e90c2d54f6d8e3f5a1c7b9d0e64";
/// The verdict over all targets changed.
pub const MESSAGE_OVERALL: &str = "d9e5c7a1f3b2486f90a4e6c8b0d2f417";

/// Logs a target's new verdict; `detail` are the particulars of its failure.
pub(super) fn target(target: &Target, detail: &str) {
    let (state, label) = (target.state, target.label());
    let offload_target = target.name.as_str();
    let offload_kind = target.kind.as_str();
    let offload_state = state.as_str();
    match (state, target.reason) {
        (TargetState::Ready, _) => {
            tracing::info!(
                offload_target,
                offload_kind,
                offload_state,
                message_id = MESSAGE_READY,
                "{label} is ready"
            );
        }
        (TargetState::Paused, _) | (TargetState::Unknown, Reason::None) => {
            tracing::info!(
                offload_target,
                offload_kind,
                offload_state,
                message_id = MESSAGE_UNKNOWN,
                "{label} is {state}"
            );
        }
        (
            TargetState::Degraded | TargetState::Down | TargetState::Away | TargetState::Unknown,
            _,
        ) => {
            let title = reasons::title_for(target);
            let offload_explanation = explanation_for(target);
            let offload_remedy = remedy_for(target);
            tracing::warn!(
                offload_target,
                offload_kind,
                offload_state,
                offload_reason = target.reason.as_str(),
                offload_explanation,
                offload_remedy,
                message_id = MESSAGE_NOT_READY,
                "{label} is {state}: {title}{}{detail}",
                if detail.is_empty() { "" } else { ": " },
            );
        }
    }
}

/// Logs the new verdict over all targets.
pub(super) fn overall(state: OverallState, reason: Reason) {
    tracing::info!(
        offload_state = state.as_str(),
        offload_reason = reason.as_str(),
        message_id = MESSAGE_OVERALL,
        "overall: {state}"
    );
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fmt::Debug,
        sync::mpsc,
    };

    use offload_client::snapshot::Detail;
    use tracing::{
        Dispatch, Event, Subscriber,
        field::{Field, Visit},
        subscriber::with_default,
    };
    use tracing_subscriber::{
        Layer, Registry,
        layer::{Context, SubscriberExt},
    };

    use super::*;

    const CATALOG: &str = include_str!("../../../systemd/offloadd.catalog");

    /// Fields by their names in the journal.
    type Entry = BTreeMap<String, String>;

    #[derive(Default)]
    struct Fields(Entry);

    impl Visit for Fields {
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name().to_uppercase(), value.to_owned());
        }

        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.record_str(field, &format!("{value:?}"));
        }
    }

    struct Capture(mpsc::Sender<Entry>);

    impl<S: Subscriber> Layer<S> for Capture {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            self.0.send(fields.0).unwrap();
        }
    }

    fn logged(log: impl FnOnce()) -> Vec<Entry> {
        // Beside a single subscriber, what a thread without one logs first is taken to interest nobody.
        let _other = Dispatch::new(Registry::default());
        let (sender, receiver) = mpsc::channel();
        with_default(Registry::default().with(Capture(sender)), log);
        receiver.into_iter().collect()
    }

    /// Each entry's id and text; what is before the first is a comment.
    fn catalog() -> BTreeMap<&'static str, &'static str> {
        let entries = CATALOG.split("\n-- ").skip(1);
        entries
            .map(|entry| entry.split_once('\n').unwrap())
            .collect()
    }

    /// What journalctl takes for a field: capitals between two `@`.
    fn fields(text: &str) -> BTreeSet<&str> {
        let is_field = |part: &&str| {
            let of_name = |c: char| c.is_ascii_uppercase() || c == '_';
            !part.is_empty() && part.chars().all(of_name)
        };
        text.split('@').filter(is_field).collect()
    }

    #[test]
    fn every_message_has_an_entry_with_no_field_that_it_lacks() {
        let entries = logged(|| {
            for &state in TargetState::ALL {
                for &reason in Reason::ALL {
                    let not_ready = Target {
                        name: "desktop".into(),
                        state,
                        reason,
                        ..Target::default()
                    };
                    target(&not_ready, "");
                }
            }
            for &state in OverallState::ALL {
                overall(state, Reason::None);
            }
        });
        let mut catalog = catalog();
        let ids: BTreeSet<&str> = entries.iter().map(|e| e["MESSAGE_ID"].as_str()).collect();
        assert_eq!(catalog.keys().copied().collect::<BTreeSet<_>>(), ids);
        assert_eq!(ids.len(), 4);
        for entry in &entries {
            // Nothing is down for no reason: the words of that are empty.
            if entry.get("OFFLOAD_REASON").is_some_and(String::is_empty)
                && entry["MESSAGE_ID"] == MESSAGE_NOT_READY
            {
                continue;
            }
            for field in fields(catalog[entry["MESSAGE_ID"].as_str()]) {
                let value = entry.get(field);
                assert!(value.is_some_and(|v| !v.is_empty()), "{field}: {entry:?}");
            }
        }
        let down = catalog.remove(MESSAGE_NOT_READY).unwrap();
        let said = ["OFFLOAD_EXPLANATION", "OFFLOAD_REMEDY"].into();
        assert!(fields(down).is_superset(&said), "{down}");
    }

    #[test]
    fn what_a_remote_said_moves_no_cursor() {
        let noise = Detail::from("\u{1b}[2Jhello\nworld");
        let degraded = Target {
            uri: "ssh-ng://desktop".into(),
            state: TargetState::Degraded,
            reason: Reason::ProfileOutput,
            details: [("noise".into(), noise)].into(),
            ..Target::default()
        };
        let entries = logged(|| target(&degraded, ""));
        let seen = &entries[0]["OFFLOAD_EXPLANATION"];
        assert!(
            seen.contains(r"(\x1b[2Jhello\nworld)"),
            "as the page has it: {seen}"
        );
        assert!(!seen.contains(char::is_control), "{seen:?}");
        assert!(entries[0]["OFFLOAD_REMEDY"].contains("`ssh nix-builder@desktop true`"));
    }
}
