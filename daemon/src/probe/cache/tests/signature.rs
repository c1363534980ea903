//! Whether Nix would trust what the cache serves: on paths and caches that Nix made.

mod anew;
mod answers;
mod files;

use std::sync::{LazyLock, atomic::AtomicBool};

pub(super) use self::files::Server;
use super::{
    nix::{Cache, Store, narinfo_name},
    *,
};

pub(super) static STORE: LazyLock<Store> = LazyLock::new(Store::new);
pub(super) static SIGNED: LazyLock<Cache> = LazyLock::new(|| STORE.cache(Some("desktop-1")));
static UNSIGNED: LazyLock<Cache> = LazyLock::new(|| STORE.cache(None));

const SIGNATURE: (Stage, Reason) = (Stage::Signature, Reason::None);
const ABSENT: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone\n";

pub(super) fn detail(report: &Report) -> &str {
    &report.outcome.as_ref().unwrap_err().detail
}

fn signing_key(report: &Report) -> &str {
    match report.facts.as_ref().unwrap() {
        Learned::Cache(facts) => &facts.signing_key,
        Learned::Builder(_) => panic!("not a cache's"),
    }
}

/// A key of the same name as the cache's, and another key.
fn namesake() -> String {
    let key = data_encoding::BASE64.encode(&[7; 32]);
    format!("desktop-1:{key}")
}

#[tokio::test]
async fn what_nix_signed_is_believed_and_cheap_checks_say_it_again() {
    let mut server = Server::of(&SIGNED).await;
    let mut session = server.session(|_| {});
    let deep = session.check(Depth::Deep).await;
    assert_eq!(verdict(&deep), SIGNATURE);
    assert_eq!(signing_key(&deep), SIGNED.key);
    let name = narinfo_name(&STORE.path);
    assert_eq!(deep.details["sample"], STORE.path.as_str().into());
    assert_eq!(deep.details["narinfo"], name.as_str().into());
    assert_eq!(deep.details["signed_by"], "desktop-1".into());
    for _ in 0..2 {
        let cheap = session.check(Depth::Cheap).await;
        assert_eq!(
            (cheap.outcome, cheap.facts, cheap.details),
            (
                deep.outcome.clone(),
                deep.facts.clone(),
                deep.details.clone()
            )
        );
    }
    assert_eq!(server.asked(), [name], "a cheap check asks for no narinfo");
    assert_eq!(server.fake.connections(), 1);
}

#[tokio::test]
async fn every_narinfo_that_nix_wrote_is_believed() {
    let server = Server::of(&SIGNED).await;
    for path in [&STORE.path, &STORE.reference, &STORE.content_addressed] {
        let report = server
            .check(|cache| cache.sample = Some(path.clone()))
            .await;
        assert_eq!(verdict(&report), SIGNATURE, "{path}");
        assert_eq!(report.details["sample"], path.as_str().into());
    }
}

#[tokio::test]
async fn the_keys_of_the_signature_are_compared_by_name_and_by_what_they_are() {
    let server = Server::of(&SIGNED).await;
    let stranger = namesake().replace("desktop-1", "other-1");
    for (keys, told) in [
        (vec![], "signed by desktop-1, which is not trusted"),
        (vec![stranger], "signed by desktop-1, which is not trusted"),
        (
            vec![namesake()],
            "does not fit the trusted key of that name",
        ),
        // Nix keeps the first of two keys with one name.
        (vec![namesake(), SIGNED.key.clone()], "does not fit"),
    ] {
        let report = server.check(|cache| cache.public_keys = keys).await;
        assert_eq!(
            verdict(&report),
            (Stage::Signature, Reason::UntrustedSignature)
        );
        assert!(detail(&report).contains(told), "{}", detail(&report));
        assert!(detail(&report).starts_with(&narinfo_name(&STORE.path)));
        assert_eq!(report.details["signed_by"], "desktop-1".into());
        assert_eq!(signing_key(&report), "desktop-1");
    }
}

