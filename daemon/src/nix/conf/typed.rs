//! What the value of a setting must be for Nix to take it. One that it can't read makes it refuse nix.conf as a
//! whole, and with it every command, whatever the setting is for.
//!
//! Source: the `parse` of each kind of setting in src/libutil/configuration.cc and its -impl.hh, and those of
//! `SandboxMode`, `MaxBuildJobsSetting`, `Diagnose` and `EvalProfilerMode` beside what they belong to. The table was
//! held against what 2.8.0, 2.26.3 and 2.34.8 refuse of each of their settings; where one begins was read off the tags.
//! Settings of an experimental feature are not in it: Nix reads them only where that is turned on before.

use super::Assignment;
use crate::nix::{NixVersion, text, uri};

/// What is read of a value.
#[derive(Clone, Copy)]
enum Type {
    /// `true`, `yes`, `1`, `false`, `no`, `0`.
    Bool,
    /// A number of 32 bits.
    Unsigned,
    /// One of 64.
    Long,
    /// One of 64 that may be below 0.
    Signed,
    /// One of these.
    Word(&'static [&'static str]),
    /// Absolute.
    Path,
    /// Absolute, or nothing.
    OptionalPath,
    /// A store.
    Store,
    /// Any number of them.
    Stores,
}

use Type::{Bool, Long, OptionalPath, Path, Signed, Store, Stores, Unsigned, Word};

const SANDBOX: Type = Word(&["true", "false", "relaxed"]);
const LINT: Type = Word(&["ignore", "warn", "fatal"]);
const PROFILER: Type = Word(&["disabled", "flamegraph"]);

/// What is true or false of flakes (src/libfetchers/fetch-settings.hh).
const OF_FLAKES: [&str; 2] = ["accept-flake-config", "use-registries"];

/// The minor release of Nix 2 from which on names are settings of a type, other names of theirs among them.
const SETTINGS: &[(u32, Type, &[&str])] = &[
    (
        0,
        Bool,
        &[
            "allow-dirty",
            "allow-import-from-derivation",
            "allow-new-privileges",
            "allow-symlinked-store",
            "allow-unsafe-native-code-during-evaluation",
            "auto-optimise-store",
            "build-compress-log",
            "build-impersonate-linux-26",
            "build-keep-log",
            "builders-use-substitutes",
            "compress-build-log",
            "env-keep-derivations",
            "eval-cache",
            "filter-syscalls",
            "fsync-metadata",
            "gc-keep-derivations",
            "gc-keep-outputs",
            "http2",
            "impersonate-linux-26",
            "keep-build-log",
            "keep-derivations",
            "keep-env-derivations",
            "keep-failed",
            "keep-going",
            "keep-outputs",
            "preallocate-contents",
            "print-missing",
            "pure-eval",
            "restrict-eval",
            "run-diff-hook",
            "sandbox-fallback",
            "show-trace",
            "sync-before-registering",
            "trace-function-calls",
            "use-case-hack",
            "use-sqlite-wal",
            "warn-dirty",
        ],
    ),
    (10, Bool, &["ignore-try", "trace-verbose"]),
    (14, Bool, &["use-xdg-base-directories"]),
    (17, Bool, &["require-drop-supplementary-groups"]),
    (19, Bool, &["always-allow-substitutes"]),
    (21, Bool, &["debugger-on-trace"]),
    (22, Bool, &["trust-tarballs-from-git-forges"]),
    (23, Bool, &["abort-on-warn", "debugger-on-warn"]),
    (
        24,
        Bool,
        &[
            "nix-shell-always-looks-for-shell-nix",
            "nix-shell-shebang-arguments-relative-to-script",
        ],
    ),
    (25, Bool, &["fsync-store-paths"]),
    (26, Bool, &["use-cgroups"]),
    (30, Bool, &["trace-import-from-derivation"]),
    (31, Bool, &["warn-short-path-literals"]),
    (
        0,
        Unsigned,
        &[
            "build-cores",
            "build-poll-interval",
            "cores",
            "download-attempts",
            "narinfo-cache-positive-ttl",
            "tarball-ttl",
        ],
    ),
    (11, Unsigned, &["download-speed"]),
    (12, Unsigned, &["id-count", "start-id"]),
    (
        16,
        Unsigned,
        &["max-substitution-jobs", "substitution-max-jobs"],
    ),
    (20, Unsigned, &["max-call-depth"]),
    (30, Unsigned, &["eval-profiler-frequency"]),
    (32, Unsigned, &["eval-attrset-update-layer-rhs-threshold"]),
    (34, Unsigned, &["narinfo-cache-meta-ttl"]),
    (
        0,
        Long,
        &[
            "binary-caches-parallel-connections",
            "build-max-log-size",
            "http-connections",
            "log-lines",
            "max-build-log-size",
            "max-free",
            "min-free",
            "min-free-check-interval",
            "nar-buffer-size",
            "stalled-download-timeout",
        ],
    ),
    (23, Long, &["warn-large-path-threshold"]),
    (24, Long, &["download-buffer-size"]),
    (
        0,
        Signed,
        &[
            "build-max-silent-time",
            "build-timeout",
            "gc-reserved-space",
            "max-silent-time",
            "timeout",
        ],
    ),
    (
        0,
        SANDBOX,
        &["build-use-chroot", "build-use-sandbox", "sandbox"],
    ),
    (
        34,
        LINT,
        &[
            "lint-absolute-path-literals",
            "lint-short-path-literals",
            "lint-url-literals",
        ],
    ),
    (30, PROFILER, &["eval-profiler"]),
    (0, OptionalPath, &["diff-hook"]),
    (34, Path, &["netrc-file", "sandbox-build-dir"]),
    (
        34,
        OptionalPath,
        &["build-dir", "json-log-path", "ssl-cert-file"],
    ),
    (34, Store, &["store"]),
    (
        34,
        Stores,
        &[
            "binary-caches",
            "extra-binary-caches",
            "extra-substituters",
            "extra-trusted-binary-caches",
            "extra-trusted-substituters",
            "substituters",
            "trusted-binary-caches",
            "trusted-substituters",
        ],
    ),
];

