//! A catalogue as the build lays it out. Nothing of it is read, or takes memory of this process, before it is said.

use super::key;

/// Translations, and where each is.
#[derive(Debug)]
pub(super) struct Table {
    texts: &'static str,
    /// Key of the English, start and end; sorted.
    places: &'static [(u64, u32, u32)],
}

/// Brazil's.
pub(super) static PORTUGUESE: Table = Table {
    texts: include_str!(concat!(env!("OUT_DIR"), "/pt_BR.txt")),
    places: include!(concat!(env!("OUT_DIR"), "/pt_BR.rs")),
};

impl Table {
    /// What this is; nothing where it has no translation.
    pub(super) fn get(&self, english: &str) -> Option<&'static str> {
        let key = key::of(english);
        let found = self.places.binary_search_by_key(&key, |place| place.0);
        let (_, start, end) = self.places.get(found.ok()?)?;
        self.texts.get(*start as usize..*end as usize)
    }
}
