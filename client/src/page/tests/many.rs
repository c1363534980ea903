//! A page of very many targets.

use super::*;

fn many(count: usize) -> Snapshot {
    let targets = (0..count).map(|number| Target {
        name: format!("desk{number}").into(),
        ..if number % 2 == 0 { cache() } else { builder() }
    });
    Snapshot {
        targets: targets.collect(),
        ..snapshot(cache(), builder())
    }
}

#[test]
fn of_a_thousand_targets_what_is_wrong_is_shown_and_the_rest_is_counted() {
    let mut snapshot = many(1000);
    snapshot.state = OverallState::Degraded;
    let lost = snapshot.targets.iter_mut().nth(501).unwrap();
    lost.state = TargetState::Down;
    lost.reason = Reason::Refused;
    lost.stage = Stage::Connect;
    let page = render(&snapshot, &style());
    assert!(page.lines().count() < 24, "{page}");
    assert!(page.contains("✗ down   builder/desk501"), "{page}");
    assert!(page.contains("→ Start the service"), "{page}");
    assert!(
        page.contains(
            "\n✔ ready   500 caches and 499 builders (`--verbose` has a line for each)\n"
        ),
        "{page}"
    );
    let verbose = Style {
        verbose: true,
        ..style()
    };
    assert!(render(&snapshot, &verbose).contains("cache/desk998"));
}

#[test]
fn a_few_have_a_line_each() {
    let page = render(&many(MANY), &style());
    assert!(page.contains("builder/desk19"), "{page}");
    let page = render(&many(MANY + 1), &style());
    assert!(
        page.ends_with("\n✔ ready   11 caches and 10 builders (`--verbose` has a line for each)\n"),
        "{page}"
    );
}
