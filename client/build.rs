//! Lays the catalogue out for who looks a text up, so that a Portuguese user pays for what is said and no more.
//!
//! `pt_BR.txt` has the translations one after the other; `pt_BR.rs` says where each is, sorted by the key of the English.

#[path = "src/language/catalogue.rs"]
#[allow(dead_code, unreachable_pub)]
mod catalogue;
#[path = "src/language/key.rs"]
mod key;

use std::{collections::BTreeMap, env, error::Error, fs, path::Path};

const CATALOGUE: &str = "po/pt_BR.po";

fn main() -> Result<(), Box<dyn Error>> {
    for file in [
        CATALOGUE,
        "src/language/catalogue.rs",
        "src/language/key.rs",
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
    let catalogue = catalogue::Catalogue::read(&fs::read_to_string(CATALOGUE)?);
    let mut sorted = BTreeMap::new();
    for english in catalogue.keys() {
        if let Some(other) = sorted.insert(key::of(english), english) {
            return Err(format!("{english:?} and {other:?} have one key").into());
        }
    }
    let (mut texts, mut places) = (String::new(), String::from("&["));
    for (key, english) in sorted {
        let start = texts.len();
        texts += catalogue.get(english).unwrap_or_default();
        places += &format!("({key},{start},{}),", texts.len());
    }
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("pt_BR.txt"), texts)?;
    fs::write(Path::new(&out).join("pt_BR.rs"), places + "]")?;
    Ok(())
}
