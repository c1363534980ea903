//! `nix-cache-info`, as Nix reads it.

use offload_client::{Printable, Reason, snapshot::CacheFacts};

/// What Nix takes for the priority of a cache that names none: it asks it first (`StoreConfig::priority`,
/// src/libstore/store-api.hh, of 2.8, 2.26 and 2.34 alike; the manual's 50 is not in the source).
const DEFAULT_PRIORITY: u32 = 0;

/// Why an answer is no `nix-cache-info` that Nix could use.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum InfoError {
    /// A page, or any other text that is not Nix's: somebody else answers for the cache.
    #[error("not nix-cache-info but: {0}")]
    Page(Printable),
    /// Not text, or without the line that matters.
    #[error("{0}")]
    Invalid(String),
    /// A cache for another store directory; with what it says of itself.
    #[error("serves {}, this machine has {expected}", Printable::excerpt(found.store_dir.as_bytes(), 128))]
    StoreDir {
        /// What it says of itself.
        found: CacheFacts,
        /// The store directory of this machine's Nix.
        expected: String,
    },
}

impl InfoError {
    /// The reason to report.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Page(_) => Reason::CaptivePortal,
            Self::Invalid(_) => Reason::CacheInfoInvalid,
            Self::StoreDir { .. } => Reason::StoreDirMismatch,
        }
    }
}

/// Reads `nix-cache-info` for a machine whose store directory is `store_dir`.
///
/// As `BinaryCacheStore::init` in Nix's `src/libstore/binary-cache-store.cc` (2.36): lines
/// `Name: value`, the value trimmed, lines without a colon and unknown names skipped, the last of
/// several holds, every `StoreDir` must match. Stricter in one point: Nix demands no line at all,
/// so that the page of a captive portal passes for the empty cache info. Here one of Nix's lines must
/// be there, as they are in what every server of caches sends.
pub(super) fn parse(body: &[u8], store_dir: &str) -> Result<CacheFacts, InfoError> {
    if is_page(body) {
        return Err(InfoError::Page(Printable::excerpt(body, 80)));
    }
    let text = std::str::from_utf8(body)
        .map_err(|_| InfoError::Invalid(format!("not text: {}", Printable::excerpt(body, 80))))?;
    let mut facts = CacheFacts {
        priority: DEFAULT_PRIORITY,
        ..CacheFacts::default()
    };
    let (mut store_dirs, mut ours) = (Vec::new(), false);
    for (name, value) in text.split('\n').filter_map(|line| line.split_once(':')) {
        let value = value.trim_matches([' ', '\t', '\n', '\r']);
        match name {
            "StoreDir" => store_dirs.push(value),
            "WantMassQuery" => (facts.want_mass_query, ours) = (value == "1", true),
            "Priority" => (facts.priority, ours) = (priority(value)?, true),
            _ => {}
        }
    }
    let mismatch = store_dirs.iter().find(|found| **found != store_dir);
    let found = match mismatch.or(store_dirs.last()) {
        Some(found) => *found,
        None if ours => store_dir,
        None if text.trim().is_empty() => {
            return Err(InfoError::Invalid("no line of it".to_owned()));
        }
        None => return Err(InfoError::Page(Printable::excerpt(body, 80))),
    };
    facts.store_dir = found.into();
    match mismatch {
        None => Ok(facts),
        Some(_) => Err(InfoError::StoreDir {
            found: facts,
            expected: store_dir.to_owned(),
        }),
    }
}

/// Whether this is the beginning of a page (HTML or XML) rather than of lines.
pub(super) fn is_page(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start().starts_with(b"<")
}

