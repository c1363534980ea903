//! What Nix believes that the cache lacks, though it has it by now, or has, though it lacks it by now.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use hyper::StatusCode;
use offload_client::{
    Reason, Stage,
    snapshot::{Detail, Details},
};

use super::{
    Notes, Session,
    ask::{Question, Wanted},
    candidates::Candidates,
    packed,
    redirect::Hop,
    signature::{Deep, MAX_NARINFO},
};
use crate::{
    clock::Now,
    files::{Files, Reachable},
    nix::{
        disk_cache::{self, DiskCacheError, Hit},
        narinfo::{NarInfo, StorePath},
        uri::{self, StoreUri},
    },
    target::CacheSpec,
};

/// So many paths are asked for of each, of all that Nix has asked for lately.
const MAX_QUESTIONS: usize = 4;

impl Session {
    /// Asks for some of the paths that this machine's Nix remembers as missing, or as being there: `deep` is told how many
    /// the cache has, or lacks, after all, and one of them. Nothing where what Nix remembers can't be read.
    ///
    /// No failure of it is the cache's: all that was to be proved is proved before, which is why
    /// `candidates` is one of its own.
    pub(super) async fn remembered(
        &mut self,
        cache: &CacheSpec,
        mut candidates: Candidates<'_>,
        notes: &mut Notes,
        deep: &mut Deep,
    ) {
        let misses = misses(cache);
        for hash in some_of(&misses) {
            match self.has(hash, cache, &mut candidates, notes).await {
                Some(true) => {
                    deep.stale_misses += 1;
                    let names = ("stale_misses", "stale_miss");
                    note(&mut deep.details, names, deep.stale_misses, hash);
                }
                Some(false) => {}
                None => return,
            }
        }
        // Nix never fetches what is here.
        let is_lacking = |hit: &Hit| {
            let here = Path::new(&cache.store_dir).join(&hit.path);
            fs::symlink_metadata(here).is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        let mut hits = hits(cache);
        hits.retain(is_lacking);
        for hit in some_of(&hits) {
            match self.serves(hit, cache, &mut candidates, notes).await {
                Some(false) => {
                    deep.stale_hits += 1;
                    let names = ("stale_hits", "stale_hit");
                    note(&mut deep.details, names, deep.stale_hits, &hit.path);
                }
                Some(true) => {}
                None => return,
            }
        }
    }

    /// Whether the NAR is there that Nix would fetch without asking again; `None` where the cache does not say.
    async fn serves(
        &mut self,
        hit: &Hit,
        cache: &CacheSpec,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Option<bool> {
        let narinfo = NarInfo {
            path: StorePath::parse_base_name(&hit.path).ok()?,
            nar_hash: [0; 32],
            nar_size: hit.nar_size,
            references: Vec::new(),
            signatures: Vec::new(),
            url: &hit.url,
            compression: &hit.compression,
            file_size: hit.file_size,
            content_address: None,
        };
        // What it notes is of a file that the verdict is not about.
        let mut apart = Notes {
            link: notes.link.take(),
            ..Notes::default()
        };
        let looked = self.nar(&narinfo, cache, candidates, &mut apart).await;
        notes.link = apart.link;
        match looked {
            Ok(()) => Some(true),
            Err(failure) if failure.reason == Reason::NarMissing => Some(false),
            // Kept elsewhere, or packed in a way that Nix knew then.
            Err(failure)
                if matches!(failure.reason, Reason::Redirected | Reason::NarinfoInvalid) =>
            {
                Some(true)
            }
            Err(_) => None,
        }
    }

    /// Whether the cache has the path with this hash; `None` where it does not say.
    async fn has(
        &mut self,
        hash: &str,
        cache: &CacheSpec,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Option<bool> {
        let question = Question {
            hop: Hop::to(cache, &format!("{hash}.narinfo")),
            stage: Stage::Signature,
            patience: Duration::MAX,
            keep: true,
            wanted: Wanted::All,
        };
        let link = notes.link.take();
        let answer = self
            .ask(question, link, cache, candidates, notes)
            .await
            .ok()?;
        let readable =
            answer.head.status == StatusCode::OK && packed(&answer.head.headers).is_none();
        let (body, link) = answer.read(MAX_NARINFO).await.ok()?;
        notes.link = link;
        let narinfo = NarInfo::parse(&body.bytes, &cache.store_dir, cache.nix_version);
        Some(readable && narinfo.is_ok_and(|narinfo| narinfo.path.hash() == hash))
    }
}

/// How many there are by now, and the first as an example.
fn note(details: &mut Details, (all, one): (&str, &str), count: u64, example: &str) {
    details.insert(all.into(), Detail::Uint(count));
    details.entry(one.into()).or_insert_with(|| example.into());
}

/// Whether this machine's Nix remembers the path with this `hash` as missing; `None` where that can't be known.
pub(super) fn is_missed(cache: &CacheSpec, hash: &str) -> Option<bool> {
    let looked = disk_cache::is_missed(
        &Reachable::by_this_process(),
        &disk_cache::directory(),
        |url| is_of(url, cache),
        since(cache.negative_ttl),
        hash,
    );
    match looked {
        Ok(is_missed) => Some(is_missed),
        // It has never asked anybody.
        Err(DiskCacheError::Io(error)) if error.kind() == ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// The hashes of the paths that this machine's Nix remembers as missing.
fn misses(cache: &CacheSpec) -> Vec<String> {
    recall(cache, cache.negative_ttl, |files, from, is_it, since| {
        disk_cache::misses(files, from, is_it, since)
    })
}

/// What this machine's Nix remembers the cache to have.
pub(super) fn hits(cache: &CacheSpec) -> Vec<Hit> {
    recall(cache, cache.positive_ttl, |files, from, is_it, since| {
        disk_cache::hits(files, from, is_it, since)
    })
}

/// What Nix's disk cache says of the cache since `ttl` seconds; nothing where it can't be read.
fn recall<T>(
    cache: &CacheSpec,
    ttl: u64,
    read: impl FnOnce(&dyn Files, &Path, &dyn Fn(&str) -> bool, u64) -> Result<Vec<T>, DiskCacheError>,
) -> Vec<T> {
    let directory = disk_cache::directory();
    let files = Reachable::by_this_process();
    let recalled = read(&files, &directory, &|url| is_of(url, cache), since(ttl));
    recalled.unwrap_or_else(|error| {
        tracing::debug!(directory = %directory.display(), %error, "what Nix remembers is not known");
        Vec::new()
    })
}

/// When what is `ttl` seconds old was asked, in seconds of `CLOCK_REALTIME`.
fn since(ttl: u64) -> u64 {
    (Now::read().realtime_usec / 1_000_000).saturating_sub(ttl)
}

/// Those that follow each other are of one build, and alike.
fn some_of<T>(all: &[T]) -> impl Iterator<Item = &T> {
    let step = all.len().div_ceil(MAX_QUESTIONS).max(1);
    all.iter().step_by(step)
}

/// Whether `url`, as Nix has written it down, is the cache's: without parameters, and with or
/// without a slash at its end (`HttpBinaryCacheStore`, src/libstore/http-binary-cache-store.cc).
fn is_of(url: &str, cache: &CacheSpec) -> bool {
    let Ok(StoreUri::Cache(uri)) = uri::parse(url) else {
        return false;
    };
    let port = uri.effective_port();
    (uri.tls, port, &*uri.path) == (cache.tls, cache.port, &*cache.path)
        && uri.host.eq_ignore_ascii_case(&cache.host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::cache::tests::cache_spec;

    #[test]
    fn a_url_is_known_however_nix_has_spelled_it() {
        let cache = cache_spec(|cache| {
            cache.port = 5000;
            cache.path = "/nix".to_owned();
        });
        for url in [
            "http://desktop:5000/nix",
            "http://desktop:5000/nix/",
            "http://Desktop:5000/nix",
        ] {
            assert!(is_of(url, &cache), "{url}");
        }
        for url in [
            "https://desktop:5000/nix",
            "http://desktop:5001/nix",
            "http://desktop:5000",
            "http://laptop:5000/nix",
            "file:///nix",
            "",
        ] {
            assert!(!is_of(url, &cache), "{url}");
        }
        let plain = cache_spec(|_| {});
        assert!(is_of("http://desktop", &plain) && is_of("http://desktop:80/", &plain));
    }
}
