use crate::{
    Printable, Reason, TargetState,
    explain::{Builder, Explanation, Fate, Here, Obstacle, Obstruction},
    page::{Style, explain},
};

fn words(words: &[&str]) -> Vec<Printable> {
    words.iter().map(|it| (*it).into()).collect()
}

fn obstacle(obstacle: Obstacle, features: &[&str]) -> Obstruction {
    Obstruction {
        obstacle,
        features: words(features),
    }
}

fn builder(name: &str, order: Option<u32>, obstacles: &[Obstruction]) -> Builder {
    Builder {
        name: Some(name.into()),
        uri: format!("ssh-ng://{name}").into(),
        order,
        obstacles: obstacles.to_vec(),
        state: TargetState::Ready,
        systems: words(&["x86_64-linux"]),
        max_jobs: 4,
        slots_in_use: Some(1),
        speed_factor: 2.0,
        ..Builder::default()
    }
}

fn explanation(fate: Fate, builder: Option<usize>, builders: &[Builder]) -> Explanation {
    Explanation {
        system: "x86_64-linux".into(),
        fate,
        builder,
        builders: builders.to_vec(),
        here: Here {
            systems: words(&["x86_64-linux", "i686-linux"]),
            max_jobs: 2,
            ..Here::default()
        },
        ..Explanation::default()
    }
}

#[test]
fn a_page_says_who_gets_it_and_why_nobody_else_does() {
    let builders = [
        Builder {
            systems: words(&["aarch64-linux", "armv7l-linux"]),
            ..builder("arm", None, &[obstacle(Obstacle::System, &[])])
        },
        Builder {
            state: TargetState::Down,
            reason: Reason::Refused,
            ..builder("attic", Some(1), &[])
        },
        builder("desktop", Some(2), &[]),
        builder(
            "tiny",
            None,
            &[obstacle(Obstacle::Feature, &["kvm", "big-parallel"])],
        ),
    ];
    let page = Explanation {
        features: words(&["kvm", "big-parallel"]),
        ..explanation(Fate::Builder, Some(2), &builders)
    };
    assert_eq!(
        explain(&page, &Style::default()),
        "\
A build for x86_64-linux that needs kvm, big-parallel goes to builder/desktop.

   1 ✗ builder/attic     3 of 4 slots free, speed 2, connection refused
   2 ✔ builder/desktop   3 of 4 slots free, speed 2
   –   builder/arm       builds aarch64-linux, armv7l-linux, not x86_64-linux
   –   builder/tiny      lacks kvm, big-parallel
       this machine      can build it
"
    );
}

#[test]
fn each_fate_has_its_sentence() {
    let one = |obstacles: &[Obstruction]| vec![builder("desktop", None, obstacles)];
    let tried = vec![builder("desktop", Some(1), &[])];
    let taken = one(&[obstacle(Obstacle::SlotsTaken, &[])]);
    let none = one(&[obstacle(Obstacle::NoSlots, &[])]);
    let unfit = one(&[obstacle(Obstacle::System, &[])]);
    let first = |page: &Explanation| {
        let page = explain(
            page,
            &Style {
                width: 200,
                ..Style::default()
            },
        );
        page.lines()
            .next()
            .unwrap()
            .trim_start_matches("A build for x86_64-linux ")
            .to_owned()
    };
    for (fate, builders, said) in [
        (
            Fate::Here,
            &vec![],
            "is built on this machine: Nix has no builders.",
        ),
        (
            Fate::Here,
            &tried,
            "is built on this machine: Nix reaches no builder that takes it.",
        ),
        (
            Fate::Here,
            &taken,
            "is built on this machine: all slots that it could have elsewhere are taken.",
        ),
        (
            Fate::Here,
            &unfit,
            "is built on this machine: no builder takes it.",
        ),
        (
            Fate::Waits,
            &taken,
            "waits: this machine can't build it, and no slot for it is free.",
        ),
        (
            Fate::Waits,
            &none,
            "waits for ever: this machine can't build it, and who could has no slots.",
        ),
        (
            Fate::Nowhere,
            &unfit,
            "fails: neither this machine nor the builder can build it.",
        ),
        (
            Fate::Nowhere,
            &tried,
            "fails: this machine can't build it, and Nix reaches nobody who can.",
        ),
    ] {
        assert_eq!(first(&explanation(fate, None, builders)), said);
    }
    let unknown = explanation(Fate::Unknown, Some(0), &tried);
    assert_eq!(
        first(&unknown),
        "is tried at builder/desktop first; whether Nix reaches it is not known."
    );
    let disabled = Explanation {
        reason: Reason::BuildersDisabled,
        ..explanation(Fate::Here, None, &[])
    };
    assert!(
        first(&disabled).starts_with("is built on this machine: Nix has no builders ("),
        "{disabled:?}"
    );
    let prefers = Explanation {
        prefer_local_build: true,
        ..explanation(Fate::Here, None, &tried)
    };
    assert_eq!(
        first(&prefers),
        "is built on this machine: it asks for that (preferLocalBuild)."
    );
}

#[test]
fn a_narrow_page_breaks_its_words_and_not_its_columns() {
    let lacking = builder(
        "desktop",
        None,
        &[obstacle(
            Obstacle::Feature,
            &["kvm", "big-parallel", "benchmark"],
        )],
    );
    let page = explain(
        &explanation(Fate::Here, None, &[lacking]),
        &Style {
            width: 44,
            ..Style::default()
        },
    );
    for line in page.lines() {
        assert!(line.chars().count() <= 45, "{line}");
    }
    assert!(page.contains("\n                         "), "{page}");
}
