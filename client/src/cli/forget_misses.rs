//! `forget-misses`: has Nix ask again for what a cache lacked.

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    json::{self, Forgotten},
    output::Output,
    session::{self, Session},
};
use crate::{Kind, language::say, snapshot::Target};

/// Of the caches that a person means; of all without a name.
pub(super) async fn forget_misses(
    cli: &Cli,
    output: Output,
    name: Option<&str>,
) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let snapshot = session.snapshot().await?;
    let is_cache = |target: &&Target| target.kind == Kind::Cache;
    let chosen = session::select(&snapshot, name)?;
    let caches: Vec<&Target> = chosen.into_iter().filter(is_cache).collect();
    if caches.is_empty() {
        let known = snapshot.targets.iter().filter(is_cache);
        return Err(Failure::UnknownTarget {
            name: name.unwrap_or_default().to_owned(),
            known: known.map(Target::label).collect(),
        });
    }
    for cache in caches {
        let count = session.client.forget_misses(cache).await?;
        output.print(&if cli.json {
            json::line(&as_json(cache, count))?
        } else {
            sentence(cache, count)
        })?;
    }
    Ok(Outcome::Ready)
}

fn as_json(cache: &Target, count: u64) -> Forgotten {
    Forgotten {
        forget_misses_version: json::VERSION,
        target: cache.into(),
        cache: cache.name.clone(),
        forgotten: count,
    }
}

fn sentence(cache: &Target, count: u64) -> String {
    let label = cache.label();
    match count {
        0 => say!("Nix remembers nothing as missing from {label}.\n", label),
        1 => say!(
            "Nix asks {label} again for one path that it lacked.\n",
            label
        ),
        count => say!(
            "Nix asks {label} again for {count} paths that it lacked.\n",
            label,
            count
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_forgotten_is_told() {
        let cache = Target {
            name: "desktop".into(),
            kind: Kind::Cache,
            ..Target::default()
        };
        for (count, told) in [
            (0, "Nix remembers nothing as missing from cache/desktop.\n"),
            (
                1,
                "Nix asks cache/desktop again for one path that it lacked.\n",
            ),
            (
                3,
                "Nix asks cache/desktop again for 3 paths that it lacked.\n",
            ),
        ] {
            assert_eq!(sentence(&cache, count), told);
        }
    }
}
