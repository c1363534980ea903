//! What a derivation asks of who builds it.
//!
//! The format is that of `Derivation::unparse`, the attributes those of `derivationOptionsFromStructuredAttrs`
//! (src/libstore/derivations.cc and derivation-options.cc of Nix).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;
use thiserror::Error;

use crate::{
    explain::Question,
    language::{say, tr},
};

/// How large a derivation may be, in bytes: those of nixpkgs have a few thousand.
const MAX_SIZE: u64 = 64 << 20;

/// Why a derivation could not be read.
#[derive(Debug, Error)]
pub(crate) enum DerivationError {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("{}", tr("is larger than 64 MiB, which no derivation is"))]
    TooLarge,
    #[error("{}", say!("is no derivation (byte {byte})", byte = .0))]
    Syntax(usize),
    #[error("{}", tr("is no derivation (its structured attributes are no JSON)"))]
    Attributes,
}

/// Reads the file of a derivation.
///
/// # Errors
/// Where it can't be read, or is none.
pub(crate) fn read(path: &Path) -> Result<Question, DerivationError> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(DerivationError::TooLarge);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Question, DerivationError> {
    let mut term = Term { bytes, at: 0 };
    // A dynamic derivation names its version first.
    if term.skip("DrvWithVersion(").is_ok() {
        term.string()?;
        term.skip(",")?;
    } else {
        term.skip("Derive(")?;
    }
    let mut is_known = true;
    term.list(|output| {
        let [_, path, ..] = output.tuple::<4>()?;
        is_known &= !path.is_empty();
        Ok(())
    })?;
    term.skip(",")?;
    term.list(Term::over)?;
    term.skip(",")?;
    term.list(Term::over)?;
    term.skip(",")?;
    let system = term.string()?;
    term.skip(",")?;
    term.string()?;
    term.skip(",")?;
    term.list(Term::over)?;
    term.skip(",")?;
    let mut attributes = BTreeMap::new();
    term.list(|attribute| {
        let [name, value] = attribute.tuple::<2>()?;
        attributes.insert(name, value);
        Ok(())
    })?;
    term.skip(")")?;
    let (mut features, prefers_local) = match attributes.get("__json") {
        Some(json) => of_structured(json)?,
        None => {
            let words = attributes.get("requiredSystemFeatures");
            let words = words.map(String::as_str).unwrap_or_default();
            let words = words.split_ascii_whitespace().map(str::to_owned);
            let prefers = attributes.get("preferLocalBuild");
            (words.collect(), prefers.is_some_and(|it| it == "1"))
        }
    };
    if !is_known {
        features.push("ca-derivations".to_owned());
    }
    features.sort_unstable();
    features.dedup();
    Ok(Question {
        system,
        features,
        prefer_local_build: prefers_local,
    })
}

fn of_structured(json: &str) -> Result<(Vec<String>, bool), DerivationError> {
    let json: Value = serde_json::from_str(json).map_err(|_| DerivationError::Attributes)?;
    let listed = json
        .get("requiredSystemFeatures")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let features = listed.filter_map(|word| Some(word.as_str()?.to_owned()));
    let prefers = json.get("preferLocalBuild").and_then(Value::as_bool);
    Ok((features.collect(), prefers.unwrap_or_default()))
}

/// What is left of an ATerm.
struct Term<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Parsed<T> = Result<T, DerivationError>;

impl Term<'_> {
    fn skip(&mut self, text: &str) -> Parsed<()> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(text.as_bytes()) {
            return Err(DerivationError::Syntax(self.at));
        }
        self.at += text.len();
        Ok(())
    }

    fn next(&mut self) -> Parsed<u8> {
        let byte = self.bytes.get(self.at).copied();
        let byte = byte.ok_or(DerivationError::Syntax(self.at))?;
        self.at += 1;
        Ok(byte)
    }

    fn string(&mut self) -> Parsed<String> {
        self.skip("\"")?;
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => text.push(match self.next()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                }),
                byte => text.push(byte),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn tuple<const N: usize>(&mut self) -> Parsed<[String; N]> {
        let mut parts = [const { String::new() }; N];
        self.skip("(")?;
        for (number, part) in parts.iter_mut().enumerate() {
            if number > 0 {
                self.skip(",")?;
            }
            *part = self.string()?;
        }
        self.skip(")")?;
        Ok(parts)
    }

    fn list(&mut self, mut each: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.skip("[")?;
        if self.skip("]").is_ok() {
            return Ok(());
        }
        loop {
            each(self)?;
            match self.next()? {
                b',' => {}
                b']' => return Ok(()),
                _ => return Err(DerivationError::Syntax(self.at - 1)),
            }
        }
    }

    /// Goes over an element that nobody needs, whatever is in it.
    fn over(&mut self) -> Parsed<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'(' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b')' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => return Err(DerivationError::Syntax(self.at)),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(system: &str, features: &[&str], prefers_local: bool) -> Question {
        Question {
            system: system.to_owned(),
            features: features.iter().map(|it| (*it).to_owned()).collect(),
            prefer_local_build: prefers_local,
        }
    }

    #[test]
    fn a_derivation_says_what_it_asks_for() {
        let text = br#"Derive([("out","/nix/store/x-a","","")],[("/nix/store/b.drv",["dev","out"])],["/nix/store/s"],"x86_64-linux","/bin/sh",["-c","echo \"]\\\n"],[("name","a"),("preferLocalBuild","1"),("requiredSystemFeatures","kvm\nbig-parallel kvm")])"#;
        assert_eq!(
            parse(text).unwrap(),
            wanted("x86_64-linux", &["big-parallel", "kvm"], true)
        );
    }

    #[test]
    fn structured_attributes_take_the_place_of_the_others() {
        let text = br#"Derive([("out","/nix/store/x-a","","")],[],[],"i686-linux","b",[],[("__json","{\"requiredSystemFeatures\":[\"kvm\"],\"preferLocalBuild\":true}"),("requiredSystemFeatures","x")])"#;
        assert_eq!(parse(text).unwrap(), wanted("i686-linux", &["kvm"], true));
    }

    #[test]
    fn outputs_without_a_known_path_need_a_feature() {
        for text in [
            r#"Derive([("out","","r:sha256","")],[],[],"x86_64-linux","b",[],[])"#,
            r#"DrvWithVersion("xp-dyn-drv",[("out","","","")],[("/nix/store/b.drv",(["out"],[("x",(["y"],[]))]))],[],"x86_64-linux","b",[],[])"#,
        ] {
            let read = parse(text.as_bytes()).unwrap();
            assert_eq!(read, wanted("x86_64-linux", &["ca-derivations"], false));
        }
    }

    #[test]
    fn what_is_none_is_refused_where_it_is_wrong() {
        for text in [
            "",
            "Derive(",
            "ELF",
            "Derive([],[],[],\"x",
            "Derive([,])",
            "Derive([],[],[)],\"\"",
        ] {
            let refused = parse(text.as_bytes());
            assert!(matches!(refused, Err(DerivationError::Syntax(_))), "{text}");
        }
        let text = br#"Derive([],[],[],"s","b",[],[("__json","{")])"#;
        assert!(matches!(parse(text), Err(DerivationError::Attributes)));
    }
}
