//! The last stage: whether Nix would trust what the cache serves.

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;
use offload_client::{
    Printable, Reason, Stage,
    snapshot::{Detail, Details},
};

use super::{
    Notes, Session,
    ask::{Answer, Question, Wanted},
    candidates::Candidates,
    info,
    link::MAX_BODY,
    packed,
    redirect::Hop,
    refuse,
    samples::samples,
};
use crate::{
    nix::{
        keys::{NixPublicKey, parse_nix_public_key},
        narinfo::{NarInfo, StorePath},
        signature::{SignatureError, verify},
    },
    probe::Trace,
    report::Failure,
    target::{CacheSpec, PUBLIC_KEY},
};

/// The most that is read of a narinfo. Nix sets no bound; a whole system with 5,000 references has
/// a third of this.
pub(super) const MAX_NARINFO: usize = 1 << 20;

/// What a deep check found beyond `nix-cache-info`: cheap ones say it again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Deep {
    /// [`Stage::Signature`], or [`Stage::CacheInfo`] where the cache had no path to look at.
    pub stage: Stage,
    /// For the report.
    pub details: Details,
    /// The store path whose signature was looked at.
    sample: Option<String>,
    /// How many of the paths that Nix remembers as missing the cache has.
    pub stale_misses: u64,
    /// How many of those that it remembers as being there, and that this machine lacks, can't be fetched.
    pub stale_hits: u64,
}

impl Deep {
    /// Nix would take what was looked at.
    fn signed(sample: String, names: &[Printable], mut details: Details) -> Self {
        note_names(&mut details, names);
        Self {
            stage: Stage::Signature,
            details,
            sample: Some(sample),
            stale_misses: 0,
            stale_hits: 0,
        }
    }

    /// The cache had none of the paths, or none that needs a signature.
    fn without_sample(tried: u64) -> Self {
        Self {
            stage: Stage::CacheInfo,
            details: BTreeMap::from([
                ("sample_missing".into(), Detail::Bool(true)),
                ("samples_tried".into(), Detail::Uint(tried)),
            ]),
            sample: None,
            stale_misses: 0,
            stale_hits: 0,
        }
    }
}

/// What the cache says of one path.
enum Sampled {
    /// Nothing, or nothing that tells of signatures.
    Nothing,
    /// Nix would take it: signed by this trusted key; or by these, where it asks for none or may know
    /// them though nobody but root can tell.
    Good(Option<NixPublicKey>, Vec<Printable>),
    /// Nix would not take it.
    Bad(SignatureError),
    /// The same, and would if nix-daemon had read its nix.conf.
    Unread(SignatureError),
}

