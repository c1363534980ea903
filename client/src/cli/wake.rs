//! `wake`: sends a desktop that sleeps a magic packet.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    output::Output,
    session::{self, Session, call},
    spinner,
};
use crate::{errors::BusError, snapshot::Target};

/// Those that a person means. Of several one that can't be woken is no failure while another can: a cache that is no
/// builder's has no hardware address.
pub(super) async fn wake(
    cli: &Cli,
    output: Output,
    name: Option<&str>,
) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let snapshot = session.snapshot().await?;
    let mut refused = None;
    let mut is_any = false;
    for target in session::select(&snapshot, name)? {
        let proxy = session.target(target).await?;
        match spinner::beside("asking", call(proxy.wake(HashMap::new()))).await {
            Ok((outcome, _)) => {
                is_any = true;
                output.print(&if cli.json {
                    format!("{}\n", as_json(target, &outcome))
                } else {
                    sentence(target, &outcome)
                })?;
            }
            Err(Failure::Bus(BusError::NotConfigured(why) | BusError::Failed(why))) => {
                refused = Some(Failure::NotWoken(why.into()));
            }
            Err(failure) => return Err(failure),
        }
    }
    match refused {
        Some(failure) if !is_any => Err(failure),
        Some(_) | None => Ok(Outcome::Ready),
    }
}

fn as_json(target: &Target, outcome: &str) -> Value {
    json!({ "kind": target.kind.as_str(), "name": target.name, "outcome": outcome })
}

fn sentence(target: &Target, outcome: &str) -> String {
    let label = target.label();
    match outcome {
        "awake" => format!("{label} is awake: nothing was sent.\n"),
        _ => format!(
            "{label} is woken: a magic packet was sent. `offloadctl wait {label}` waits for it.\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn who_was_woken_is_told() {
        let target = Target {
            name: "desktop".into(),
            kind: Kind::Builder,
            ..Target::default()
        };
        assert_eq!(
            sentence(&target, "awake"),
            "builder/desktop is awake: nothing was sent.\n"
        );
        assert!(sentence(&target, "waking").contains("`offloadctl wait builder/desktop`"));
        let json = json!({ "kind": "builder", "name": "desktop", "outcome": "waking" });
        assert_eq!(as_json(&target, "waking"), json);
    }
}