#[tokio::test]
async fn a_signature_over_something_else_is_not_believed() {
    let good = SIGNED.narinfo(&STORE.path);
    let size = good
        .lines()
        .find(|line| line.starts_with("NarSize"))
        .unwrap();
    let hash = good
        .lines()
        .find(|line| line.starts_with("NarHash"))
        .unwrap();
    let first = &good
        .lines()
        .find(|line| line.starts_with("References"))
        .unwrap()[12..44];
    let other_hash = format!("NarHash: sha256:{}", "0".repeat(52));
    for changed in [
        good.replace(size, "NarSize: 5"),
        good.replace(hash, &other_hash),
        good.replace(first, &"0".repeat(32)),
    ] {
        assert_ne!(changed, good);
        let report = Server::saying(ok(&changed)).await.check(|_| {}).await;
        assert_eq!(
            verdict(&report),
            (Stage::Signature, Reason::UntrustedSignature)
        );
    }
}

#[tokio::test]
async fn what_is_not_signed_fails_where_nix_asks_for_a_signature() {
    let server = Server::of(&UNSIGNED).await;
    let report = server.check(|_| {}).await;
    assert_eq!(verdict(&report), (Stage::Signature, Reason::Unsigned));
    assert_eq!(signing_key(&report), "");
    assert_eq!(report.details["sample"], STORE.path.as_str().into());
    assert!(!report.details.contains_key("signed_by"));

    let report = server.check(|cache| cache.require_sigs = false).await;
    assert_eq!(verdict(&report), SIGNATURE);
    let server = Server::of(&SIGNED).await;
    let lax = |cache: &mut CacheSpec| (cache.require_sigs, cache.public_keys) = (false, vec![]);
    let report = server.check(lax).await;
    assert_eq!(verdict(&report), SIGNATURE);
    assert_eq!(signing_key(&report), "desktop-1");
}

#[tokio::test]
async fn who_may_be_a_secret_key_of_nixs_own_is_no_stranger() {
    let server = Server::of(&SIGNED).await;
    let keyed = |cache: &mut CacheSpec| (cache.has_own_keys, cache.public_keys) = (true, vec![]);
    assert_eq!(verdict(&server.check(keyed).await), SIGNATURE);
    let server = Server::of(&UNSIGNED).await;
    let report = server.check(|cache| cache.has_own_keys = true).await;
    assert_eq!(verdict(&report), (Stage::Signature, Reason::Unsigned));
}

#[tokio::test]
async fn a_path_that_needs_no_signature_tells_nothing_of_others() {
    let only = narinfo_name(&STORE.content_addressed);
    let server = Server::new(move |name| {
        let text = UNSIGNED.file(name).filter(|_| name == only);
        Some(text.map_or(ABSENT.to_owned(), |text| ok(&text)))
    })
    .await;
    let sample = Some(STORE.content_addressed.clone());
    let report = server.check(|cache| cache.sample = sample).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.details["sample_missing"], Detail::Bool(true));
}

#[tokio::test]
async fn a_cache_without_any_of_the_samples_passes_and_says_so() {
    for status in ["404 Not Found", "410 Gone", "403 Forbidden"] {
        let mut server = Server::saying(ABSENT.replace("404 Not Found", status)).await;
        let mut session = server.session(|_| {});
        let deep = session.check(Depth::Deep).await;
        assert_eq!(verdict(&deep), READY);
        let tried = server.asked().len();
        // What is in the store: three of builds, one that was added.
        assert_eq!(tried, 4);
        assert_eq!(deep.details["sample_missing"], Detail::Bool(true));
        assert_eq!(deep.details["samples_tried"], Detail::Uint(tried as u64));
        assert_eq!(signing_key(&deep), "");
        let cheap = session.check(Depth::Cheap).await;
        assert_eq!((cheap.outcome, cheap.details), (deep.outcome, deep.details));
        assert_eq!(server.fake.connections(), 1);
    }
}

