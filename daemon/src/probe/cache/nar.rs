//! Whether the cache has the file that a narinfo names.
//!
//! Nix looks no further than the narinfo when it decides to fetch a path, and then fails.

use std::time::Duration;

use hyper::{
    StatusCode,
    header::{self, HeaderMap, HeaderValue},
};
use offload_client::{Printable, Reason, Stage};

use super::{
    Notes, Session,
    ask::{Question, Wanted},
    candidates::Candidates,
    link::MAX_BODY,
    packed,
    redirect::Hop,
    status_text,
};
use crate::{
    nix::{narinfo::NarInfo, version::NixVersion},
    report::Failure,
    target::CacheSpec,
};

/// So much of a NAR tells how it is packed.
const BEGINNING: u64 = 64;

/// What a NAR begins with that is not packed.
const NAR: &[u8] = b"\x0d\0\0\0\0\0\0\0nix-archive-1";

/// What files of each compression begin with.
const MAGIC: [(&str, &[u8]); 8] = [
    ("none", NAR),
    ("bzip2", b"BZh"),
    ("gzip", b"\x1f\x8b"),
    ("xz", b"\xfd7zXZ\0"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("lz4", b"\x04\x22\x4d\x18"),
    ("lzip", b"LZIP"),
    ("compress", b"\x1f\x9d"),
];

/// As which of them hardly a file is that is not: of others the beginning is looked at.
const USUAL: [&str; 3] = ["none", "xz", "zstd"];

/// What else libarchive unpacks for Nix by its name (`archive_write_add_filter_by_name`).
const WITHOUT_MAGIC: [&str; 6] = ["b64encode", "grzip", "lrzip", "lzma", "lzop", "uuencode"];

impl Session {
    /// Asks for the NAR of a narinfo that Nix would trust: whether it is there, as large as it is said to be, and
    /// packed in a way that Nix can unpack. One that is kept at somebody else's is not looked at: whoever answers could
    /// send us anywhere.
    ///
    /// # Errors
    /// [`Reason::NarMissing`]; [`Reason::NarinfoInvalid`] for a compression that Nix does not know;
    /// [`Reason::Redirected`] for a file that is not looked at.
    pub(super) async fn nar(
        &mut self,
        narinfo: &NarInfo<'_>,
        cache: &CacheSpec,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        let trace = candidates.trace;
        let packing = Packing::of(narinfo, cache.nix_version)
            .map_err(|why| trace.failure(Reason::NarinfoInvalid, why))?;
        // curl asks for nothing with such in it.
        if narinfo.url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            let why = "a blank in URL, which Nix can't ask for";
            return Err(trace.failure(Reason::NarinfoInvalid, why));
        }
        let base = Hop::to(cache, "");
        let Some(hop) = url_of(narinfo, &base) else {
            return Ok(());
        };
        if !hop.same_origin(&base) {
            notes.note_redirect(&hop);
            let url = Printable::excerpt(narinfo.url.as_bytes(), 160);
            let detail = format!("its file is kept elsewhere: {url}");
            notes.details.insert("nar".into(), url.into());
            return Err(trace.failure(Reason::Redirected, detail));
        }
        // Where nothing is said of a compression it is taken for bzip2, which hardly a cache uses.
        let is_doubtful = !USUAL.contains(&narinfo.compression);
        let mut wanted = if is_doubtful {
            Wanted::First(BEGINNING)
        } else {
            Wanted::Head
        };
        loop {
            // Half of what is left, so that who hangs over HEAD can still be asked otherwise.
            let rest = self.context.deep_timeout.saturating_sub(trace.elapsed());
            let bound = match wanted {
                Wanted::Head => rest / 2,
                Wanted::First(_) | Wanted::All => Duration::MAX,
            };
            let looked = Box::pin(self.look_into(hop.clone(), wanted, cache, candidates, notes));
            let file = match trace.within(bound, looked).await {
                Some(Ok(file)) => file,
                Some(Err(_)) | None if wanted == Wanted::Head => {
                    wanted = Wanted::First(BEGINNING);
                    continue;
                }
                Some(Err(failure)) => return Err(failure),
                None => return Err(trace.expired()),
            };
            let fault = file.and_then(|file| file.fault(narinfo, packing));
            match fault {
                None => return Ok(()),
                // Not every server knows HEAD, or says the same to it.
                Some(_) if wanted == Wanted::Head => wanted = Wanted::First(BEGINNING),
                Some(fault) => {
                    trace.enter(Stage::Signature);
                    let url = Printable::excerpt(narinfo.url.as_bytes(), 160);
                    let detail = format!("{url}: {fault}");
                    notes.details.insert("nar".into(), url.into());
                    return Err(trace.failure(Reason::NarMissing, detail));
                }
            }
        }
    }

    /// What the cache answers; `None` where it sends on to somebody who is not asked.
    async fn look_into(
        &mut self,
        hop: Hop,
        wanted: Wanted,
        cache: &CacheSpec,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<Option<File>, Failure> {
        let question = Question {
            hop,
            stage: Stage::Signature,
            patience: Duration::MAX,
            keep: true,
            wanted,
        };
        let trace = candidates.trace;
        // Where a file is kept says nothing of where the cache is.
        let mut apart = Notes::default();
        let asked = self.ask(question, notes.link.take(), cache, candidates, &mut apart);
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(failure) if is_elsewhere(&failure) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        trace.enter(Stage::Signature);
        let status = answer.head.status;
        let headers = answer.head.headers.clone();
        let most = match wanted {
            Wanted::First(bytes) if status.is_success() => {
                usize::try_from(bytes).unwrap_or(MAX_BODY)
            }
            Wanted::First(_) | Wanted::Head | Wanted::All => MAX_BODY,
        };
        let (body, link) = answer.read(most).await.map_err(|broken| broken.failure())?;
        notes.link = link;
        Ok(Some(File {
            status,
            size: size(status, &headers),
            beginning: match wanted {
                Wanted::First(_) if packed(&headers).is_none() => body.bytes,
                Wanted::First(_) | Wanted::Head | Wanted::All => Vec::new(),
            },
        }))
    }
}

/// What was answered for a NAR.
struct File {
    status: StatusCode,
    /// In bytes, where that is told.
    size: Option<u64>,
    /// As far as it was asked for.
    beginning: Vec<u8>,
}

impl File {
    /// What Nix would stumble over.
    fn fault(&self, narinfo: &NarInfo<'_>, packing: Packing) -> Option<String> {
        if !self.status.is_success() {
            return Some(status_text(self.status));
        }
        if let (Some(size), Some(expected)) = (self.size, size_of(narinfo))
            && size != expected
        {
            return Some(format!("has {size} bytes instead of {expected}"));
        }
        let beginning = self.beginning.as_slice();
        if beginning.is_empty() || packing.fits(beginning) {
            return None;
        }
        let compression = Printable::excerpt(narinfo.compression.as_bytes(), 40);
        Some(format!("is not packed with {compression}"))
    }
}

/// How the file must begin for Nix to unpack it.
#[derive(Clone, Copy)]
enum Packing {
    /// So.
    As(&'static [u8]),
    /// Packed in whatever way.
    Somehow,
    /// Nothing tells.
    Unknown,
}

impl Packing {
    fn of(narinfo: &NarInfo<'_>, version: NixVersion) -> Result<Self, String> {
        let compression = match narinfo.compression {
            "identity" if version.takes_identity() => "none",
            other => other,
        };
        let known = MAGIC.iter().find(|(name, _)| *name == compression);
        match known {
            Some((_, magic)) if compression == "none" => Ok(Self::As(magic)),
            _ if compression == "br" => Ok(Self::Unknown),
            _ if !version.goes_by_name_of_compression() => Ok(Self::Somehow),
            Some((_, magic)) => Ok(Self::As(magic)),
            None if WITHOUT_MAGIC.contains(&compression) => Ok(Self::Unknown),
            None => {
                let shown = Printable::excerpt(compression.as_bytes(), 40);
                Err(format!("Nix knows no compression '{shown}'"))
            }
        }
    }

    fn fits(self, beginning: &[u8]) -> bool {
        match self {
            Self::As(magic) => beginning.starts_with(magic),
            Self::Somehow => !beginning.starts_with(NAR),
            Self::Unknown => true,
        }
    }
}

fn url_of(narinfo: &NarInfo<'_>, base: &Hop) -> Option<Hop> {
    let url = HeaderValue::from_str(narinfo.url).ok()?;
    base.follow(Some(&url)).ok()
}

/// Where a redirect leads that was not followed there may be the file.
fn is_elsewhere(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::Redirected | Reason::CaptivePortal)
}

/// The bytes that the file must have.
fn size_of(narinfo: &NarInfo<'_>) -> Option<u64> {
    match narinfo.compression {
        "none" => Some(narinfo.nar_size),
        // None is what is written where nobody knows.
        _ => narinfo.file_size.filter(|size| *size > 0),
    }
}

/// The bytes of the whole file, where the answer tells.
fn size(status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    if packed(headers).is_some() {
        return None;
    }
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    match status {
        StatusCode::PARTIAL_CONTENT => text(header::CONTENT_RANGE)?
            .rsplit('/')
            .next()?
            .parse()
            .ok(),
        _ => text(header::CONTENT_LENGTH)?.parse().ok(),
    }
}
