//! narinfo: what a cache says of one store path.
//!
//! Source: `NarInfo::NarInfo` in src/libstore/nar-info.cc, `ValidPathInfo::fingerprint` in
//! src/libstore/path-info.cc.

mod content;
mod hash;
mod path;

pub use self::{
    content::ContentAddress,
    path::{StorePath, StorePathError},
};
use super::{signature::is_signature, version::NixVersion};

/// What a NAR is taken to be packed with where `Compression` says nothing.
pub const DEFAULT_COMPRESSION: &str = "bzip2";

/// A narinfo, as far as a signature over it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo<'a> {
    /// `StorePath` without the store directory.
    pub path: StorePath<'a>,
    /// `NarHash`, SHA-256.
    pub nar_hash: [u8; 32],
    /// `NarSize` in bytes, never 0.
    pub nar_size: u64,
    /// `References`, each once, in the order of their bytes.
    pub references: Vec<StorePath<'a>>,
    /// Each `Sig`: `name:base64`.
    pub signatures: Vec<&'a str>,
    /// `URL` of the NAR, most often relative to the cache's.
    pub url: &'a str,
    /// `Compression` of the NAR, of which there are more than Nix can read.
    pub compression: &'a str,
    /// `FileSize`, the bytes at `url`.
    pub file_size: Option<u64>,
    /// `CA`, a claim: see [`NarInfo::is_content_addressed`].
    pub content_address: Option<ContentAddress>,
}

/// Why a text is no narinfo. It repeats nothing of the text but the names of fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarInfoError {
    /// Not UTF-8.
    #[error("not text")]
    NotText,
    /// A line that is not `Name: value` and a line end; counted from 1.
    #[error("line {0} is not 'Name: value'")]
    NotALine(usize),
    /// A field whose value Nix could not read.
    #[error("{0} can't be read")]
    Field(&'static str),
    /// A field that may be there only once.
    #[error("{0} is there twice")]
    Twice(&'static str),
    /// A field without which Nix refuses a narinfo.
    #[error("{0} is missing")]
    Missing(&'static str),
}

impl<'a> NarInfo<'a> {
    /// Reads a narinfo of a cache for `store_dir`, as strictly as Nix of this version: one bad line spoils
    /// it, an unknown field does not. Of repeated fields that Nix lets pass the last one holds.
    ///
    /// # Errors
    /// [`NarInfoError`]. Stricter than Nix in two points that no cache is known for: the text must
    /// be UTF-8, and the hash SHA-256.
    pub fn parse(
        text: &'a [u8],
        store_dir: &str,
        version: NixVersion,
    ) -> Result<Self, NarInfoError> {
        use NarInfoError::{Field, Missing, NotALine, NotText, Twice};
        let text = std::str::from_utf8(text).map_err(|_| NotText)?;
        let (mut path, mut nar_hash, mut nar_size) = (None, None, None);
        let (mut references, mut signatures) = (Vec::new(), Vec::new());
        let (mut url, mut compression, mut file_size) = ("", "", None);
        let mut content_address = None;
        let (mut rest, mut line) = (text, 0);
        while !rest.is_empty() {
            line += 1;
            let (name, value, next) = field(rest).ok_or(NotALine(line))?;
            rest = next;
            match name {
                "StorePath" => {
                    let parsed = StorePath::parse(value, store_dir);
                    path = Some(parsed.map_err(|_| Field("StorePath"))?);
                }
                "URL" => url = value,
                "Compression" => compression = value,
                "FileHash" if hash::parse(value).is_none() => return Err(Field("FileHash")),
                "FileSize" => file_size = Some(value.parse().map_err(|_| Field("FileSize"))?),
                "NarHash" => nar_hash = Some(hash::sha256(value).ok_or(Field("NarHash"))?),
                "NarSize" => nar_size = Some(value.parse().map_err(|_| Field("NarSize"))?),
                "References" if !references.is_empty() => return Err(Twice("References")),
                "References" => references = base_names(value)?,
                "Deriver" if value != "unknown-deriver" => {
                    StorePath::parse_base_name(value).map_err(|_| Field("Deriver"))?;
                }
                "Sig" if version.parses_signatures() && !is_signature(value) => {
                    return Err(Field("Sig"));
                }
                "Sig" => signatures.push(value),
                "CA" if content_address.is_some() => return Err(Twice("CA")),
                "CA" if value.is_empty() => {}
                "CA" => {
                    let address = ContentAddress::parse(value);
                    content_address = Some(address.ok_or(Field("CA"))?);
                }
                _ => {}
            }
        }
        let (path, nar_hash) = (
            path.ok_or(Missing("StorePath"))?,
            nar_hash.ok_or(Missing("NarHash"))?,
        );
        if url.is_empty() {
            return Err(Missing("URL"));
        }
        Ok(Self {
            path,
            nar_hash,
            nar_size: nar_size
                .filter(|size| *size > 0)
                .ok_or(Missing("NarSize"))?,
            references,
            signatures,
            url,
            compression: if compression.is_empty() {
                DEFAULT_COMPRESSION
            } else {
                compression
            },
            file_size,
            content_address,
        })
    }

    /// Whether its path follows from its content, as `CA` claims: Nix then asks for no signature.
    pub fn is_content_addressed(&self, store_dir: &str) -> bool {
        let address = self.content_address.as_ref();
        address.is_some_and(|address| address.is_of(self.path, &self.references, store_dir))
    }

    /// Whether `CA` claims another path than its own, where it refers to none.
    pub fn leads_elsewhere(&self, store_dir: &str) -> bool {
        let claims = self.content_address.is_some() && self.references.is_empty();
        claims && !self.is_content_addressed(store_dir)
    }

    /// What is signed: `1;path;sha256:nix32;size;references`.
    pub fn fingerprint(&self, store_dir: &str) -> String {
        let mut text = format!("1;{store_dir}/{};sha256:", self.path);
        text.push_str(&hash::nix32(&self.nar_hash));
        text.push_str(&format!(";{};", self.nar_size));
        for (index, reference) in self.references.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(store_dir);
            text.push('/');
            text.push_str(reference.as_str());
        }
        text
    }
}

/// The name and the value at the beginning of `text`, and what follows the line.
///
/// As Nix does it, one byte after the colon is skipped, whatever it is: the value of a bare `Name:`
/// is the line after it.
fn field(text: &str) -> Option<(&str, &str, &str)> {
    let colon = text.find(':')?;
    let value = text.get(colon + 2..)?;
    let end = value.find('\n')?;
    Some((&text[..colon], &value[..end], &value[end + 1..]))
}

fn base_names(value: &str) -> Result<Vec<StorePath<'_>>, NarInfoError> {
    let names = value.split(' ').filter(|name| !name.is_empty());
    let names: Result<Vec<_>, _> = names.map(StorePath::parse_base_name).collect();
    let mut names = names.map_err(|_| NarInfoError::Field("References"))?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests;
