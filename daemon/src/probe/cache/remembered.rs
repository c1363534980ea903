//! What Nix believes that the cache lacks, though it has it by now.

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;
use offload_client::{
    Stage,
    snapshot::{Detail, Details},
};

use super::{
    Notes, Session,
    ask::{Question, Wanted},
    candidates::Candidates,
    packed,
    redirect::Hop,
    signature::MAX_NARINFO,
};
use crate::{
    clock::Now,
    files::Reachable,
    nix::{
        disk_cache,
        narinfo::NarInfo,
        uri::{self, StoreUri},
    },
    target::CacheSpec,
};

/// So many paths are asked for, of all that Nix has asked for lately.
const MAX_QUESTIONS: usize = 4;

impl Session {
    /// Asks for some of the paths that this machine's Nix remembers as missing: how many the cache has
    /// after all, and one of them. Nothing where it has none, or where what Nix remembers can't be read.
    ///
    /// No failure of it is the cache's: all that was to be proved is proved before, which is why
    /// `candidates` is one of its own.
    pub(super) async fn remembered(
        &mut self,
        cache: &CacheSpec,
        mut candidates: Candidates<'_>,
        notes: &mut Notes,
    ) -> (u64, Details) {
        let now = Now::read().realtime_usec / 1_000_000;
        let since = now.saturating_sub(cache.negative_ttl);
        let directory = disk_cache::directory();
        let misses = disk_cache::misses(
            &Reachable::by_this_process(),
            &directory,
            |url| is_of(url, cache),
            since,
        );
        let misses = misses.unwrap_or_else(|error| {
            tracing::debug!(directory = %directory.display(), %error, "what Nix remembers is not known");
            Vec::new()
        });
        // Those that follow each other are of one build, and alike.
        let step = misses.len().div_ceil(MAX_QUESTIONS).max(1);
        let mut stale = 0;
        let mut details = BTreeMap::new();
        for hash in misses.iter().step_by(step) {
            match self.has(hash, cache, &mut candidates, notes).await {
                Some(true) => {
                    stale += 1;
                    details
                        .entry("stale_miss".into())
                        .or_insert_with(|| hash.as_str().into());
                }
                Some(false) => {}
                None => break,
            }
        }
        if stale > 0 {
            details.insert("stale_misses".into(), Detail::Uint(stale));
        }
        (stale, details)
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
