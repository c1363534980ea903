//! Whom Nix's login is sent to, and what a cache is that wants one.

use super::*;
use crate::nix::netrc::Netrc;

const WANTED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
const SENT: &str = "authorization: Basic dXMzcjpzM2NyZXQ=\r\n";

fn login() -> Login {
    Netrc::Text(b"default login us3r password s3cret".to_vec()).login("desktop")
}

/// Who serves nix-cache-info to those who log in, and 401 to others; and whether they did.
async fn locked(address: SocketAddr) -> (Fake, mpsc::UnboundedReceiver<bool>) {
    let (told, heads) = mpsc::unbounded_channel();
    let fake = Fake::at(address, move |mut stream, _| {
        let told = told.clone();
        async move {
            while let Some(head) = question(&mut stream).await {
                let is_in = head.contains(SENT);
                let _ = told.send(is_in);
                let answer = if is_in { ok(INFO) } else { WANTED.to_owned() };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await;
    (fake, heads)
}

fn with_login(address: SocketAddr, login: Login) -> Session {
    let spec = spec(address, |cache| cache.login = login);
    session_of(spec, Connection::Keep, PATIENCE).0
}

fn detail(report: &Report, key: &str) -> Option<String> {
    report.details.get(key).map(Detail::to_string)
}

#[tokio::test]
async fn the_login_of_the_netrc_file_opens_a_cache() {
    let (fake, mut logins) = locked((DESKTOP, 0).into()).await;
    let mut session = with_login(fake.address, login());
    for depth in [Depth::Deep, Depth::Cheap] {
        assert_eq!(verdict(&session.check(depth).await), READY, "{depth:?}");
        assert_eq!(logins.recv().await, Some(true));
    }
}

#[tokio::test]
async fn without_the_right_login_it_is_said_which_file_is_looked_in() {
    for (login, said) in [
        (Login::None, "none"),
        (
            Netrc::Text(b"default login a password b".to_vec()).login("desktop"),
            "refused",
        ),
    ] {
        let (fake, _logins) = locked((DESKTOP, 0).into()).await;
        let report = with_login(fake.address, login).check(Depth::Cheap).await;
        assert_eq!(verdict(&report), (Stage::Http, Reason::HttpStatus));
        assert_eq!(detail(&report, "login").as_deref(), Some(said));
        assert_eq!(detail(&report, "netrc").as_deref(), Some("/etc/nix/netrc"));
    }
}

#[tokio::test]
async fn a_login_that_only_root_may_read_is_nobodys_fault() {
    let (fake, _logins) = locked((DESKTOP, 0).into()).await;
    let mut session = with_login(fake.address, Login::NotVisible);
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::NotVisible));
    assert_eq!(
        detail(&report, "credential").as_deref(),
        Some("etc-nix-netrc")
    );
    // Who wants none is as ready as ever.
    let open = Fake::answering(ok(INFO)).await;
    let mut session = with_login(open.address, Login::NotVisible);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_no_login() {
    let (other, mut logins) = locked(([127, 0, 15, 7], 0).into()).await;
    let location = format!("http://{}/nix-cache-info", other.address);
    let front = Fake::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ))
    .await;
    let report = with_login(front.address, login()).check(Depth::Asked).await;
    assert_eq!(logins.recv().await, Some(false));
    // Nix may have a login for that one.
    assert_eq!(verdict(&report), (Stage::Http, Reason::NotVisible));
    assert_eq!(detail(&report, "login").as_deref(), Some("withheld"));
}

#[tokio::test]
async fn a_redirect_to_another_port_of_the_same_host_gets_the_login() {
    let (real, mut logins) = locked((DESKTOP, 0).into()).await;
    let front = Fake::answering(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/x\r\nContent-Length: 0\r\n\r\n",
        real.address
    ))
    .await;
    let report = with_login(front.address, login()).check(Depth::Cheap).await;
    assert_eq!(logins.recv().await, Some(true));
    assert_eq!(verdict(&report), READY);
}

#[tokio::test]
async fn an_address_that_nix_does_not_go_to_gets_no_login_in_the_clear() {
    let (found, mut logins) = locked(([127, 0, 15, 7], 0).into()).await;
    let nixs = SocketAddr::from((DESKTOP, found.address.port()));
    let spec = spec(nixs, |cache| cache.login = login());
    let mut spec = TargetSpec::clone(&spec);
    spec.addresses.push(Address::from(found.address));
    let mut session = session_of(Arc::new(spec), Connection::Keep, PATIENCE).0;
    for depth in [Depth::Deep, Depth::Cheap] {
        let report = session.check(depth).await;
        assert_eq!(logins.recv().await, Some(false));
        assert_eq!(verdict(&report), (Stage::Http, Reason::NotVisible));
    }
}

#[tokio::test]
async fn nobody_who_is_found_is_asked_who_he_is_with_the_login() {
    let (found, mut logins) = locked((DESKTOP, 0).into()).await;
    let spec = spec(found.address, |cache| {
        cache.login = login();
        cache.public_keys = vec!["desktop-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()];
    });
    let (context, _events) = context(Connection::Keep, PATIENCE);
    let identifier = Identifier::new(&spec, &Arc::new(context));
    identifier.identify(found.address, PATIENCE).await;
    assert_eq!(logins.recv().await, Some(false));
}
