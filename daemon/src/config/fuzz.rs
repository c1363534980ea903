//! What must hold of our own configuration, and of the URLs in it.

use std::path::Path;

use super::{
    Settings,
    error::{Location, Problems},
    files::Files,
    merge::{self, Merged},
    raw::Origin,
    report,
    shape::shape,
    toml, validate,
    values::url,
};
use crate::nix::uri::{self, StoreUri};

/// What is valid is shown as a file that reads back as the same; what is not is told.
pub(crate) fn config_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok((settings, merged)) = read(text) else {
        return;
    };
    let shown = report::report(&settings, &merged).text;
    match read(&shown) {
        Ok((same, _)) => assert_eq!(without_places(same), without_places(settings), "{shown}"),
        Err(problems) => unreachable!("{shown}\n{problems:?}"),
    }
}

/// A URL that passes can be watched, and what is wrong with one is told in one printable line.
pub(crate) fn url(text: &str) {
    match url::cache(text) {
        Ok(_) => assert!(matches!(uri::parse(text), Ok(StoreUri::Cache(_)))),
        Err(why) => assert!(!why.contains(char::is_control), "{why:?}"),
    }
    match url::builder(text) {
        Ok(_) => assert!(matches!(uri::parse(text), Ok(StoreUri::Ssh(_)))),
        Err(why) => assert!(!why.contains(char::is_control), "{why:?}"),
    }
}

/// Where entries stand is not what they say.
fn without_places(mut settings: Settings) -> Settings {
    let caches = settings.caches.iter_mut().map(|entry| &mut entry.place);
    let builders = settings.builders.iter_mut().map(|entry| &mut entry.place);
    for place in caches.chain(builders) {
        *place = Location::Default;
    }
    settings
}

/// As [`super::read`] reads one file and nothing else.
fn read(text: &str) -> Result<(Settings, Merged), Problems> {
    let file = Path::new("/etc/offloadd/config.toml");
    let mut problems = Problems::default();
    let raw = toml::read(file, text, &mut problems);
    let fragment = raw.map(|raw| shape(Origin::File(file.to_owned()), raw, &mut problems));
    let fragments: Vec<_> = [merge::defaults()].into_iter().chain(fragment).collect();
    let merged = match merge::merge(&fragments) {
        Ok(merged) => merged,
        Err(error) => unreachable!("`shape` let something through: {error}"),
    };
    let files = Files::default();
    let settings = validate::validate(&merged, files, None, &mut problems);
    if problems.is_empty() {
        Ok((settings, merged))
    } else {
        Err(problems)
    }
}
