//! Who answers a cheap check over a new connection: the same cache, or another one at its address.

use super::*;

/// What is there, by the name of a file.
type Files = fn(&str) -> Option<String>;

/// What is there now.
type Now = watch::Sender<Files>;

const fn none(_: &str) -> Option<String> {
    None
}

fn signed(name: &str) -> Option<String> {
    SIGNED.file(name)
}

fn unsigned(name: &str) -> Option<String> {
    UNSIGNED.file(name)
}

fn foreign(name: &str) -> Option<String> {
    static FOREIGN: LazyLock<Cache> = LazyLock::new(|| STORE.cache(Some("somebody-else-1")));
    FOREIGN.file(name)
}

/// A server of what is there now, which the test may exchange.
async fn exchangeable() -> (Server, Now) {
    let (now, there) = watch::channel::<Files>(signed);
    let server = Server::new(move |name| {
        let file = *there.borrow();
        Some(file(name).map_or(ABSENT.to_owned(), |text| ok(&text)))
    });
    (server.await, now)
}

/// A server of a good cache, as long as it talks.
pub(super) async fn silenceable() -> (Server, Arc<AtomicBool>) {
    let talks = Arc::new(AtomicBool::new(true));
    let now = talks.clone();
    let server = Server::new(move |name| {
        let text = now.load(Ordering::Relaxed).then(|| SIGNED.file(name))??;
        Some(ok(&text))
    });
    (server.await, talks)
}

#[tokio::test]
async fn another_cache_over_a_new_connection_is_what_a_deep_check_says() {
    for (other, expected) in [
        (
            foreign as Files,
            (Stage::Signature, Reason::UntrustedSignature),
        ),
        (unsigned, (Stage::Signature, Reason::Unsigned)),
        // Of one that has none of the paths nobody knows how it signs.
        (none, READY),
    ] {
        let (server, now) = exchangeable().await;
        let mut session = server.session(|_| {});
        assert_eq!(verdict(&session.check(Depth::Deep).await), SIGNATURE);
        now.send_replace(other);
        // As where the server has closed it because it lay idle.
        session.kept = None;
        let cheap = session.check(Depth::Cheap).await;
        assert_eq!(verdict(&cheap), expected);
        let deep = session.check(Depth::Deep).await;
        assert_eq!((cheap.outcome, cheap.facts), (deep.outcome, deep.facts));
        assert_eq!(cheap.details, deep.details);
    }
}

#[tokio::test]
async fn one_narinfo_more_on_a_new_connection_and_none_on_the_kept_one() {
    let name = narinfo_name(&STORE.path);
    let mut server = Server::of(&SIGNED).await;
    let mut session = server.session(|_| {});
    let deep = session.check(Depth::Deep).await;
    server.asked();
    session.kept = None;
    let cheap = session.check(Depth::Cheap).await;
    assert_eq!((cheap.outcome, cheap.facts), (deep.outcome, deep.facts));
    assert_eq!(server.asked(), [name.as_str()]);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), SIGNATURE);
    assert_eq!(server.asked(), [""; 0]);
    assert_eq!(server.fake.connections(), 2);
}

#[tokio::test]
async fn a_connection_per_check_has_room_for_the_narinfo() {
    let name = narinfo_name(&STORE.path);
    let mut server = Server::of(&SIGNED).await;
    let mut session = server.session_within(Connection::PerCheck, PATIENCE, |_| {});
    assert_eq!(verdict(&session.check(Depth::Deep).await), SIGNATURE);
    server.asked();
    for count in 2..=3 {
        assert_eq!(verdict(&session.check(Depth::Cheap).await), SIGNATURE);
        assert_eq!(server.asked(), [name.as_str()]);
        assert_eq!(server.fake.connections(), count);
    }
}

#[tokio::test]
async fn who_is_judged_by_no_signature_is_not_asked_for_one() {
    let mut server = Server::of(&UNSIGNED).await;
    let mut session = server.session(|cache| cache.require_sigs = false);
    assert_eq!(verdict(&session.check(Depth::Deep).await), SIGNATURE);
    server.asked();
    session.kept = None;
    assert_eq!(verdict(&session.check(Depth::Cheap).await), SIGNATURE);
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn a_cache_with_nothing_but_what_the_public_one_signed_is_known_by_that() {
    static PUBLIC: LazyLock<Cache> = LazyLock::new(|| STORE.cache(Some("cache.nixos.org-1")));
    let (server, now) = exchangeable().await;
    now.send_replace(|name| PUBLIC.file(name));
    let mut session = server.session(|cache| {
        cache.sample = None;
        cache.public_keys.push(PUBLIC.key.clone());
    });
    let deep = session.check(Depth::Deep).await;
    assert_eq!(verdict(&deep), SIGNATURE);
    assert_eq!(signing_key(&deep), PUBLIC.key);
    now.send_replace(unsigned);
    session.kept = None;
    let cheap = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&cheap), (Stage::Signature, Reason::Unsigned));
}

#[tokio::test]
async fn silence_over_the_narinfo_is_what_a_deep_check_makes_of_it() {
    let (server, talks) = silenceable().await;
    let spec = server.session(|_| {}).spec;
    let (mut session, _events) = session_of(spec, Connection::Keep, 4 * IMPATIENCE);
    assert_eq!(verdict(&session.check(Depth::Deep).await), SIGNATURE);
    talks.store(false, Ordering::Relaxed);
    session.kept = None;
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), (Stage::Signature, Reason::TimedOut));
    assert_eq!(signing_key(&report), SIGNED.key);
}
