//! `wake`: sends a desktop that sleeps a magic packet.

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    json::{self, Woken},
    output::Output,
    session::{self, Session},
    spinner,
};
use crate::{
    ClientError, Waking,
    errors::BusError,
    language::{say, tr},
    snapshot::Target,
};

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
        match spinner::beside(tr("asking"), session.client.wake(target)).await {
            Ok(woken) => {
                is_any = true;
                output.print(&if cli.json {
                    json::line(&as_json(target, woken.waking))?
                } else {
                    sentence(target, woken.waking)
                })?;
            }
            Err(ClientError::Bus(BusError::NotConfigured(why) | BusError::Failed(why))) => {
                refused = Some(Failure::NotWoken(why.into()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match refused {
        Some(failure) if !is_any => Err(failure),
        Some(_) | None => Ok(Outcome::Ready),
    }
}

fn as_json(target: &Target, outcome: Waking) -> Woken {
    Woken {
        wake_version: json::VERSION,
        target: target.into(),
        kind: target.kind,
        name: target.name.clone(),
        outcome: outcome.as_str().into(),
    }
}

fn sentence(target: &Target, outcome: Waking) -> String {
    let label = target.label();
    match outcome {
        Waking::Awake => say!("{label} is awake: nothing was sent.\n", label),
        _ => say!(
            "{label} is woken: a magic packet was sent. `offloadctl wait {label}` waits for it.\n",
            label
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
            sentence(&target, Waking::Awake),
            "builder/desktop is awake: nothing was sent.\n"
        );
        assert!(sentence(&target, Waking::Sent).contains("`offloadctl wait builder/desktop`"));
    }
}