#[tokio::test]
async fn the_sample_that_was_found_is_asked_for_first_the_next_time() {
    let there = narinfo_name(&STORE.reference);
    let expected = there.clone();
    let mut server = Server::new(move |name| {
        let text = SIGNED.file(name).filter(|_| name == there);
        Some(text.map_or(ABSENT.to_owned(), |text| ok(&text)))
    })
    .await;
    let mut session = server.session(|cache| cache.sample = None);
    assert_eq!(verdict(&session.check(Depth::Deep).await), SIGNATURE);
    assert_eq!(server.asked().last(), Some(&expected));
    assert_eq!(verdict(&session.check(Depth::Deep).await), SIGNATURE);
    assert_eq!(server.asked(), [expected]);
    assert_eq!(server.fake.connections(), 2, "a deep check begins anew");
}

#[tokio::test]
async fn what_the_public_key_signed_does_not_vouch_for_the_cache() {
    static PUBLIC: LazyLock<Cache> = LazyLock::new(|| STORE.cache(Some("cache.nixos.org-1")));
    let (copied, built) = (narinfo_name(&STORE.reference), narinfo_name(&STORE.path));
    let serve = |own: &'static Cache, has_own: bool| {
        let (copied, built) = (copied.clone(), built.clone());
        Server::new(move |name| {
            let text = match name {
                name if name == copied => PUBLIC.file(name),
                name if name == built && has_own => own.file(name),
                _ => None,
            };
            Some(text.map_or(ABSENT.to_owned(), |text| ok(&text)))
        })
    };
    for (own, has_own, expected, key) in [
        (&*SIGNED, true, SIGNATURE, &SIGNED.key),
        (
            &*UNSIGNED,
            true,
            (Stage::Signature, Reason::Unsigned),
            &String::new(),
        ),
        (&*UNSIGNED, false, SIGNATURE, &PUBLIC.key),
    ] {
        let server = serve(own, has_own).await;
        let mut session = server.session(|cache| {
            cache.sample = None;
            cache.public_keys.push(PUBLIC.key.clone());
        });
        session.sample = Some(STORE.reference.clone());
        let report = session.check(Depth::Deep).await;
        assert_eq!(verdict(&report), expected);
        assert_eq!(signing_key(&report), key);
    }
}

#[tokio::test]
async fn a_deep_check_that_fails_leaves_nothing_of_the_one_before() {
    let good = Arc::new(AtomicBool::new(true));
    let now = good.clone();
    let server = Server::new(move |name| {
        let cache = if now.load(Ordering::Relaxed) {
            &SIGNED
        } else {
            &UNSIGNED
        };
        cache.file(name).map(|text| ok(&text))
    })
    .await;
    let mut session = server.session(|_| {});
    assert_eq!(verdict(&session.check(Depth::Deep).await), SIGNATURE);
    good.store(false, Ordering::Relaxed);
    let report = session.check(Depth::Deep).await;
    assert_eq!(verdict(&report), (Stage::Signature, Reason::Unsigned));
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(signing_key(&report), "");
}

#[tokio::test]
async fn a_deep_check_that_ends_in_silence_has_not_seen_another_key() {
    let (server, talks) = anew::silenceable().await;
    let mut session = server.session_within(Connection::Keep, 4 * IMPATIENCE, |_| {});
    assert_eq!(verdict(&session.check(Depth::Deep).await), SIGNATURE);
    talks.store(false, Ordering::Relaxed);
    let report = session.check(Depth::Deep).await;
    assert_eq!(verdict(&report), (Stage::Signature, Reason::TimedOut));
    assert_eq!(signing_key(&report), SIGNED.key);
}

