mod layers;

use super::*;
use crate::{
    OverallState, Stage, TargetState,
    snapshot::{BuilderFacts, CauseKind, Comparison, Facts, Placed, RootCause},
};

const NOW: u64 = 1_700_000_000_000_000;
const HOUR: u64 = 3_600_000_000;
const KEY: &str = "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGRZ2zxKQbG0xkxZVPc";

fn style() -> Style {
    Style {
        now_realtime_usec: NOW,
        ..Style::default()
    }
}

fn placed(value: &str, source: &str) -> Option<Placed> {
    Some(Placed {
        value: value.into(),
        source: source.into(),
    })
}

fn address(declared: &str, port: u16, source: &str) -> Comparison {
    let real = format!("127.0.15.6:{port}");
    Comparison {
        subject: "address".into(),
        declared: placed(
            &format!("{declared}:{port}"),
            "/etc/offloadd/config.toml:12",
        ),
        deployed: placed(&real, source),
        loaded: placed(&real, source),
        observed: placed(&real, ""),
    }
}

fn cache() -> Target {
    Target {
        name: "desktop".into(),
        kind: Kind::Cache,
        uri: "http://127.0.15.6:5000".into(),
        address: "127.0.15.6:5000".into(),
        state: TargetState::Ready,
        stage: Stage::CacheInfo,
        state_change_timestamp: NOW - 2 * HOUR,
        last_check_timestamp: NOW - 4_000_000,
        layers: vec![address("127.0.15.6", 5000, "/etc/nix/nix.conf:3")],
        ..Target::default()
    }
}

fn builder() -> Target {
    let key = Comparison {
        subject: "host-key".into(),
        deployed: placed(KEY, "/etc/nix/machines:1"),
        observed: placed(KEY, ""),
        ..Comparison::default()
    };
    Target {
        kind: Kind::Builder,
        uri: "ssh-ng://nix-builder@127.0.15.6".into(),
        address: "127.0.15.6:22".into(),
        stage: Stage::System,
        facts: Facts::Builder(BuilderFacts::default()),
        layers: vec![address("127.0.15.7", 22, "/etc/nix/machines:1"), key],
        ..cache()
    }
}

fn snapshot(targets: Vec<Target>, warnings: Vec<Warning>) -> Snapshot {
    let ready = targets.iter().all(|target| target.state.is_ready());
    Snapshot {
        state: if ready {
            OverallState::Ready
        } else {
            OverallState::Degraded
        },
        cache_state: OverallState::Ready,
        builder_state: OverallState::Offline,
        targets: targets.into(),
        warnings,
        ..Snapshot::default()
    }
}

fn warning(code: WarningCode, kind: Option<Kind>, details: &[(&str, &str)]) -> Warning {
    let mut details: crate::snapshot::Details = details
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect();
    details.insert("since".into(), (NOW - HOUR).into());
    Warning {
        code,
        target: kind.map(|kind| (kind, "desktop".into())),
        details,
    }
}

fn failed(target: Target, state: TargetState, stage: Stage, reason: Reason) -> Target {
    Target {
        state,
        stage,
        reason,
        ..target
    }
}

fn page(snapshot: &Snapshot, style: &Style) -> String {
    let examination = Examination {
        snapshot,
        source: Source::Daemon,
        search: None,
    };
    render(&examination, style)
}

/// With this for its root cause.
fn rooted(snapshot: Snapshot, kind: CauseKind, code: &str) -> Snapshot {
    let target = match kind {
        CauseKind::Warning => snapshot
            .warnings
            .first()
            .and_then(|first| first.target.clone()),
        CauseKind::State | CauseKind::Reason => {
            let target = snapshot.targets.first();
            target.map(|target| (target.kind, target.name.clone()))
        }
    };
    let explained = snapshot
        .targets
        .iter()
        .filter(|target| !target.state.is_ready());
    let explains = explained
        .map(|target| (target.kind, target.name.clone()))
        .collect();
    Snapshot {
        root_cause: Some(RootCause {
            kind,
            code: code.into(),
            target,
            explains,
        }),
        ..snapshot
    }
}

#[test]
fn where_all_is_well_it_says_so() {
    let builder = Target {
        layers: Vec::new(),
        ..builder()
    };
    assert_eq!(
        page(&snapshot(vec![cache(), builder], vec![]), &style()),
        "\
✔ ready: Nix can use the cache and the builder

Nothing to mend.

✔ cache/desktop  ready at 127.0.15.6:5000 for 2 h, checked 4 s ago
    resolve ✔  connect ✔  http ✔  cache-info ✔  (not checked: signature)
               address
    declared   127.0.15.6:5000
    deployed   127.0.15.6:5000
    loaded     127.0.15.6:5000
    observed   127.0.15.6:5000

✔ builder/desktop  ready at 127.0.15.6:22 for 2 h, checked 4 s ago
    resolve ✔  connect ✔  banner ✔  host-key ✔  auth ✔  handshake ✔  trust ✔
    system ✔
"
    );
}

#[test]
fn a_machine_without_targets_is_told_how_to_get_one() {
    let snapshot = Snapshot {
        reason: Reason::NotConfigured,
        ..Snapshot::default()
    };
    let snapshot = rooted(snapshot, CauseKind::Reason, "not-configured");
    assert!(page(&snapshot, &style()).contains("→ Give Nix a desktop"));
}

#[test]
fn what_the_root_cause_explains_is_not_explained_again() {
    let down = failed(
        builder(),
        TargetState::Down,
        Stage::Connect,
        Reason::TimedOut,
    );
    let down = rooted(snapshot(vec![down], vec![]), CauseKind::Reason, "timed-out");
    let page = page(&down, &style());
    assert!(page.contains("Root cause: no answer"), "{page}");
    assert_eq!(page.matches("Nothing came back from").count(), 1, "{page}");
    assert!(page.contains("\n    connect: no answer\n"), "{page}");
}

