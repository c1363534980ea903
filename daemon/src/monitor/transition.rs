//! One journal line for each change of a verdict.
//!
//! The fields become `OFFLOAD_TARGET=`, `OFFLOAD_STATE=`, `OFFLOAD_REASON=` and `MESSAGE_ID=` in
//! the journal, where `journalctl OFFLOAD_TARGET=desktop` finds them.

use offload_client::{OverallState, Reason, TargetState, reasons};

use crate::target::TargetId;

/// A target became ready.
pub const MESSAGE_READY: &str = "8f0e3b1c5d0a4a0e9c1f2a7d6b9e4c31";
/// A target is no longer ready.
pub const MESSAGE_NOT_READY: &str = "3c6d2f5a9b7e4d18a2c40f8e1b5d7a92";
/// A target is not judged: paused, resumed or not yet checked.
pub const MESSAGE_UNKNOWN: &str = "b41a7e90c2d54f6d8e3f5a1c7b9d0e64";
/// The verdict over all targets changed.
pub const MESSAGE_OVERALL: &str = "d9e5c7a1f3b2486f90a4e6c8b0d2f417";

/// Logs a target's new verdict.
pub(super) fn target(id: &TargetId, state: TargetState, reason: Reason, detail: &str) {
    let (offload_state, offload_reason) = (state.as_str(), reason.as_str());
    let title = reasons::text(reason).title;
    match state {
        TargetState::Ready => {
            tracing::info!(
                offload_target = &*id.name,
                offload_kind = id.kind.as_str(),
                offload_state,
                message_id = MESSAGE_READY,
                "{id} is ready"
            );
        }
        TargetState::Degraded | TargetState::Down | TargetState::Away => {
            tracing::warn!(
                offload_target = &*id.name,
                offload_kind = id.kind.as_str(),
                offload_state,
                offload_reason,
                message_id = MESSAGE_NOT_READY,
                "{id} is {state}: {title}{}{detail}",
                if detail.is_empty() { "" } else { ": " },
            );
        }
        TargetState::Unknown | TargetState::Paused => {
            tracing::info!(
                offload_target = &*id.name,
                offload_kind = id.kind.as_str(),
                offload_state,
                message_id = MESSAGE_UNKNOWN,
                "{id} is {state}"
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
