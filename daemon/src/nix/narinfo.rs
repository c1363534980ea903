//! narinfo: what a cache says of one store path.
//!
//! Source: `NarInfo::NarInfo` in src/libstore/nar-info.cc, `ValidPathInfo::fingerprint` in
//! src/libstore/path-info.cc.

mod hash;
mod path;

pub use path::{StorePath, StorePathError};

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
    /// Whether it claims, by `CA`, that its path follows from its content: Nix then asks for no
    /// signature.
    pub content_addressed: bool,
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
    /// Reads a narinfo of a cache for `store_dir`, as strictly as Nix: one bad line spoils it, an
    /// unknown field does not. Of repeated fields that Nix lets pass the last one holds.
    ///
    /// Fields that say nothing of what is signed (`FileHash`, `Deriver`, ...) are not looked at.
    ///
    /// # Errors
    /// [`NarInfoError`]. Stricter than Nix in two points that no cache is known for: the text must
    /// be UTF-8, and the hash SHA-256.
    pub fn parse(text: &'a [u8], store_dir: &str) -> Result<Self, NarInfoError> {
        let text = std::str::from_utf8(text).map_err(|_| NarInfoError::NotText)?;
        let (mut path, mut nar_hash, mut nar_size) = (None, None, None);
        let (mut references, mut signatures) = (Vec::new(), Vec::new());
        let (mut has_url, mut content_addressed) = (false, false);
        let (mut rest, mut line) = (text, 0);
        while !rest.is_empty() {
            line += 1;
            let (name, value, next) = field(rest).ok_or(NarInfoError::NotALine(line))?;
            rest = next;
            match name {
                "StorePath" => {
                    let parsed = StorePath::parse(value, store_dir);
                    path = Some(parsed.map_err(|_| NarInfoError::Field("StorePath"))?);
                }
                "URL" => has_url = !value.is_empty(),
                "NarHash" => {
                    let parsed = hash::sha256(value);
                    nar_hash = Some(parsed.ok_or(NarInfoError::Field("NarHash"))?);
                }
                "NarSize" => {
                    let parsed = value.parse::<u64>();
                    nar_size = Some(parsed.map_err(|_| NarInfoError::Field("NarSize"))?);
                }
                "References" if !references.is_empty() => {
                    return Err(NarInfoError::Twice("References"));
                }
                "References" => references = base_names(value)?,
                "Sig" => signatures.push(value),
                "CA" if content_addressed => return Err(NarInfoError::Twice("CA")),
                "CA" => content_addressed = !value.is_empty(),
                _ => {}
            }
        }
        let missing = NarInfoError::Missing;
        let (path, nar_hash) = (
            path.ok_or(missing("StorePath"))?,
            nar_hash.ok_or(missing("NarHash"))?,
        );
        if !has_url {
            return Err(missing("URL"));
        }
        Ok(Self {
            path,
            nar_hash,
            nar_size: nar_size
                .filter(|size| *size > 0)
                .ok_or(missing("NarSize"))?,
            references,
            signatures,
            content_addressed,
        })
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
