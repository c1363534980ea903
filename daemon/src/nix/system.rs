//! The words for what a machine builds for, `x86_64-linux`, and what was meant by one that is none.
//!
//! Nix takes any word and compares it letter by letter; these are the ones in use (`lib.systems.doubles` of nixpkgs, and
//! `system` in Nix's own meson.build, which is made of `uname`).

use strsim::damerau_levenshtein;

const PROCESSORS: [&str; 18] = [
    "aarch64",
    "aarch64_be",
    "armv5tel",
    "armv6l",
    "armv7l",
    "i486",
    "i586",
    "i686",
    "loongarch64",
    "m68k",
    "mips64el",
    "mipsel",
    "powerpc64",
    "powerpc64le",
    "riscv32",
    "riscv64",
    "s390x",
    "x86_64",
];
const SYSTEMS: [&str; 10] = [
    "cygwin", "darwin", "freebsd", "illumos", "linux", "netbsd", "none", "openbsd", "solaris",
    "wasi",
];

/// Which of `offered` was meant by `word`, where that is no system at all: one with this beginning, or one that is written
/// nearly so (every third letter may be wrong).
pub fn meant<'a>(word: &str, offered: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if is_system(word) {
        return None;
    }
    let beginning = format!("{word}-");
    let mut begun = offered
        .clone()
        .filter(|known| known.starts_with(&beginning));
    let near = offered.map(|known| (damerau_levenshtein(word, known), known));
    let near = near.filter(|(distance, known)| *distance <= known.len() / 3);
    begun.next().or_else(|| {
        near.min_by_key(|(distance, _)| *distance)
            .map(|(_, known)| known)
    })
}

fn is_system(word: &str) -> bool {
    word.split_once('-').is_some_and(|(processor, system)| {
        PROCESSORS.contains(&processor) && SYSTEMS.contains(&system)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told_from_a_system_that_is_not_offered() {
        let offered = ["x86_64-linux", "i686-linux", "x86_64-v2-linux"];
        for (word, of) in [
            ("x86_64", Some("x86_64-linux")),
            ("x86-64_linux", Some("x86_64-linux")),
            ("x86_64-Linux", Some("x86_64-linux")),
            ("x86_64-linx", Some("x86_64-linux")),
            ("i686", Some("i686-linux")),
            ("aarch64-linux", None),
            ("x86_64-darwin", None),
            ("riscv64-linux", None),
            ("builtin", None),
            ("", None),
        ] {
            assert_eq!(meant(word, offered.into_iter()), of, "{word}");
        }
    }
}
