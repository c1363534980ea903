//! Content addresses: what a path is called that follows from its content.
//!
//! Source: `parseContentAddressMethodPrefix` in src/libstore/content-address.cc,
//! `makeFixedOutputPath` and `makeStorePath` in src/libstore/store-dir-config.cc.

use std::fmt;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::{
    StorePath,
    hash::{Algorithm, nix32},
};

/// The bytes of a path's hash.
const PATH_HASH: usize = 20;

/// What the field `CA` of a narinfo claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentAddress {
    method: Method,
    algorithm: Algorithm,
    hash: Vec<u8>,
}

/// What was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// A text with references.
    Text,
    /// A file.
    Flat,
    /// A NAR.
    NixArchive,
}

impl ContentAddress {
    /// Reads `text:sha256:…`, `fixed:sha256:…` or `fixed:r:sha256:…`. `git:` is an experiment, which Nix refuses
    /// where nobody asked for it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (method, rest) = if let Some(rest) = text.strip_prefix("text:") {
            (Method::Text, rest)
        } else if let Some(rest) = text.strip_prefix("fixed:r:") {
            (Method::NixArchive, rest)
        } else {
            (Method::Flat, text.strip_prefix("fixed:")?)
        };
        let (algorithm, digits) = rest.split_once(':')?;
        let algorithm = Algorithm::parse(algorithm)?;
        Some(Self {
            method,
            algorithm,
            hash: algorithm.parse_digits(digits)?,
        })
    }

    /// Whether `path` with these references in `store_dir` is what such content is called.
    pub(super) fn is_of(
        &self,
        path: StorePath<'_>,
        references: &[StorePath<'_>],
        store_dir: &str,
    ) -> bool {
        let is_sha256 = self.algorithm == Algorithm::Sha256;
        let kind = match self.method {
            Method::Text if is_sha256 && !references.contains(&path) => "text",
            Method::NixArchive if is_sha256 => "source",
            Method::Flat | Method::NixArchive if references.is_empty() => {
                let recursive = match self.method {
                    Method::NixArchive => "r:",
                    Method::Flat | Method::Text => "",
                };
                let written = format!("fixed:out:{recursive}{}:", self.base16());
                let inner = digest(&SHA256, written.as_bytes());
                let inner = format!("sha256:{}", HEXLOWER.encode(inner.as_ref()));
                return is_called(path, "output:out", &inner, store_dir);
            }
            // Nix has no name for it.
            Method::Text | Method::Flat | Method::NixArchive => return false,
        };
        let mut kind = kind.to_owned();
        for reference in references.iter().filter(|reference| **reference != path) {
            kind.push_str(&format!(":{store_dir}/{reference}"));
        }
        if references.contains(&path) {
            kind.push_str(":self");
        }
        is_called(path, &kind, &self.base16(), store_dir)
    }

    fn base16(&self) -> String {
        format!("{}:{}", self.algorithm.name(), HEXLOWER.encode(&self.hash))
    }
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::Text => "text:",
            Method::Flat => "fixed:",
            Method::NixArchive => "fixed:r:",
        };
        write!(f, "{method}{}", self.base16())
    }
}

/// Whether the hash of `path` is that of something of this kind and content.
fn is_called(path: StorePath<'_>, kind: &str, content: &str, store_dir: &str) -> bool {
    let described = format!("{kind}:{content}:{store_dir}:{}", path.name());
    let mut folded = [0; PATH_HASH];
    for (at, byte) in digest(&SHA256, described.as_bytes())
        .as_ref()
        .iter()
        .enumerate()
    {
        folded[at % PATH_HASH] ^= byte;
    }
    nix32(&folded) == path.hash()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What `nix-store` prints.
    fn nix_says(arguments: &[&str]) -> String {
        printed("nix-store", arguments)
    }

    /// The store path that an expression comes to.
    fn evaluated(expression: &str) -> String {
        let arguments = ["--eval", "--read-write-mode", "--expr", expression];
        printed("nix-instantiate", &arguments)
            .trim_matches('"')
            .to_owned()
    }

    /// What a program of Nix prints, whose store is its own.
    fn printed(program: &str, arguments: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(program)
            .args(["--store", dir.path().to_str().unwrap()])
            .args(arguments)
            .env("NIX_CONF_DIR", "/nonexistent")
            .env("HOME", dir.path())
            .output()
            .expect("a program of the package nix-bin");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn is_of(address: &str, path: &str, references: &[&str]) -> bool {
        let parse = |path| StorePath::parse(path, "/nix/store").unwrap();
        let references: Vec<_> = references.iter().map(|path| parse(path)).collect();
        let address = ContentAddress::parse(address).unwrap();
        address.is_of(parse(path), &references, "/nix/store")
    }

    #[test]
    fn a_fixed_output_is_called_as_nix_calls_it() {
        for (algorithm, digits) in [("sha256", 64), ("sha1", 40), ("md5", 32), ("sha512", 128)] {
            let hash = "0123456789abcdef".repeat(8)[..digits].to_owned();
            let print = ["--print-fixed-path", algorithm, &hash, "hello-1.0"];
            let flat = nix_says(&print);
            let recursive = nix_says(&[&["--recursive"], print.as_slice()].concat());
            for (address, path, other) in [
                (format!("fixed:{algorithm}:{hash}"), &flat, &recursive),
                (format!("fixed:r:{algorithm}:{hash}"), &recursive, &flat),
            ] {
                assert!(is_of(&address, path, &[]), "{address} {path}");
                assert!(!is_of(&address, other, &[]), "{address} {other}");
                assert!(
                    !is_of(&address, path, &[other]),
                    "{address} with a reference"
                );
            }
        }
    }

    #[test]
    fn a_text_is_called_after_its_references_too() {
        let text = r#"builtins.toFile "two" "${builtins.toFile "one" "1"}""#;
        let one = evaluated(r#"builtins.toFile "one" "1""#);
        let two = evaluated(text);
        let address = |content: &str| {
            let hash = digest(&SHA256, content.as_bytes());
            format!("text:sha256:{}", HEXLOWER.encode(hash.as_ref()))
        };
        assert!(is_of(&address("1"), &one, &[]));
        assert!(is_of(&address(&one), &two, &[&one]));
        assert!(!is_of(&address(&one), &two, &[]));
        assert!(!is_of(&address("1"), &two, &[&one]));
    }

    #[test]
    fn what_nix_can_t_read_is_none() {
        let digits = "0".repeat(64);
        for text in [
            String::new(),
            digits.clone(),
            format!("sha256:{digits}"),
            format!("fixed:git:sha256:{digits}"),
            format!("fixed:r:sha257:{digits}"),
            format!("fixed:r:sha256:{digits}0"),
            format!("fixed:r:sha256-{digits}"),
            format!("nar:sha256:{digits}"),
        ] {
            assert_eq!(ContentAddress::parse(&text), None, "{text}");
        }
    }
}