#[tokio::test]
async fn a_connection_per_check_serves_the_whole_of_a_deep_one() {
    let server = Server::saying(ABSENT).await;
    let mut session = server.session_within(Connection::PerCheck, PATIENCE, |_| {});
    for count in 1..=2 {
        assert_eq!(verdict(&session.check(Depth::Deep).await), READY);
        assert_eq!(server.fake.connections(), count);
        assert!(session.kept.is_none());
    }
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_asked_over_new_connections() {
    let close = ABSENT.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut server = Server::saying(close).await;
    assert_eq!(verdict(&server.check(|_| {}).await), READY);
    // The first one, over which cache-info was read, and one for each further sample.
    assert_eq!(server.fake.connections(), server.asked().len());
}

/// A session that may find `here` at the addresses of `servers` alone.
fn among(here: &Server, servers: &[&Server], connection: Connection) -> Session {
    let mut session = here.session_within(connection, PATIENCE, |_| {});
    session.spec = Arc::new(TargetSpec {
        addresses: servers
            .iter()
            .map(|server| Address::from(server.fake.address))
            .collect(),
        ..(*session.spec).clone()
    });
    session
}

#[tokio::test]
async fn a_cache_that_another_key_signs_is_passed_by_until_the_next_deep_check() {
    static FOREIGN: LazyLock<Cache> = LazyLock::new(|| STORE.cache(Some("somebody-else-1")));
    let (mut foreign, right) = (Server::of(&FOREIGN).await, Server::of(&SIGNED).await);
    let mut session = among(&right, &[&foreign, &right], Connection::PerCheck);
    let deep = session.check(Depth::Deep).await;
    assert_eq!(verdict(&deep), SIGNATURE);
    assert_eq!(deep.address, Some(right.fake.address.to_string()));
    assert_eq!(signing_key(&deep), SIGNED.key);
    let strangers = deep.strangers.unwrap();
    let [stranger] = &strangers[..] else {
        panic!("{strangers:?}");
    };
    assert_eq!(stranger.address, foreign.fake.address.to_string());
    assert_eq!(stranger.reason, Reason::UntrustedSignature);
    assert_eq!(
        (stranger.expected.as_str(), stranger.actual.as_str()),
        ("desktop-1", "somebody-else-1")
    );

    // A cheap check looks at no signature: the first address would do for it.
    let connections = foreign.fake.connections();
    let cheap = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&cheap), SIGNATURE);
    assert_eq!(cheap.address, Some(right.fake.address.to_string()));
    assert_eq!(cheap.strangers, Some(strangers));
    assert_eq!(foreign.fake.connections(), connections);

    drop(right);
    let cheap = session.check(Depth::Cheap).await;
    let untrusted = (Stage::Signature, Reason::UntrustedSignature);
    assert_eq!(verdict(&cheap), untrusted);
    foreign.asked();
    let deep = session.check(Depth::Deep).await;
    assert_eq!(verdict(&deep), untrusted);
    assert!(!foreign.asked().is_empty(), "a deep check asks everybody");
}

#[tokio::test]
async fn an_address_is_proved_by_a_signature_and_by_nothing_less() {
    use crate::probe::Identity;
    let right = Server::of(&SIGNED).await;
    let unsigned = Server::of(&UNSIGNED).await;
    let empty = Server::saying(ABSENT).await;
    let to = right.fake.address;
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://localhost:{}/nix-cache-info\r\n\
         Content-Length: 0\r\n\r\n",
        to.port()
    );
    let redirecting = Fake::answering(redirect).await;
    let session = right.session(|cache| cache.require_sigs = false);
    let identifier = Identifier::new(&session.spec, &session.context);
    assert_eq!(identifier.identify(to, PATIENCE).await, Identity::Same);
    assert_eq!(right.fake.connections(), 1);
    for (address, expected) in [
        (unsigned.fake.address, Reason::Unsigned),
        (redirecting.address, Reason::HttpStatus),
    ] {
        match identifier.identify(address, PATIENCE).await {
            Identity::Stranger(stranger) => assert_eq!(stranger.reason, expected),
            other => panic!("{other:?}"),
        }
    }
    let nobody = identifier.identify(empty.fake.address, PATIENCE).await;
    assert!(matches!(nobody, Identity::Nobody(_)), "{nobody:?}");

    // Paths of the public cache are served by anybody.
    let public = SIGNED.key.replace("desktop-1", PUBLIC_NAME);
    let session = right.session(|cache| cache.public_keys = vec![public]);
    let identifier = Identifier::new(&session.spec, &session.context);
    let nobody = identifier.identify(to, PATIENCE).await;
    assert!(matches!(nobody, Identity::Nobody(_)), "{nobody:?}");
    assert_eq!(right.fake.connections(), 1, "there was nothing to ask for");
}

const PUBLIC_NAME: &str = "cache.nixos.org-1";
