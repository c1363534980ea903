//! Whether there is a file behind the narinfo: on a cache that Nix made.

use super::{
    nix::narinfo_name,
    signature::{SIGNED, STORE, Server, detail},
    *,
};

const GOOD: (Stage, Reason) = (Stage::Signature, Reason::None);
/// Long enough for a loaded machine, short enough to wait for half of it.
const BRIEFLY: Duration = Duration::from_secs(4);
const MISSING: (Stage, Reason) = (Stage::Signature, Reason::NarMissing);

/// A cache whose one narinfo is changed so, and which answers so for the NAR.
async fn server(
    change: impl Fn(String) -> String + Send + Sync + 'static,
    nar: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Server {
    let narinfo = change(SIGNED.narinfo(&STORE.path));
    Server::with_nars(
        move |name| {
            Some(if name == narinfo_name(&STORE.path) {
                ok(&narinfo)
            } else {
                absent(name)
            })
        },
        nar,
    )
    .await
}

fn absent(_: &str) -> String {
    status("404 Not Found")
}

fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
}

/// The size of the one NAR in bytes.
fn nar_size() -> u64 {
    let narinfo = SIGNED.narinfo(&STORE.path);
    let line = |name: &str| {
        narinfo
            .lines()
            .find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    line("FileSize: ").unwrap().parse().unwrap()
}

fn uncompressed(narinfo: String) -> String {
    let compression = narinfo
        .lines()
        .find(|line| line.starts_with("Compression"))
        .unwrap();
    narinfo.replace(compression, "Compression: none")
}

#[tokio::test]
async fn a_nar_that_can_t_be_had_is_told_with_its_status() {
    for (answer, why) in [
        ("404 Not Found", "404 Not Found"),
        ("403 Forbidden", "403 Forbidden"),
        ("500 Internal Server Error", "500 Internal Server Error"),
    ] {
        let server = server(|narinfo| narinfo, move |_| Some(status(answer))).await;
        let report = server.check(|_| {}).await;
        assert_eq!(super::verdict(&report), MISSING);
        assert!(detail(&report).ends_with(why), "{}", detail(&report));
        assert!(detail(&report).contains("nar/"), "{}", detail(&report));
        assert!(report.details["nar"].to_string().starts_with("nar/"));
    }
}

#[tokio::test]
async fn a_nar_of_another_size_is_none() {
    let other = nar_size() - 1;
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/{other}\r\nContent-Length: 0\r\n\r\n"
    );
    let server = server(|narinfo| narinfo, move |_| Some(head.clone())).await;
    let report = server.check(|_| {}).await;
    assert_eq!(super::verdict(&report), MISSING);
    let why = format!("has {other} bytes instead of {}", nar_size());
    assert!(detail(&report).ends_with(&why), "{}", detail(&report));
}

#[tokio::test]
async fn a_server_that_knows_no_head_is_asked_for_the_beginning() {
    for refused in [
        "405 Method Not Allowed",
        "404 Not Found",
        "501 Not Implemented",
    ] {
        let server = server(
            |narinfo| narinfo,
            move |head| {
                if head.starts_with("HEAD") {
                    return Some(status(refused));
                }
                assert!(
                    head.to_lowercase().contains("\r\nrange: bytes=0-63\r\n"),
                    "{head}"
                );
                let range = format!("Content-Range: bytes 0-63/{}", nar_size());
                Some(format!(
                    "HTTP/1.1 206 Partial Content\r\n{range}\r\nContent-Length: 64\r\n\r\n\u{0}{}",
                    "x".repeat(63)
                ))
            },
        )
        .await;
        // What is packed otherwise than its narinfo says is found where it is looked into.
        let report = server.check(|_| {}).await;
        assert_eq!(super::verdict(&report), MISSING, "{refused}");
        assert!(
            detail(&report).contains("is not packed with"),
            "{}",
            detail(&report)
        );
    }
}

#[tokio::test]
async fn who_hangs_or_hangs_up_over_head_is_asked_for_the_beginning() {
    for is_mute in [false, true] {
        let server = server(uncompressed_of(240), move |head| {
            if head.starts_with("HEAD") {
                // Without an answer the server reads on, and after that one it hangs up.
                return (!is_mute).then(|| "HTTP/1.1 Connection: close".to_owned());
            }
            let beginning = "\r\0\0\0\0\0\0\0nix-archive-1";
            let length = beginning.len();
            Some(format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-63/240\r\nContent-Length: {length}\r\n\r\n{beginning}"
            ))
        })
        .await;
        let report = server
            .session_within(Connection::Keep, BRIEFLY, |cache| {
                cache.require_sigs = false;
            })
            .check(Depth::Deep)
            .await;
        assert_eq!(super::verdict(&report), GOOD, "mute: {is_mute}");
    }
}

