//! What caches say, and whether Nix takes it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Deserialize;

use super::{
    Case, Judged,
    agreement::{Word, hold},
    files::Asked,
    ground::Ground,
    nix::Nix,
    targets,
};
use crate::{Error, Result, error::Context, keys::seed};

/// Where it listens.
const ADDRESS: &str = "127.0.42.20:5000";
/// The one path, its NAR (of a directory with one file), and the SHA-256 of that, as all narinfos of the cases have
/// them.
pub(super) const PATH: &str = "/nix/store/vxrlxb4xndq69zq5ww9y24j93s2pgrlx-parity-sample";
const NARINFO: &str = "vxrlxb4xndq69zq5ww9y24j93s2pgrlx.narinfo";
const NAR: &str = "nar/18l2zj8v9v7ywhnxhbvn50dldj0h6nzfi1nii2xd79nkj6ivx2cm.nar";
const FINGERPRINT: &str = "1;/nix/store/vxrlxb4xndq69zq5ww9y24j93s2pgrlx-parity-sample;\
                           sha256:18l2zj8v9v7ywhnxhbvn50dldj0h6nzfi1nii2xd79nkj6ivx2cm;288;";
/// Who signs, and as whom.
const SIGNERS: [(&str, &str); 3] = [
    ("desk", "desk-1"),
    ("other", "other-1"),
    ("imposter", "desk-1"),
];

/// One cache.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheCase {
    name: String,
    differs: Option<String>,
    input: Input,
    /// Whether Nix takes the path from it.
    take: bool,
    #[serde(default)]
    nix: Asked,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Its nix-cache-info.
    info: String,
    /// Its narinfo; `{sig:WHO}` is a signature over the path.
    narinfo: String,
    /// `trusted-public-keys`; `{key:WHO}` is a key with its name, `{keyonly:WHO}` without.
    keys: String,
    /// Behind its URL.
    query: String,
    /// What else is in nix.conf.
    conf: String,
    /// The HTTP status of the narinfo.
    status: u16,
    /// The HTTP status of the nix-cache-info.
    infostatus: u16,
}

impl Case for CacheCase {
    fn name(&self) -> &str {
        &self.name
    }

    fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }
}

/// All of them at once, each below its name.
pub(super) struct Server<'a> {
    ground: &'a Ground,
    words: BTreeMap<String, String>,
}

impl<'a> Server<'a> {
    /// Starts it; it ends with the process.
    pub(super) fn start(ground: &'a Ground, cases: &[CacheCase]) -> Result<Self> {
        let mut words = BTreeMap::new();
        for (who, name) in SIGNERS {
            let pair = Ed25519KeyPair::from_seed_unchecked(&seed()?)
                .map_err(|error| Error::Unsupported(error.to_string()))?;
            let key = BASE64.encode(pair.public_key().as_ref());
            let signature = BASE64.encode(pair.sign(FINGERPRINT.as_bytes()).as_ref());
            words.insert(format!("{{sig:{who}}}"), format!("{name}:{signature}"));
            words.insert(format!("{{key:{who}}}"), format!("{name}:{key}"));
            words.insert(format!("{{keyonly:{who}}}"), key);
        }
        let server = Self { ground, words };
        let files = cases.iter().flat_map(|case| {
            let input = &case.input;
            let below = format!("/{}/", case.name);
            [
                (
                    format!("{below}nix-cache-info"),
                    (input.infostatus, input.info.clone().into_bytes()),
                ),
                (
                    format!("{below}{NARINFO}"),
                    (input.status, server.filled(&input.narinfo).into_bytes()),
                ),
                (format!("{below}{NAR}"), (200, nar())),
            ]
        });
        let files: Arc<BTreeMap<_, _>> = Arc::new(files.collect());
        let listener = TcpListener::bind(ADDRESS).context(ADDRESS)?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let files = files.clone();
                thread::spawn(move || serve(&stream, &files));
            }
        });
        Ok(server)
    }

    /// Whether the daemon is content where Nix is.
    pub(super) fn judge(&self, case: &CacheCase, nix: Option<&Nix<'_>>) -> Result<Judged> {
        let input = &case.input;
        let url = format!("http://{ADDRESS}/{}{}", case.name, input.query);
        let keys = self.filled(&input.keys);
        let conf = format!(
            "substituters = {url}\ntrusted-public-keys = {keys}\nbuilders =\n{}",
            input.conf
        );
        let conf = self.ground.write("run/nix.conf", conf, 0o644)?;
        let configuration = format!(
            "[nix]\nconf = \"{}\"\n[[cache]]\nname = \"c\"\nurl = \"{url}\"\nsample = \"{PATH}\"\n",
            conf.display()
        );
        let environment = case.nix.environment(self.ground, nix)?;
        let snapshot = match self.ground.once(&configuration, &environment, false)? {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok((false, error).into()),
        };
        if let Some(nix) = nix {
            let did = nix.fetches(&self.ground.path("run"), &environment, PATH)?;
            return Ok(hold(&snapshot, Word::of(&snapshot, "cache"), &did));
        }
        let Some(target) = targets(&snapshot, "cache").first().copied() else {
            return Ok((false, "no cache".to_owned()).into());
        };
        let verb = if case.take { "takes" } else { "refuses" };
        let said = format!(
            "{} {} at {}; Nix {verb} the path",
            target["state"], target["reason"], target["stage"]
        );
        Ok(((target["state"] == "ready") == case.take, said).into())
    }

    /// Writes a nix.conf with the cache that nothing is wrong with, and `more`, into `place`; offloadd's configuration of it.
    pub(super) fn plain(&self, place: &Path, more: &str) -> Result<String> {
        let url = format!("http://{ADDRESS}/plain");
        let keys = self.filled("{key:desk}");
        let conf =
            format!("substituters = {url}\ntrusted-public-keys = {keys}\nbuilders =\n{more}");
        let conf = self.ground.write(place.join("nix.conf"), conf, 0o644)?;
        Ok(format!(
            "[nix]\nconf = \"{}\"\n[[cache]]\nname = \"c\"\nurl = \"{url}\"\nsample = \"{PATH}\"\n",
            conf.display()
        ))
    }

    /// `text` with keys in the place of `{key:WHO}`.
    pub(super) fn filled(&self, text: &str) -> String {
        let words = self.words.iter();
        words.fold(text.to_owned(), |text, (word, value)| {
            text.replace(word, value)
        })
    }
}

/// Answers what is asked over one connection.
fn serve(stream: &TcpStream, files: &BTreeMap<String, (u16, Vec<u8>)>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let question = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let mut words = question.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let path = path.split('?').next()?;
        let missing = (404, b"no".to_vec());
        let (status, body) = files.get(path).unwrap_or(&missing);
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let body = if method == "HEAD" { &[][..] } else { body };
        let mut stream = stream;
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    }
}

/// The NAR of a directory with a file `a` that says hello (src/libutil/archive.cc).
fn nar() -> Vec<u8> {
    let words = [
        "nix-archive-1",
        "(",
        "type",
        "directory",
        "entry",
        "(",
        "name",
        "a",
        "node",
        "(",
        "type",
        "regular",
        "contents",
        "hello\n",
        ")",
        ")",
        ")",
    ];
    let mut nar = Vec::new();
    for word in words {
        nar.extend_from_slice(&(word.len() as u64).to_le_bytes());
        nar.extend_from_slice(word.as_bytes());
        nar.resize(nar.len().next_multiple_of(8), 0);
    }
    nar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nar_is_as_large_as_it_is_signed_for() {
        assert_eq!(nar().len(), 288);
    }
}
