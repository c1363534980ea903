//! What keeps Nix from what is there.

use super::*;
use crate::snapshot::Detail;

/// A builder that passes its checks and that Nix does not go to.
fn hindered(reason: Reason, details: &[(&str, &str)]) -> Target {
    let target = failed(builder(), TargetState::Degraded, Stage::System, reason);
    let details = details.iter();
    Target {
        details: details
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
        ..target
    }
}

fn warned(code: WarningCode, target: &Target) -> Warning {
    let mut details = target.details.clone();
    details.insert("since".into(), NOW.into());
    Warning {
        code,
        target: Some((target.kind, target.name.clone())),
        details,
    }
}

#[test]
fn what_keeps_nix_away_is_said_once_in_its_row() {
    let details = [
        ("expected", "192.0.2.6:22"),
        ("actual", "192.0.2.9:22"),
        ("deployed_at", "/etc/nix/machines:1"),
    ];
    let builder = hindered(Reason::AddressMoved, &details);
    let warning = warned(WarningCode::AddressMoved, &builder);
    let snapshot = Snapshot {
        warnings: vec![warning],
        ..snapshot(cache(), builder)
    };
    assert_eq!(
        render(&snapshot, &style()),
        "\
▲ degraded: cache ready, builder degraded (for 2 min)

✔ ready      cache/desktop     192.0.2.6:5000   1.2 ms   for 3 h
▲ degraded   builder/desktop   192.0.2.6:22              for 2 min
    the desktop has moved
    Nix is configured with 192.0.2.6:22 (/etc/nix/machines:1), and the desktop
    is at 192.0.2.9:22 now: Nix's builds do not get there.
    → Change 192.0.2.6:22 to 192.0.2.9:22 in the .nix files
      (`grep -rn 192.0.2.6 /etc/nixos`), then `sudo nixos-rebuild switch`.
      Without NixOS change /etc/nix/machines:1. A fixed lease in the router, or
      a name in place of the address, keeps it from happening again.
"
    );
}

#[test]
fn what_keeps_nix_from_several_is_explained_once() {
    let details = [("expected", "ssh-ng://a, ssh-ng://b")];
    let first = hindered(Reason::BuildersDisabled, &details);
    let second = Target {
        name: "other".into(),
        ..first.clone()
    };
    let warning = Warning {
        target: None,
        ..warned(WarningCode::BuildersDisabled, &first)
    };
    let snapshot = Snapshot {
        warnings: vec![warning],
        ..snapshot(first, second)
    };
    let page = render(&snapshot, &style());
    let twin = "Nix is told to use no builders, as for builder/desktop\n";
    assert!(page.ends_with(twin), "{page}");
    assert_eq!(page.matches("nix.distributedBuilds").count(), 1, "{page}");
}

#[test]
fn what_a_row_does_not_say_is_still_warned_of() {
    let builder = hindered(
        Reason::MachinesFileBroken,
        &[("file", "/m"), ("error", "x")],
    );
    let told = Warning {
        target: None,
        ..warned(WarningCode::MachinesFileBroken, &builder)
    };
    let mut other = told.clone();
    other.details.insert("error".into(), "y".into());
    let snapshot = Snapshot {
        warnings: vec![told, other],
        ..snapshot(cache(), builder)
    };
    let page = render(&snapshot, &style());
    assert!(
        page.contains("    the list of builders is broken · x\n"),
        "{page}"
    );
    assert_eq!(page.matches("! the list").count(), 1, "{page}");
    assert!(
        page.contains("! the list of builders is broken · /m · y\n"),
        "{page}"
    );
}

#[test]
fn a_kind_of_which_nix_uses_none_is_named_though_none_is_watched() {
    let mut snapshot = snapshot(cache(), builder());
    snapshot.targets.retain(|target| target.kind == Kind::Cache);
    snapshot.state = OverallState::Degraded;
    snapshot.builder_state = OverallState::Degraded;
    let page = render(&snapshot, &style());
    let line = "▲ degraded: cache ready, Nix uses no builder (for 2 min)\n";
    assert!(page.starts_with(line), "{page}");
}

#[test]
fn a_store_that_nix_refuses_is_to_be_mended_and_another_is_only_not_watched() {
    let page = |details: &[(&str, Detail)]| {
        let snapshot = Snapshot {
            warnings: vec![Warning {
                code: WarningCode::NotWatchable,
                target: None,
                details: details
                    .iter()
                    .map(|(key, value)| ((*key).into(), value.clone()))
                    .collect(),
            }],
            ..Snapshot::default()
        };
        render(&snapshot, &style())
    };
    let watched = page(&[("uri", "s3://bucket".into())]);
    assert!(watched.contains("Nothing is wrong with it"), "{watched}");
    let refused = page(&[("uri", "ssh://ssh-ng://x".into()), ("refused", true.into())]);
    assert!(refused.contains("can't go there itself"), "{refused}");
    assert!(!refused.contains("Nothing is wrong"), "{refused}");
}
