//! What only a builder builds: while there is none, it is not built here either.

use std::{collections::BTreeSet, env::consts};

use crate::{
    language::say,
    snapshot::{Facts, Snapshot},
};

/// Processor and system of this machine, as Rust calls them.
pub(super) const OWN: (&str, &str) = (consts::ARCH, consts::OS);

/// What is to be said of the systems that builders have and this machine has not; empty where there are none. Of another
/// processor it may have an emulation (`extra-platforms`), where what it builds is not known.
pub(super) fn words(snapshot: &Snapshot, own: (&str, &str)) -> String {
    let (mut never, mut emulated) = (BTreeSet::new(), BTreeSet::new());
    for target in &snapshot.targets {
        let Facts::Builder(facts) = &target.facts else {
            continue;
        };
        for system in &facts.systems {
            let here = &snapshot.here.systems;
            if !here.is_empty() {
                if !here.contains(system) && system.contains('-') {
                    never.insert(system.as_str());
                }
                continue;
            }
            match system.rsplit_once('-') {
                Some((_, os)) if !is_own_os(os, own.1) => never.insert(system.as_str()),
                Some((arch, _)) if !is_own_arch(arch, own.0) => emulated.insert(system.as_str()),
                Some(_) | None => false,
            };
        }
    }
    let list = |systems: BTreeSet<&str>| systems.into_iter().collect::<Vec<_>>().join(", ");
    let mut words = String::new();
    if !never.is_empty() {
        let systems = list(never);
        words.push_str(&say!(", those for {systems} not at all", systems));
    }
    if !emulated.is_empty() {
        let systems = list(emulated);
        words.push_str(&say!(
            ", those for {systems} only if it emulates that",
            systems
        ));
    }
    words
}

fn is_own_os(os: &str, own: &str) -> bool {
    os == if own == "macos" { "darwin" } else { own }
}

/// `x86_64-v3` is x86_64 as well, and some processors run what older ones do.
fn is_own_arch(arch: &str, own: &str) -> bool {
    let older: &[&str] = match own {
        "x86_64" => &["i686"],
        "aarch64" => &["armv7l", "armv6l"],
        _ => &[],
    };
    arch.split("-v").next() == Some(own) || older.contains(&arch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{BuilderFacts, Target};

    #[test]
    fn what_this_machine_can_t_build_is_named() {
        for (systems, said) in [
            (
                &["x86_64-linux", "i686-linux", "x86_64-v3-linux", "builtin"][..],
                "",
            ),
            (
                &["aarch64-darwin", "x86_64-linux"],
                ", those for aarch64-darwin not at all",
            ),
            (
                &["aarch64-linux"],
                ", those for aarch64-linux only if it emulates that",
            ),
        ] {
            let facts = BuilderFacts {
                systems: systems.iter().map(|it| (*it).into()).collect(),
                ..BuilderFacts::default()
            };
            let target = Target {
                facts: Facts::Builder(facts),
                ..Target::default()
            };
            let snapshot = Snapshot {
                targets: vec![target].into(),
                ..Snapshot::default()
            };
            assert_eq!(words(&snapshot, ("x86_64", "linux")), said, "{systems:?}");
        }
    }

    #[test]
    fn what_nix_conf_says_of_this_machine_goes_before_any_guess() {
        let said = |here: &[&str]| {
            let facts = BuilderFacts {
                systems: vec!["aarch64-linux".into(), "i686-linux".into()],
                ..BuilderFacts::default()
            };
            let mut snapshot = Snapshot {
                targets: vec![Target {
                    facts: Facts::Builder(facts),
                    ..Target::default()
                }]
                .into(),
                ..Snapshot::default()
            };
            snapshot.here.systems = here.iter().map(|it| (*it).into()).collect();
            words(&snapshot, ("x86_64", "linux"))
        };
        let emulates = said(&["x86_64-linux", "i686-linux", "aarch64-linux"]);
        assert_eq!(emulates, "");
        let plain = said(&["x86_64-linux", "i686-linux"]);
        assert_eq!(plain, ", those for aarch64-linux not at all");
    }
}
