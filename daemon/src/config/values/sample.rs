//! A store path that a cache has.

use crate::{config::error::quoted, nix::narinfo::StorePath};

/// Checks a whole store path, `/nix/store/hash-name`. Which directory is this machine's store is
/// Nix's to say; here it is any.
pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    let parsed = match text.rsplit_once('/') {
        Some((dir, base)) if dir.starts_with('/') => {
            StorePath::parse_base_name(base).map_err(|error| error.to_string())
        }
        _ => Err("is no absolute path".to_owned()),
    };
    parsed.map(|_| ()).map_err(|why| {
        let text = quoted(text);
        format!(
            "{text} {why}; write one that the cache has, such as \"/nix/store/HASH-hello-2.12.1\""
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.1";

    #[test]
    fn a_sample_is_a_whole_store_path() {
        assert_eq!(check(&format!("/nix/store/{BASE}")), Ok(()));
        assert_eq!(check(&format!("/srv/nix/{BASE}")), Ok(()));
        for (text, told) in [
            (BASE.to_owned(), "is no absolute path"),
            (format!("store/{BASE}"), "is no absolute path"),
            (
                format!("/nix/store/{BASE}/bin/hello"),
                "does not begin with a hash",
            ),
            (format!("/nix/store/{BASE}/"), "does not begin with a hash"),
            ("/nix/store/hello".to_owned(), "does not begin with a hash"),
            (format!("/nix/store/{BASE} "), "has no name"),
        ] {
            let error = check(&text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "/?\\PC*") {
            let _ = check(&text);
        }
    }
}
