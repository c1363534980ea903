//! Nothing is watched.

use super::*;

#[test]
fn nothing_is_configured() {
    let snapshot = Snapshot {
        reason: Reason::NotConfigured,
        ..Snapshot::default()
    };
    assert_eq!(
        render(&snapshot, &style()),
        "\
? unknown: nothing to watch
    Neither Nix nor offloadd is configured to use a cache or a builder of your
    own.
    → Give Nix a desktop: on NixOS `nix.settings.substituters` and
      `nix.buildMachines`, elsewhere `substituters` and `builders` in
      /etc/nix/nix.conf. Or tell offloadd alone:
      `offloadd --cache http://HOST:5000 --builder ssh-ng://nix-builder@HOST`.
"
    );
}

#[test]
fn what_is_configured_is_root_s_to_see() {
    let snapshot = Snapshot {
        reason: Reason::NotConfigured,
        warnings: vec![Warning {
            code: WarningCode::NotVisible,
            target: None,
            details: [("file".into(), "/etc/nix/nix.conf".into())].into(),
        }],
        ..Snapshot::default()
    };
    let page = render(&snapshot, &style());
    let headline = "? unknown: not judged: something only root may read\n";
    assert!(page.starts_with(headline), "{page}");
    assert!(!page.contains("Give Nix a desktop"), "{page}");
}

#[test]
fn what_is_configured_and_can_t_be_watched_is_not_nothing() {
    for code in [
        WarningCode::NotWatchable,
        WarningCode::NixConfBroken,
        WarningCode::MachinesFileBroken,
    ] {
        let snapshot = Snapshot {
            reason: Reason::NotConfigured,
            warnings: vec![Warning {
                code,
                target: None,
                details: [("file".into(), "/etc/nix/nix.conf".into())].into(),
            }],
            ..Snapshot::default()
        };
        let page = render(&snapshot, &style());
        assert!(
            page.starts_with("? unknown: nothing to watch\n\n! "),
            "{page}"
        );
        assert!(!page.contains("Neither Nix nor offloadd"), "{page}");
    }
}
