//! `--check-config`: whether the configuration is valid, what holds, and what would be watched with it.

use std::fmt::Write;

use offload_client::{Printable, snapshot::Warning, warnings};
use serde::Serialize;

use crate::{
    RunError,
    config::{Report, Settings},
    plan::Plan,
    reload::Reloader,
    target::TargetSpec,
};

/// The version of the JSON.
const SCHEMA: u32 = 1;

/// What would be watched with a configuration that is valid, beside `report` on it: as a configuration file with the rest
/// in comments, or as JSON. It reads Nix's files as the daemon would, and asks the network for nothing.
///
/// # Errors
/// The kernel refuses what the daemon would not start without either.
pub async fn check_config(
    settings: Settings,
    report: &Report,
    json: bool,
) -> Result<String, RunError> {
    let plan = Reloader::new(None, settings)?.plan().await;
    if json {
        return Ok(serde_json::to_string(&Document::of(report, &plan))? + "\n");
    }
    Ok(report.text.clone() + &comments(&plan))
}

fn comments(plan: &Plan) -> String {
    let mut text = String::from("\n");
    if plan.targets.is_empty() {
        text += "# nothing would be watched: Nix is configured with no cache or builder of your own, and neither is\n\
                 # offloadd; add a [[cache]] or a [[builder]], or try --cache URL and --builder URI\n";
    } else {
        text += "# would be watched:\n";
    }
    let ids = plan.targets.iter().map(|target| target.id.to_string());
    let widest = ids.map(|id| id.chars().count()).max().unwrap_or_default();
    for target in &plan.targets {
        let (id, sources) = (target.id.to_string(), sources(plan, target).join(", "));
        let _ = writeln!(text, "#   {id:<widest$}  {}  ({sources})", target.uri);
    }
    for warning in &plan.warnings {
        let title = warnings::title_for(warning);
        let explanation = warnings::explanation_for(warning);
        let _ = writeln!(text, "# {title}: {explanation}");
    }
    text
}

/// Where it is written down: in Nix's files, in offloadd's configuration, or in both.
fn sources<'a>(plan: &'a Plan, target: &TargetSpec) -> Vec<&'a str> {
    let origin = plan.origins.get(&target.id);
    let sides = origin.map(|origin| [&origin.deployed, &origin.declared]);
    let sides = sides.into_iter().flatten().flatten();
    sides.map(|side| side.source.as_str()).collect()
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    #[serde(flatten)]
    report: &'a Report,
    targets: Vec<Watched<'a>>,
    warnings: &'a [Warning],
}

#[derive(Serialize)]
struct Watched<'a> {
    kind: &'static str,
    name: &'a str,
    uri: &'a Printable,
    sources: Vec<&'a str>,
}

impl<'a> Document<'a> {
    fn of(report: &'a Report, plan: &'a Plan) -> Self {
        let targets = plan.targets.iter().map(|target| Watched {
            kind: target.id.kind.as_str(),
            name: &target.id.name,
            uri: &target.uri,
            sources: sources(plan, target),
        });
        Self {
            schema: SCHEMA,
            report,
            targets: targets.collect(),
            warnings: &plan.warnings,
        }
    }
}