impl Session {
    /// Asks for narinfos of paths that this machine has until the cache has one whose signature
    /// tells of its key.
    pub(super) async fn signature(
        &mut self,
        cache: &CacheSpec,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<Deep, Failure> {
        let trace = candidates.trace;
        trace.enter(Stage::Signature);
        let keys = trusted(cache);
        let (mut tried, mut public) = (0_u64, None);
        for sample in samples(cache, self.sample.clone()) {
            // One that hangs must have time to do so; the others are as many as there is time for.
            if tried > 0 && trace.elapsed() > self.context.deep_timeout / 2 {
                break;
            }
            let Ok(path) = StorePath::parse(&sample, &cache.store_dir) else {
                continue;
            };
            tried += 1;
            let narinfo = name(path);
            let details = BTreeMap::from([
                ("sample".into(), Detail::from(sample.as_str())),
                ("narinfo".into(), narinfo.as_str().into()),
            ]);
            // Before the question, for when time runs out over it.
            notes.details.extend(details.clone());
            let looked = self.look_at(path, &narinfo, cache, &keys, candidates, notes);
            match looked.await.map_err(|failure| within(failure, &narinfo))? {
                Sampled::Nothing => {}
                Sampled::Good(key, names) => {
                    let chosen = cache.sample.as_ref() == Some(&sample);
                    let own = key.as_ref().is_none_or(|key| key.name != PUBLIC_KEY);
                    let deep = Deep::signed(sample.clone(), &names, details);
                    let key = shown(key, &names);
                    if own || chosen {
                        self.sample = Some(sample);
                        self.signing_key = key;
                        return Ok(deep);
                    }
                    public.get_or_insert((deep, key));
                }
                Sampled::Bad(error) => {
                    let failure = trace.failure(reason_of(&error), error.to_string());
                    return Err(self.refused(&error, within(failure, &narinfo), notes));
                }
                Sampled::Unread(error) => {
                    let failure = trace.failure(Reason::DaemonConfigStale, error.to_string());
                    return Err(self.refused(&error, within(failure, &narinfo), notes));
                }
            }
        }
        notes.details.remove("sample");
        notes.details.remove("narinfo");
        let nothing = || (Deep::without_sample(tried), Printable::default());
        let (deep, key) = public.unwrap_or_else(nothing);
        self.signing_key = key;
        Ok(deep)
    }

    fn refused(&mut self, error: &SignatureError, failure: Failure, notes: &mut Notes) -> Failure {
        note_names(&mut notes.details, error.names());
        self.signing_key = first(error.names());
        failure
    }

    /// Whether who answers a cheap check over a new connection is who the last deep one saw: it has the path that that one
    /// looked at, signed with the same key. Who is judged by no signature is known by none.
    pub(super) async fn is_recognised(
        &mut self,
        cache: &CacheSpec,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> bool {
        let sample = self.recognised_by(cache).map(str::to_owned);
        let path = sample
            .as_deref()
            .and_then(|sample| StorePath::parse(sample, &cache.store_dir).ok());
        let Some(path) = path else { return true };
        match self.narinfo(&name(path), cache, candidates, notes).await {
            Ok(Some(text)) => match judge(text.as_bytes(), path, cache, &trusted(cache)) {
                Ok((_, Sampled::Good(key, names))) => shown(key, &names) == self.signing_key,
                Ok((_, Sampled::Nothing | Sampled::Bad(_) | Sampled::Unread(_))) | Err(_) => false,
            },
            Ok(None) => false,
            // The deep check went on there.
            Err(failure) => failure.reason == Reason::Redirected && self.is_followed(notes),
        }
    }

    /// The path that tells the cache from another, where signatures are what it is judged by.
    pub(super) fn recognised_by(&self, cache: &CacheSpec) -> Option<&str> {
        let deep = self.deep.as_ref().filter(|_| cache.require_sigs)?;
        deep.sample.as_deref()
    }

    async fn look_at(
        &mut self,
        path: StorePath<'_>,
        narinfo: &str,
        cache: &CacheSpec,
        keys: &[NixPublicKey],
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<Sampled, Failure> {
        let trace = candidates.trace;
        let Some(text) = self.narinfo(narinfo, cache, candidates, notes).await? else {
            return Ok(Sampled::Nothing);
        };
        let invalid = |why| trace.failure(Reason::NarinfoInvalid, why);
        let (narinfo, sampled) = judge(text.as_bytes(), path, cache, keys).map_err(invalid)?;
        if let Sampled::Good(..) = sampled {
            // A whole exchange, beside the one that is over.
            Box::pin(self.nar(&narinfo, cache, candidates, notes)).await?;
        }
        Ok(sampled)
    }

    /// What the cache says in the file `narinfo`, where it has it and it can be read.
    async fn narinfo(
        &mut self,
        narinfo: &str,
        cache: &CacheSpec,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<Option<String>, Failure> {
        let trace = candidates.trace;
        let question = Question {
            hop: Hop::to(cache, narinfo),
            stage: Stage::Signature,
            // A connection that has answered just now is not stale: its silence is the cache's, and
            // ends the check.
            patience: Duration::MAX,
            keep: true,
            wanted: Wanted::All,
        };
        let link = notes.link.take();
        let answer = self.ask(question, link, cache, candidates, notes).await?;
        trace.enter(Stage::Signature);
        let absent = is_absent(answer.head.status);
        if !absent {
            refuse(&answer, cache, notes, trace)?;
        }
        // Some public caches pack theirs and never say it otherwise; Nix unpacks what we don't.
        let unreadable = absent || packed(&answer.head.headers).is_some();
        let text = read(answer, unreadable, trace, notes).await?;
        // What is no text spoils nothing in a field that nobody reads.
        Ok((!unreadable).then(|| String::from_utf8_lossy(&text).into_owned()))
    }
}

/// The keys that Nix trusts.
fn trusted(cache: &CacheSpec) -> Vec<NixPublicKey> {
    let keys = cache.public_keys.iter();
    keys.filter_map(|key| parse_nix_public_key(key).ok())
        .collect()
}

fn name(path: StorePath<'_>) -> String {
    format!("{}.narinfo", path.hash())
}

/// The body as far as it is wanted; the connection goes back to where the next question takes it.
async fn read(
    answer: Answer,
    unreadable: bool,
    trace: &Trace,
    notes: &mut Notes,
) -> Result<Vec<u8>, Failure> {
    let most = if unreadable { MAX_BODY } else { MAX_NARINFO };
    let (body, link) = answer.read(most).await.map_err(|broken| broken.failure())?;
    notes.link = link;
    if body.cut && !unreadable {
        let why = format!("more than {MAX_NARINFO} bytes");
        return Err(trace.failure(Reason::NarinfoInvalid, why));
    }
    Ok(body.bytes)
}

fn judge<'t>(
    text: &'t [u8],
    path: StorePath<'_>,
    cache: &CacheSpec,
    keys: &[NixPublicKey],
) -> Result<(NarInfo<'t>, Sampled), String> {
    if info::is_page(text) {
        return Err(format!(
            "not a narinfo but: {}",
            Printable::excerpt(text, 80)
        ));
    }
    let narinfo = NarInfo::parse(text, &cache.store_dir, cache.nix_version)
        .map_err(|error| error.to_string())?;
    // As Nix's `goodStorePath` (src/libstore/store-api.cc).
    if narinfo.path != path {
        let other = Printable::excerpt(narinfo.path.as_str().as_bytes(), 80);
        return Err(format!("is of another path: {other}"));
    }
    let fingerprint = narinfo.fingerprint(&cache.store_dir);
    let sampled = match verify(&fingerprint, &narinfo.signatures, keys) {
        Ok(key) => Sampled::Good(Some(key.clone()), vec![key.name.as_str().into()]),
        // Nix takes it as it is, so that it tells nothing of what needs a signature.
        Err(_) if narinfo.is_content_addressed(&cache.store_dir) => Sampled::Nothing,
        // It may be one of those whose secret half is here.
        Err(SignatureError::Untrusted(names)) if cache.has_own_keys => Sampled::Good(None, names),
        Err(error) if !cache.require_sigs => Sampled::Good(None, error.names().to_vec()),
        Err(error)
            if cache
                .unread
                .as_deref()
                .is_some_and(|unread| takes(unread, &fingerprint, &narinfo)) =>
        {
            Sampled::Unread(error)
        }
        Err(error) => Sampled::Bad(error),
    };
    // `copyStorePath` (src/libstore/store-api.cc) asserts that it does not, and Nix is gone.
    if matches!(sampled, Sampled::Good(..)) && narinfo.leads_elsewhere(&cache.store_dir) {
        return Err("CA is that of another path, over which Nix aborts".to_owned());
    }
    Ok((narinfo, sampled))
}

/// Whether Nix takes it by these settings.
fn takes(cache: &CacheSpec, fingerprint: &str, narinfo: &NarInfo<'_>) -> bool {
    match verify(fingerprint, &narinfo.signatures, &trusted(cache)) {
        Ok(_) => true,
        Err(SignatureError::Untrusted(_)) => cache.has_own_keys || !cache.require_sigs,
        Err(_) => !cache.require_sigs,
    }
}

fn reason_of(error: &SignatureError) -> Reason {
    match error {
        SignatureError::Unsigned => Reason::Unsigned,
        SignatureError::Untrusted(_) | SignatureError::Wrong(_) | SignatureError::Malformed(_) => {
            Reason::UntrustedSignature
        }
    }
}

/// What Nix takes for "not here" (src/libstore/filetransfer.cc, src/libstore/http-binary-cache-store.cc).
fn is_absent(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN
    )
}

/// The key that vouches for a path: as far as it is known, where it is no trusted one.
fn shown(key: Option<NixPublicKey>, names: &[Printable]) -> Printable {
    key.map_or_else(|| first(names), |key| key.to_string().into())
}

/// The key as far as it is known where it is no trusted one: its name.
fn first(names: &[Printable]) -> Printable {
    names.first().cloned().unwrap_or_default()
}

fn note_names(details: &mut Details, names: &[Printable]) {
    if !names.is_empty() {
        details.insert("signed_by".into(), names.join(", ").into());
    }
}

/// HTTP has worked before; what fails now fails for this file.
fn within(mut failure: Failure, narinfo: &str) -> Failure {
    if failure.stage == Stage::Http {
        failure.stage = Stage::Signature;
    }
    failure.detail = format!("{narinfo}: {}", failure.detail).into();
    failure
}
