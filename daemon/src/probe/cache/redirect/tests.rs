use super::*;

fn hop(tls: bool, host: &str, port: u16, path: &str) -> Hop {
    Hop {
        tls,
        host: host.to_owned(),
        port,
        path: path.to_owned(),
    }
}

fn follow(location: &str) -> Result<Hop, Astray> {
    let from = hop(false, "desktop", 5000, "/nix/nix-cache-info");
    let location = HeaderValue::from_str(location).unwrap();
    from.follow(Some(&location))
}

#[test]
fn redirects_lead_where_curl_would_go() {
    for (location, expected) in [
        ("/info", hop(false, "desktop", 5000, "/info")),
        ("info?x=1#y", hop(false, "desktop", 5000, "/nix/info?x=1")),
        (
            "?x=/",
            hop(false, "desktop", 5000, "/nix/nix-cache-info?x=/"),
        ),
        ("http://desktop?x=1", hop(false, "desktop", 80, "/?x=1")),
        ("//DESKTOP:5000", hop(false, "desktop", 5000, "/")),
        ("https://desktop/info", hop(true, "desktop", 443, "/info")),
        ("http://127.0.15.6:81/", hop(false, "127.0.15.6", 81, "/")),
        ("http://[::1]/x", hop(false, "::1", 80, "/x")),
        (
            "https://Desktop.LAN/nix/nix-cache-info",
            hop(true, "desktop.lan", 443, "/nix/nix-cache-info"),
        ),
        (
            "https://u:s3cret@other:8443/?back=1",
            hop(true, "other", 8443, "/?back=1"),
        ),
    ] {
        assert_eq!(follow(location), Ok(expected), "{location}");
    }
}

#[test]
fn a_redirect_nowhere_is_told_apart() {
    for location in [
        "ftp://desktop/",
        "file:///etc/passwd",
        "http://:80/",
        "mailto:a@b",
        "http://",
        "http://[",
        "http://desk[2001:db8::6]/",
        "http://[fffffff1%25eth0]/",
        "http://[desk]/",
        "//[@%:]//[@",
        "http://a b/",
    ] {
        assert_eq!(follow(location), Err(Astray), "{location}");
    }
    let from = hop(false, "desktop", 80, "/");
    assert_eq!(from.follow(None), Err(Astray));
}

#[test]
fn the_host_header_has_brackets_and_port_where_they_belong() {
    assert_eq!(hop(false, "desktop", 80, "/").authority(), "desktop");
    assert_eq!(hop(true, "desktop", 80, "/").authority(), "desktop:80");
    assert_eq!(hop(true, "::1", 443, "/").authority(), "[::1]");
    assert_eq!(bare("[fe80::1%wlan0]"), "fe80::1");
}

#[test]
fn a_stranger_leads_neither_to_this_machine_nor_along_the_link() {
    let peers = ["192.0.2.6:5000", "[2001:db8::6]:5000", "[fe80::6%3]:5000"];
    for to in [
        "127.0.0.1:80",
        "127.0.15.6:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:0.0.0.0]:80",
        "[::ffff:169.254.169.254]:80",
        "0.0.0.0:80",
        "0.1.2.3:80",
        "[::]:80",
        "169.254.169.254:80",
        "[fe80::1%3]:80",
        "[fe80::6%4]:80",
        "224.0.0.251:80",
        "255.255.255.255:80",
        "[ff02::1%3]:80",
    ] {
        let to = to.parse().unwrap();
        for peer in peers {
            assert!(!may_lead(peer.parse().unwrap(), to), "{peer} {to}");
        }
        // Who is this machine may.
        assert!(may_lead("127.0.0.1:5000".parse().unwrap(), to), "{to}");
        let mapped = "[::ffff:127.0.0.1]:5000".parse().unwrap();
        assert!(may_lead(mapped, to), "{to}");
    }
    for peer in peers {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut itself = peer;
        itself.set_port(443);
        for to in [
            itself,
            "192.0.2.7:80".parse().unwrap(),
            "[fd00::7]:80".parse().unwrap(),
        ] {
            assert!(may_lead(peer, to), "{peer} {to}");
        }
    }
}

#[test]
fn a_redirect_is_followed_to_the_same_host_and_to_watched_ones() {
    let from = hop(false, "desktop", 5000, "/nix-cache-info");
    let watched = BTreeSet::from(["attic.lan".to_owned()]);
    let leads = |host, follow| from.may_go(&hop(true, host, 8443, "/"), follow, &watched);
    for (host, expected) in [
        ("desktop", [true, true, true]),
        ("attic.lan", [false, true, true]),
        ("elsewhere", [false, false, true]),
        ("127.0.0.1", [false, false, true]),
    ] {
        let found = [Follow::Nobody, Follow::Watched, Follow::Anybody];
        assert_eq!(found.map(|follow| leads(host, follow)), expected, "{host}");
    }
}

#[test]
fn the_cache_of_a_moved_file_is_named_as_nix_would_be_told() {
    let from = hop(false, "desktop", 80, "/nix-cache-info");
    for (path, url) in [
        ("/nix-cache-info", "https://d.lan:8443"),
        ("/nix/nix-cache-info?x=/y", "https://d.lan:8443/nix"),
    ] {
        let to = hop(true, "d.lan", 8443, path);
        assert!(from.same_file(&to), "{path}");
        assert_eq!(to.cache_url(), url);
    }
    for path in [
        "/",
        "/login?to=http://desktop/nix-cache-info",
        "/nix-cache-info/",
    ] {
        assert!(!from.same_file(&hop(false, "portal", 80, path)), "{path}");
    }
}

#[test]
fn a_zone_survives_the_change_of_port() {
    let (from, to) = (hop(false, "d", 5000, "/"), hop(true, "d", 443, "/"));
    let candidate = to.candidate(&from, "[fe80::1%3]:5000".parse().unwrap());
    assert_eq!(candidate.host, "fe80::1%3");
    assert_eq!(candidate.port, Some(443));
}

#[test]
fn another_host_is_looked_up() {
    let (from, to) = (hop(false, "d", 80, "/"), hop(true, "d.lan", 443, "/"));
    let candidate = to.candidate(&from, "127.0.15.6:80".parse().unwrap());
    assert_eq!(candidate.host, "d.lan");
    assert_eq!(candidate.port, Some(443));
}