/// As `std::stoi`, which Nix calls and whose exceptions make Nix refuse the cache: the number at
/// the beginning, whatever follows. A negative one is asked before all others, as 0 is here.
fn priority(value: &str) -> Result<u32, InfoError> {
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    let end = digits
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(digits.len());
    let number: Option<i32> = value[..value.len() - digits.len() + end].parse().ok();
    let number = number.ok_or_else(|| {
        InfoError::Invalid(format!(
            "Priority: {}",
            Printable::excerpt(value.as_bytes(), 40)
        ))
    })?;
    Ok(u32::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<CacheFacts, InfoError> {
        parse(text.as_bytes(), "/nix/store")
    }

    fn facts(want_mass_query: bool, priority: u32) -> CacheFacts {
        CacheFacts {
            store_dir: "/nix/store".into(),
            want_mass_query,
            priority,
            signing_key: Printable::default(),
        }
    }

    #[test]
    fn what_the_usual_servers_send_is_read() {
        for (text, expected) in [
            ("StoreDir: /nix/store\n", facts(false, 0)),
            (
                "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n",
                facts(true, 30),
            ),
            (
                "StoreDir: /nix/store\r\nWantMassQuery: 0\r\nPriority: 40",
                facts(false, 40),
            ),
            (
                "# by hand\nStoreDir:/nix/store\nNewKey: x:y\n\nWantMassQuery: true\n",
                facts(false, 0),
            ),
            (
                "Priority: 10\nStoreDir: /nix/store\nPriority: 20 # low\n",
                facts(false, 20),
            ),
            ("StoreDir: /nix/store\nPriority: -5\n", facts(false, 0)),
            ("WantMassQuery: 1\nPriority: 30\n", facts(true, 30)),
        ] {
            assert_eq!(read(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn another_store_directory_is_named_with_ours() {
        let error = read("StoreDir: /gnu/store\nPriority: 7\n").unwrap_err();
        assert_eq!(error.reason(), Reason::StoreDirMismatch);
        assert_eq!(
            error.to_string(),
            "serves /gnu/store, this machine has /nix/store"
        );
        let twice = read("StoreDir: /nix/store\nStoreDir: /gnu/store\nStoreDir: /nix/store\n");
        assert_eq!(twice.unwrap_err().reason(), Reason::StoreDirMismatch);
    }

    #[test]
    fn a_page_is_a_captive_portal() {
        for text in [
            "<html><head><title>Hotel WiFi</title></head></html>",
            "\u{feff}\r\n <!DOCTYPE html>\nStoreDir: /nix/store\n",
            "It works!",
            "storedir: /nix/store\n",
            " StoreDir: /nix/store\n",
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.reason(), Reason::CaptivePortal, "{text:?}");
        }
    }

    #[test]
    fn what_nix_would_choke_on_is_invalid() {
        for text in [
            "",
            "\n\n",
            "StoreDir: /nix/store\nPriority: high\n",
            "StoreDir: /nix/store\nPriority:\n",
            "StoreDir: /nix/store\nPriority: +-3\n",
            "StoreDir: /nix/store\nPriority: 99999999999\n",
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.reason(), Reason::CacheInfoInvalid, "{text:?}");
        }
        let binary = parse(b"\x1f\x8b\x08\x00\xff", "/nix/store").unwrap_err();
        assert_eq!(binary.reason(), Reason::CacheInfoInvalid);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_in_printable_words(
            body in prop::collection::vec(any::<u8>(), 0..512)
        ) {
            if let Err(error) = parse(&body, "/nix/store") {
                let text = error.to_string();
                prop_assert!(!text.contains(char::is_control), "{:?}", text);
                prop_assert!(text.chars().count() < 1200);
            }
        }

        #[test]
        fn lines_that_nix_skips_change_nothing(
            noise in prop::collection::vec("[a-z#]{0,8}(:[^\\n\\r]{0,12})?", 0..6),
            priority in 0_u32..1000,
            at in 0_usize..6,
        ) {
            let mut lines = noise;
            lines.insert(at.min(lines.len()), format!("Priority: {priority}"));
            lines.insert(at.min(lines.len()), "StoreDir: /nix/store".to_owned());
            prop_assert_eq!(read(&lines.join("\n")), Ok(facts(false, priority)));
        }

        #[test]
        fn only_our_store_directory_passes(dir in "[!-~]{0,24}") {
            let result = read(&format!("StoreDir: {dir}\n"));
            prop_assert_eq!(result.is_ok(), dir == "/nix/store");
        }
    }
}