#[tokio::test]
async fn who_sends_all_of_it_instead_of_its_beginning_is_not_read_to_the_end() {
    let body = format!("\r\0\0\0\0\0\0\0nix-archive-1{}", "x".repeat(1 << 20));
    let server = server(uncompressed_of(body.len()), move |head| {
        if head.starts_with("HEAD") {
            return Some(status("405 Method Not Allowed"));
        }
        Some(ok(&body))
    })
    .await;
    // The signature is over another size.
    let report = server.check(|cache| cache.require_sigs = false).await;
    assert_eq!(super::verdict(&report), GOOD);
}

/// A narinfo of an uncompressed NAR of this size.
fn uncompressed_of(size: usize) -> impl Fn(String) -> String {
    move |narinfo| {
        let narinfo = uncompressed(narinfo);
        let line = narinfo
            .lines()
            .find(|line| line.starts_with("NarSize"))
            .unwrap();
        narinfo.replace(line, &format!("NarSize: {size}"))
    }
}

#[tokio::test]
async fn a_narinfo_that_does_not_say_how_its_nar_is_packed_means_bzip2() {
    let narinfo = |narinfo: String| uncompressed(narinfo).replace("Compression: none\n", "");
    for (beginning, verdict) in [("BZh9", GOOD), ("\r\0\0\0\0\0\0\0nix-archive-1", MISSING)] {
        let server = server(narinfo, move |head| {
            assert!(head.starts_with("GET"), "{head}");
            let range = format!("Content-Range: bytes 0-63/{}", nar_size());
            let length = beginning.len();
            Some(format!(
                "HTTP/1.1 206 Partial Content\r\n{range}\r\nContent-Length: {length}\r\n\r\n{beginning}"
            ))
        })
        .await;
        for version in [NixVersion::new(2, 8, 0), NixVersion::default()] {
            let report = server.check(|cache| cache.nix_version = version).await;
            assert_eq!(super::verdict(&report), verdict, "{version} {beginning:?}");
        }
    }
}

#[tokio::test]
async fn a_compression_that_nix_does_not_know_spoils_the_narinfo_since_2_22() {
    let narinfo = |narinfo| uncompressed(narinfo).replace("Compression: none", "Compression: zip");
    let server = server(narinfo, |_| {
        Some(format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/{}\r\nContent-Length: 4\r\n\r\nPK\x03\x04",
            nar_size()
        ))
    })
    .await;
    let report = server.check(|_| {}).await;
    assert_eq!(
        super::verdict(&report),
        (Stage::Signature, Reason::NarinfoInvalid)
    );
    assert!(detail(&report).ends_with("Nix knows no compression 'zip'"));
    let old = |cache: &mut CacheSpec| cache.nix_version = NixVersion::new(2, 21, 0);
    assert_eq!(super::verdict(&server.check(old).await), GOOD);
}

#[tokio::test]
async fn a_nar_at_somebody_else_s_is_not_looked_at() {
    let elsewhere =
        "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.9/nar/x\r\nContent-Length: 0\r\n\r\n";
    let redirecting = server(|narinfo| narinfo, move |_| Some(elsewhere.to_owned())).await;
    let report = redirecting.check(|_| {}).await;
    assert_eq!(super::verdict(&report), GOOD);
    assert!(!report.details.contains_key("redirected_to"));

    let absolute = |narinfo: String| narinfo.replace("URL: ", "URL: http://192.0.2.9/");
    let naming = server(absolute, |head| panic!("{head}")).await;
    let report = naming.check(|_| {}).await;
    // Nix goes there: whether it is there is not known, and no green.
    let verdict = super::verdict(&report);
    assert_eq!(verdict, (Stage::Signature, Reason::Redirected));
    assert!(
        detail(&report).contains("http://192.0.2.9/"),
        "{}",
        detail(&report)
    );
}

#[tokio::test]
async fn all_is_asked_over_one_connection_which_is_kept() {
    let server = Server::of(&SIGNED).await;
    let mut session = server.session(|_| {});
    assert_eq!(super::verdict(&session.check(Depth::Deep).await), GOOD);
    assert_eq!(super::verdict(&session.check(Depth::Cheap).await), GOOD);
    assert_eq!(server.fake.connections(), 1);
}
