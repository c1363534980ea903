//! The parameters of a cache that Nix can't read: it warns, and goes on without the cache.
//!
//! Source: `StoreConfig` in src/libstore/include/nix/store/store-api.hh, `BinaryCacheStoreConfig` in
//! binary-cache-store.hh and `HttpBinaryCacheStoreConfig` in http-binary-cache-store.hh.

use super::Params;
use crate::nix::NixVersion;

/// A parameter, and what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misread<'p> {
    /// Its name.
    pub name: &'p str,
    /// `true or false`, …
    pub wanted: &'static str,
}

/// The first that the Nix of `version` can't read.
pub fn misread(params: &Params, version: NixVersion) -> Option<Misread<'_>> {
    params.iter().find_map(|(name, value)| {
        let (fits, wanted) = match name.as_str() {
            "trusted"
            | "want-mass-query"
            | "write-nar-listing"
            | "index-debug-info"
            | "parallel-compression" => (
                ["true", "yes", "1", "false", "no", "0"].contains(&value.as_str()),
                "true or false",
            ),
            "priority" | "compression-level" | "path-info-cache-size" => {
                (is_number(value, version), "a whole number")
            }
            "local-nar-cache" | "secret-key" | "tls-certificate" | "tls-private-key"
                if version.wants_absolute_keys() =>
            {
                let fits = value.is_empty() || value.starts_with('/');
                (fits, "an absolute path")
            }
            _ => return None,
        };
        (!fits).then_some(Misread { name, wanted })
    })
}

fn is_number(value: &str, version: NixVersion) -> bool {
    let (digits, unit) = split(value);
    digits.parse::<i32>().is_ok() && (unit == 1 || version.takes_units())
}

/// A whole number, `1k` being 1024 of them, where Nix can read it (`string2IntWithUnitPrefix`, src/libutil/util.hh).
pub fn number(value: &str) -> Option<i64> {
    let (digits, unit) = split(value);
    Some(i64::from(digits.parse::<i32>().ok()?).saturating_mul(unit))
}

fn split(value: &str) -> (&str, i64) {
    let units = ["kK", "mM", "gG", "tT"].iter().zip([10, 20, 30, 40]);
    let mut units = units.filter_map(|(letters, bits)| {
        let letters: &[char] = &letters.chars().collect::<Vec<_>>();
        Some((value.strip_suffix(letters)?, 1 << bits))
    });
    units.next().unwrap_or((value, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_a_sign_and_a_unit() {
        for (text, expected) in [
            ("30", Some(30)),
            ("-1", Some(-1)),
            ("1k", Some(1024)),
            ("2M", Some(2 << 20)),
            ("1kk", None),
            ("k", None),
            ("", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn what_nix_can_t_read_is_named() {
        for (name, value, wanted) in [
            ("priority", "high", Some("a whole number")),
            ("priority", "-1", None),
            ("priority", "1k", None),
            ("priority", "1kk", Some("a whole number")),
            ("trusted", "TRUE", Some("true or false")),
            ("want-mass-query", "1", None),
            ("local-nar-cache", "cache", Some("an absolute path")),
            ("frob", "x", None),
        ] {
            let params = Params::from([(name.to_owned(), value.to_owned())]);
            let found = misread(&params, NixVersion::default());
            assert_eq!(found.map(|found| found.wanted), wanted, "{name}={value}");
        }
    }
}