#[test]
fn a_wrong_address_is_told_with_its_place_and_its_patch() {
    let found = Finding {
        file: "hosts/laptop.nix".into(),
        line: 4,
        column: 19,
        text: "      hostName = \"127.0.15.7\";".into(),
        wrong: "127.0.15.7".into(),
        right: "127.0.15.6".into(),
        comment: false,
    };
    let comment = Finding {
        line: 9,
        text: "# 127.0.15.7 \u{1b}[2J".into(),
        comment: true,
        ..found.clone()
    };
    let search = TreeSearch {
        directory: "/etc/my nixos".into(),
        wrong: vec!["127.0.15.7".into()],
        findings: vec![found, comment],
        notes: vec!["secret.nix: permission denied: run it as root".into()],
        patch: "--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-\ta\u{1b}\n+\tb\n".into(),
        ..TreeSearch::default()
    };
    let mismatch = warning(
        WarningCode::AddressMismatch,
        Some(Kind::Builder),
        &[("wrong", "declared")],
    );
    let stale = warning(WarningCode::DaemonConfigStale, None, &[]);
    let snapshot = snapshot(vec![builder()], vec![mismatch, stale]);
    let examination = Examination {
        snapshot: &snapshot,
        source: Source::Once {
            program: "/bin/offloadd".into(),
            why: "No daemon runs".into(),
        },
        search: Some(&search),
    };
    let page = render(&examination, &style());
    assert!(
        page.contains("\nNo daemon runs: checked once by `/bin/offloadd --once`.\n"),
        "{page}"
    );
    let places = "
127.0.15.7 stands in /etc/my nixos, where 127.0.15.6 should:
    hosts/laptop.nix:4:19
      hostName = \"127.0.15.7\";
    hosts/laptop.nix:9:19  (a comment: left as it is)
      # 127.0.15.7 \\x1b[2J
    not searched: secret.nix: permission denied: run it as root
";
    assert!(page.contains(places), "{page}");
    let end = "
Proposed patch
--- a/x
+++ b/x
@@ -1,1 +1,1 @@
-\ta\\x1b
+\tb

To mend it (nothing was changed yet)
    offloadctl doctor --config-dir '/etc/my nixos' --patch | sudo patch -p1 -d '/etc/my nixos'
    sudo nixos-rebuild switch
    sudo systemctl restart nix-daemon
";
    assert!(page.ends_with(end), "{page}");
}

#[test]
fn where_the_configuration_alone_differs_there_is_something_to_mend() {
    let unlike = Unlike {
        target: "builder/desktop".into(),
        tree: "192.0.2.7".into(),
        nix: "192.0.2.6".into(),
    };
    let mut search = TreeSearch {
        directory: "/etc/nixos".into(),
        wrong: vec!["192.0.2.7".into()],
        unlike: vec![unlike],
        edited: true,
        ..TreeSearch::default()
    };
    let snapshot = snapshot(vec![builder()], Vec::new());
    let page = |search: &TreeSearch| {
        assert!(!is_well(&snapshot, Some(search)));
        let examination = Examination {
            snapshot: &snapshot,
            source: Source::Daemon,
            search: Some(search),
        };
        let page = render(&examination, &style());
        let words: Vec<_> = page.split_whitespace().collect();
        words.join(" ")
    };
    let edited = page(&search);
    for told in [
        "/etc/nixos has builder/desktop at 192.0.2.7; Nix goes to 192.0.2.6.",
        "It was changed after the last switch",
    ] {
        assert!(edited.contains(told), "{edited}");
    }
    assert!(!edited.contains("Nothing to mend"), "{edited}");
    search.edited = false;
    let older = page(&search);
    assert!(!older.contains("after the last switch"), "{older}");
    assert!(older.contains("The next `nixos-rebuild switch`"), "{older}");
    assert!(is_well(&snapshot, Some(&TreeSearch::default())));
}

#[test]
fn a_search_that_found_nothing_says_so() {
    let mut search = TreeSearch {
        directory: "/etc/nixos".into(),
        wrong: vec!["127.0.15.7".into()],
        ..TreeSearch::default()
    };
    let found = remedy::found(Some(&search), &style());
    let told = "\n127.0.15.7 stands nowhere in /etc/nixos. If you have corrected it already";
    assert!(found.starts_with(told), "{found}");
    search
        .notes
        .push("a.nix: permission denied: run it as root".into());
    let found = remedy::found(Some(&search), &style());
    assert!(found.contains("as far as that was searched"), "{found}");
}

#[test]
fn remote_words_can_not_write_to_the_terminal() {
    let evil = "\u{1b}[31m\u{202e}";
    let mut target = failed(
        builder(),
        TargetState::Down,
        Stage::Connect,
        Reason::Refused,
    );
    target.name = evil.into();
    target.address = evil.into();
    target.details.insert("error".into(), evil.into());
    target.layers[0].declared = placed(evil, evil);
    target.layers[0].subject = evil.into();
    let warning = warning(
        WarningCode::KeyNotTrusted,
        None,
        &[("actual", evil), ("error", evil)],
    );
    for warnings in [vec![], vec![warning]] {
        let page = page(&snapshot(vec![target.clone()], warnings), &style());
        assert!(!page.contains(['\u{1b}', '\u{202e}']), "{page}");
    }
    let coloured = Style {
        colour: true,
        ..style()
    };
    let page = page_of(&coloured);
    assert!(
        page.contains("\u{1b}[31m≠ 127.0.15.7:22\u{1b}[0m"),
        "{page}"
    );
}

fn page_of(style: &Style) -> String {
    page(&snapshot(vec![builder()], vec![]), style)
}
