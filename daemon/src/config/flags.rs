//! `--cache URL` and `--builder URI`: entries named after their host.

use figment::value::{Dict, Value};

use super::{
    error::{Location, Problems, quoted},
    raw::{Fragment, KeyPath, Origin},
    values::url,
};
use crate::target::Address;

/// What the command line adds to the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// URLs of caches.
    pub caches: Vec<String>,
    /// Store URIs of builders.
    pub builders: Vec<String>,
}

pub(super) fn read(flags: &Flags, problems: &mut Problems) -> Fragment {
    let mut fragment = Fragment::new(Origin::Flags);
    let caches = (Location::Flag("--cache"), "cache", "url");
    add(&mut fragment, &flags.caches, caches, url::cache, problems);
    let builders = (Location::Flag("--builder"), "builder", "uri");
    add(
        &mut fragment,
        &flags.builders,
        builders,
        url::builder,
        problems,
    );
    fragment
}

/// A complaint that does not show what it is about, with that; but where a password may be in it.
fn with_value(text: &str, message: String) -> String {
    if text.is_empty() || text.contains('@') || message.starts_with('"') {
        message
    } else {
        format!("{} {message}", quoted(text))
    }
}

fn add(
    fragment: &mut Fragment,
    texts: &[String],
    (place, section, key): (Location, &'static str, &str),
    parse: fn(&str) -> Result<Address, String>,
    problems: &mut Problems,
) {
    let mut entries = Dict::new();
    for text in texts {
        let address = match parse(text) {
            Ok(address) => address,
            Err(message) => {
                let message = with_value(text, message);
                let part = KeyPath::of(&[section]);
                problems.lost(place.clone(), &part, String::new(), message);
                continue;
            }
        };
        let value = Value::from(Dict::from([(key.to_owned(), text.as_str().into())]));
        // Given twice is given once.
        if entries.values().any(|known| *known == value) {
            continue;
        }
        if let Some(name) = names(&address).find(|name| !entries.contains_key(name)) {
            fragment
                .places
                .set(KeyPath::of(&[section, &name]), place.clone());
            fragment.note_entry(section, &name);
            entries.insert(name, value);
        }
    }
    fragment.values.insert(section.into(), entries.into());
}

/// The host; for a second entry on the same host with its port, and so on.
fn names(address: &Address) -> impl Iterator<Item = String> {
    let full = address.to_string();
    let numbered = full.clone();
    [address.host.clone(), full]
        .into_iter()
        .chain((2_u32..).map(move |number| format!("{numbered}-{number}")))
}