/// Whether the Nix of `version` takes the value. Those that [`super::NixConf`] keeps and reads itself are not asked
/// for here, and what is no setting may be anything.
///
/// # Errors
/// What Nix would say.
pub(super) fn check(line: &Assignment, version: NixVersion) -> Result<(), String> {
    let name = line.name.as_str();
    // Behind a gate since 2.15: who has not switched flakes on is told that they are ignored.
    if OF_FLAKES.contains(&name) && version < NixVersion::new(2, 15, 0) {
        return boolean(line).map(drop);
    }
    let row = SETTINGS.iter().find(|(since, _, names)| {
        version >= NixVersion::new(2, *since, 0) && names.contains(&name)
    });
    let Some((_, wanted, _)) = row else {
        return Ok(());
    };
    let value = line.value.as_str();
    let is_absolute = value.starts_with('/');
    let fits = match wanted {
        Bool => return boolean(line).map(drop),
        Unsigned => return unsigned(line, version).map(drop),
        Long => return long(line, version).map(drop),
        Signed => value.strip_prefix('-').map_or_else(
            || with_unit::<i64>(value, version).is_some(),
            |digits| !digits.starts_with('+') && with_unit::<i64>(digits, version).is_some(),
        ),
        Word(words) => words.contains(&value),
        Path if !is_absolute => return Err(format!("'{name}' is not an absolute path")),
        OptionalPath if !is_absolute && !value.is_empty() => {
            return Err(format!("'{name}' is not an absolute path"));
        }
        Path | OptionalPath => true,
        // Of the environment, where there is one.
        Store if value.is_empty() => true,
        Store => return stores([value], version),
        Stores => return stores(text::tokens(value), version),
    };
    if fits { Ok(()) } else { Err(invalid(line)) }
}

/// A yes or a no.
///
/// # Errors
/// What Nix would say to anything else.
pub(super) fn boolean(line: &Assignment) -> Result<bool, String> {
    match line.value.as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(invalid(line)),
    }
}

