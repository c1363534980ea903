//! Lays the catalogue out for who looks a text up, so that a Portuguese user pays for what is said and no more.
//!
//! `pt_BR.txt` has the translations one after the other; `pt_BR.rs` says where each is, sorted by the key of the English.

#[path = "src/language/catalogue.rs"]
#[allow(dead_code, unreachable_pub)]
mod catalogue;
#[path = "src/language/key.rs"]
mod key;

use std::{collections::BTreeMap, env, error::Error, fs, path::Path};

/// What the programs say, and what stands in the pages: offloadd's options are there.
const CATALOGUES: [&str; 2] = ["po/pt_BR.po", "po/man.pt_BR.po"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in ["src/language/catalogue.rs", "src/language/key.rs"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let mut all = String::new();
    for file in CATALOGUES {
        println!("cargo::rerun-if-changed={file}");
        all += &fs::read_to_string(file)?;
    }
    let catalogue = catalogue::Catalogue::read(&all);
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
