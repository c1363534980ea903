//! A builder that has to prove itself: the daemon as it runs, beside a real nix-daemon, on the very same files.

use std::{collections::BTreeMap, io, path::Path};

use offload_client::{Kind, Reason, Snapshot, TargetState, test_build};
use serde_json::Value;

use super::nix::Nix;
use crate::{Laptop, Result, daemon::Launch, error::Context};

/// What the daemon says once the test build that nobody has asked for has ended, and the words of that.
pub(super) async fn after(
    nix: &Nix<'_>,
    conf: &Path,
    environment: &BTreeMap<&str, String>,
    configuration: String,
) -> Result<(Value, String)> {
    let _nix_daemon = nix.daemon(conf, environment).await?;
    let laptop = laptop(nix, conf, environment, configuration).await?;
    let judged = |snapshot: &Snapshot| {
        last(snapshot).is_some_and(|(said, judged)| said.is_empty() || judged)
    };
    let snapshot = laptop.until(
        "the builder has been put to the proof, and judged by it",
        judged,
    );
    let snapshot = snapshot.await?;
    let (said, _) = last(&snapshot).unwrap_or_default();
    Ok((json(&snapshot)?, said))
}

/// The daemon as it runs, by the nix.conf in `conf`.
pub(super) async fn laptop(
    nix: &Nix<'_>,
    conf: &Path,
    environment: &BTreeMap<&str, String>,
    configuration: String,
) -> Result<Laptop> {
    let mut environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let own = nix.settings(conf).into_iter();
    environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
    Laptop::start_with(Launch {
        config: configuration,
        environment,
        ..Launch::default()
    })
    .await
}

/// Whether a target of this kind is judged, or why it is not is known, and that warning is there.
pub(super) fn is_judged(snapshot: &Snapshot, kind: Kind, warns: Option<&str>) -> bool {
    let mut targets = snapshot.targets.iter().filter(|target| target.kind == kind);
    let mut warnings = snapshot.warnings.iter();
    targets.all(|it| it.state != TargetState::Unknown || it.reason != Reason::None)
        && warns.is_none_or(|code| warnings.any(|warning| warning.code.as_str() == code))
}

/// As `--json` has it.
pub(super) fn json(snapshot: &Snapshot) -> Result<Value> {
    let json = serde_json::to_value(snapshot).map_err(io::Error::other);
    json.context("the snapshot")
}

/// What went wrong in the last test build of the builder, and whether a check has had its word on that.
fn last(snapshot: &Snapshot) -> Option<(String, bool)> {
    let mut targets = snapshot.targets.iter();
    let builder = targets.find(|target| target.kind == Kind::Builder)?;
    let build = test_build::of(builder)?;
    let is_checked = builder.last_check_timestamp > build.timestamp;
    Some((build.error.to_string(), is_checked))
}