/// A number of 32 bits.
///
/// # Errors
/// What Nix would say to anything else.
pub(super) fn unsigned(line: &Assignment, version: NixVersion) -> Result<u32, String> {
    let number = with_unit::<u32>(&line.value, version);
    let (number, shift) = number.ok_or_else(|| invalid(line))?;
    // The product has 64 bits, of which the lower half is kept.
    let product = u64::from(number).wrapping_shl(shift) & u64::from(u32::MAX);
    u32::try_from(product).map_err(|_| invalid(line))
}

/// A number of 64 bits.
///
/// # Errors
/// What Nix would say to anything else.
pub(super) fn long(line: &Assignment, version: NixVersion) -> Result<u64, String> {
    let number = with_unit::<u64>(&line.value, version);
    let (number, shift) = number.ok_or_else(|| invalid(line))?;
    Ok(number.wrapping_shl(shift))
}

/// What Nix says to a value that it can't read.
pub(super) fn invalid(line: &Assignment) -> String {
    format!("'{}' has the invalid value '{}'", line.name, line.value)
}

/// `string2IntWithUnitPrefix` (src/libutil/include/nix/util/util.hh): a number, and by how many bits K, M, G or T shift
/// it. Before 2.23 settings had no units.
fn with_unit<N: std::str::FromStr>(value: &str, version: NixVersion) -> Option<(N, u32)> {
    let shift = match value.as_bytes().last() {
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        Some(b't' | b'T') => 40,
        _ => 0,
    };
    if shift > 0 && !version.takes_units() {
        return None;
    }
    let digits = if shift > 0 {
        value.get(..value.len() - 1)?
    } else {
        value
    };
    Some((digits.parse().ok()?, shift))
}

fn stores<'v>(
    stores: impl IntoIterator<Item = &'v str>,
    version: NixVersion,
) -> Result<(), String> {
    let mut stores = stores.into_iter();
    match stores.find(|store| !uri::is_reference(store, version)) {
        Some(store) => {
            let shown = uri::redacted(store);
            Err(format!("Nix {version} can't parse the store '{shown}'"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_two_settings() {
        let names = SETTINGS.iter().flat_map(|(_, _, names)| names.iter());
        let names: Vec<_> = names.collect();
        let once: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), once.len());
    }

    #[test]
    fn a_value_is_taken_or_refused_as_each_nix_does_it() {
        let [old, middle, new] = [(8, 0), (26, 3), (34, 8)];
        for (name, value, refusing) in [
            ("cores", "many", &[old, middle, new][..]),
            ("cores", "5k", &[old]),
            ("keep-outputs", "ture", &[old, middle, new]),
            ("sandbox", "relaxed", &[]),
            ("sandbox", "1", &[old, middle, new]),
            ("min-free", "1G", &[old]),
            ("min-free", "-1", &[old, middle, new]),
            ("timeout", "-1", &[]),
            ("timeout", "-+1", &[old, middle, new]),
            ("netrc-file", "netrc", &[new]),
            ("netrc-file", "", &[new]),
            ("ssl-cert-file", "", &[]),
            ("diff-hook", "hook", &[old, middle, new]),
            ("store", "elsewhere", &[new]),
            ("trusted-substituters", "cache.example.org", &[new]),
            ("always-allow-substitutes", "maybe", &[middle, new]),
            ("accept-flake-config", "maybe", &[old]),
            ("no-such-setting", "maybe", &[]),
        ] {
            let line = Assignment {
                name: name.to_owned(),
                value: value.to_owned(),
                file: "/etc/nix/nix.conf".into(),
                line: 1,
            };
            for (minor, patch) in [old, middle, new] {
                let refused = check(&line, NixVersion::new(2, minor, patch)).is_err();
                let wanted = refusing.contains(&(minor, patch));
                assert_eq!(refused, wanted, "{name} = {value} in 2.{minor}.{patch}");
            }
        }
    }

    #[test]
    fn a_product_keeps_what_fits_as_nix_s_does() {
        let line = |value: &str| Assignment {
            name: "narinfo-cache-negative-ttl".to_owned(),
            value: value.to_owned(),
            file: "/etc/nix/nix.conf".into(),
            line: 1,
        };
        let version = NixVersion::default();
        assert_eq!(unsigned(&line("4194305k"), version), Ok(1024));
        assert!(unsigned(&line("4294967296"), version).is_err());
    }
}
