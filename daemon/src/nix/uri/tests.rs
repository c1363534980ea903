use super::*;
use proptest::prelude::*;

fn cache_of(uri: &str) -> CacheUri {
    match parse(uri) {
        Ok(StoreUri::Cache(cache)) => cache,
        other => panic!("{uri}: {other:?}"),
    }
}

fn ssh_of(uri: &str) -> SshUri {
    match parse(uri) {
        Ok(StoreUri::Ssh(ssh)) => ssh,
        other => panic!("{uri}: {other:?}"),
    }
}

#[test]
fn a_cache_has_host_port_path_and_parameters() {
    let cache = cache_of("http://desktop.local:5000/nix//?priority=10&trusted=true&priority=20");
    assert!(!cache.tls);
    assert_eq!(
        (cache.host.as_str(), cache.port),
        ("desktop.local", Some(5000))
    );
    assert_eq!(cache.path, "/nix");
    assert_eq!(cache.params["priority"], "10");
    assert_eq!(cache.params["trusted"], "true");
    assert_eq!(cache_of("https://desktop/").path, "");
    assert_eq!(cache_of("https://desktop").effective_port(), 443);
    assert_eq!(cache_of("http://desktop:").effective_port(), 80);
}

#[test]
fn parameters_are_decoded_and_keys_without_value_ignored() {
    let ssh = ssh_of("ssh://desktop?ssh-key=/etc/a%20b&compress&x=a=b&y=a+b");
    assert_eq!(ssh.params["ssh-key"], "/etc/a b");
    assert_eq!(ssh.params["x"], "a=b");
    assert_eq!(ssh.params["y"], "a+b");
    assert!(!ssh.params.contains_key("compress"));
}

#[test]
fn a_builder_has_protocol_user_host_and_port() {
    let ssh = ssh_of("ssh-ng://nix%2Dbuilder@desktop:2222");
    assert_eq!(ssh.protocol, Protocol::SshNg);
    assert_eq!(ssh.user.as_deref(), Some("nix-builder"));
    assert_eq!((ssh.host.as_str(), ssh.port), ("desktop", Some(2222)));
    assert_eq!(ssh_of("ssh://me@localhost").host, "localhost");
}

#[test]
fn ipv6_is_read_with_brackets_a_zone_and_in_the_old_ways() {
    for (uri, host, port) in [
        ("ssh://[::1]:22", "::1", Some(22)),
        ("ssh://u@[fe80::1%25wlan0]:22", "fe80::1%wlan0", Some(22)),
        ("ssh://[fe80::1%wlan0]", "fe80::1%wlan0", None),
        ("ssh://u@fe80::1%wlan0", "fe80::1%wlan0", None),
        ("ssh-ng://2001:db8::6", "2001:db8::6", None),
    ] {
        let ssh = ssh_of(uri);
        assert_eq!((ssh.host.as_str(), ssh.port), (host, port), "{uri}");
    }
    assert_eq!(
        cache_of("http://[fe80::1%25eth0]:5000/").host,
        "fe80::1%eth0"
    );
}

#[test]
fn what_nix_does_not_accept_is_invalid() {
    for uri in [
        "http://",
        "http://:5000",
        "http://desktop:0",
        "http://desktop:65536",
        "http://desktop:5x",
        "http://desk%zztop",
        "http://desktop/%4",
        "http://desktop/a b",
        "http://[::1",
        "http://[desktop]",
        "http://[fe80::1%wlan0]:5000",
        "ssh://desktop/path",
        "ssh://desktop/",
        "ssh://@desktop",
        "ssh://-oProxyCommand=true",
        "ssh://%2DoProxyCommand=true",
        "ssh://-l@desktop",
        "ssh://",
        "desktop",
        "http://desktop?a=%x",
    ] {
        assert!(
            matches!(parse(uri), Err(UriError::Invalid(_))),
            "{uri}: {:?}",
            parse(uri)
        );
    }
}

#[test]
fn what_is_not_reached_over_the_network_is_told_apart() {
    for uri in [
        "daemon",
        "local",
        "auto",
        "",
        "?root=/mnt",
        "/mnt/store",
        "file:///srv/cache",
        "unix://",
    ] {
        assert_eq!(parse(uri), Err(UriError::Local), "{uri}");
    }
    assert_eq!(parse("ssh://localhost"), Err(UriError::Localhost));
    assert_eq!(parse("s3://bucket?region=x"), Err(UriError::S3));
    assert_eq!(parse("HTTP://desktop"), Err(UriError::Scheme));
    assert_eq!(
        parse("http://me:secret@desktop"),
        Err(UriError::Credentials)
    );
}

#[test]
fn a_machine_without_a_scheme_is_reached_by_ssh() {
    assert_eq!(complete_machine("nix@desktop"), "ssh://nix@desktop");
    assert_eq!(
        complete_machine("desktop?compress=true"),
        "ssh://desktop?compress=true"
    );
    for uri in [
        "ssh-ng://desktop",
        "auto",
        "daemon?x=y",
        "local",
        "/mnt",
        "?root=/mnt",
    ] {
        assert_eq!(complete_machine(uri), uri);
    }
    assert_eq!(complete_machine("localhost"), "ssh://localhost");
}

#[test]
fn a_password_is_never_shown() {
    for (uri, shown) in [
        ("http://me:se@cret@desktop/x?a", "http://***@desktop/x?a"),
        ("http://me:sec/ret@desktop", "http://***@desktop"),
        (
            "https://me:se?c#ret@desktop:5000",
            "https://***@desktop:5000",
        ),
        ("http://TOKEN@desktop/nix", "http://***@desktop/nix"),
        ("HTTP://me:secret@desktop", "HTTP://***@desktop"),
        ("s3://secret@bucket", "s3://***@bucket"),
        ("ssh://me:sec/ret@desktop", "ssh://me:***@desktop"),
        (
            "ssh-ng://me:s?c@ret@desktop:22",
            "ssh-ng://me:***@desktop:22",
        ),
        ("me:secret@desktop", "me:***@desktop"),
        ("http://me:A://B@desktop", "http://***@desktop"),
        ("me:A://B@desktop", "me:***@desktop"),
    ] {
        assert_eq!(redacted(uri), shown, "{uri}");
    }
    for uri in [
        "http://desktop:5000/nix?priority=10",
        "ssh://me@desktop",
        "ssh-ng://me@[::1]:22?ssh-key=/etc/key",
        "me@desktop",
        "daemon",
    ] {
        assert_eq!(redacted(uri), uri);
    }
    let error = parse("http://me:secret@desktop").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[test]
fn the_store_directory_is_a_parameter_of_the_store() {
    assert_eq!(
        store_dir("daemon?store=/srv/store").as_deref(),
        Some("/srv/store")
    );
    assert_eq!(store_dir("auto"), None);
}

proptest! {
    // All that is shown is said here: whatever stands in a secret, `://` too, is no part of it.
    #[test]
    fn no_part_of_a_secret_is_shown(
        secret in "[A-Z0-9/?#@:&%\\[\\]]{3,20}", user in "[a-z]{1,8}",
        scheme in "(http|https|s3|ftp)", rest in "(:port)?(/nix)?(\\?x=y)?",
    ) {
        let hidden = format!("{scheme}://***@desktop{rest}");
        for userinfo in [&format!("{user}:{secret}"), &secret] {
            let shown = redacted(&format!("{scheme}://{userinfo}@desktop{rest}"));
            prop_assert_eq!(&shown, &hidden);
        }
        for scheme in ["ssh://", "ssh-ng://", ""] {
            // `user://…` has a scheme.
            if !scheme.is_empty() || !secret.starts_with("//") {
                let shown = redacted(&format!("{scheme}{user}:{secret}@desktop"));
                prop_assert_eq!(shown, format!("{scheme}{user}:***@desktop"));
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _ = parse(&text);
        let _ = parse(&complete_machine(&text));
        let _ = redacted(&text);
        let _ = store_dir(&text);
    }

    #[test]
    fn anything_after_a_scheme_is_read_or_refused(
        scheme in "(http|https|ssh|ssh-ng)", rest in "[a-z0-9@:/?%\\[\\]&=.#-]{0,40}",
    ) {
        match parse(&format!("{scheme}://{rest}")) {
            Ok(StoreUri::Ssh(ssh)) => prop_assert!(!ssh.host.starts_with('-') && !ssh.host.is_empty()),
            Ok(StoreUri::Cache(cache)) => {
                prop_assert!(!cache.host.is_empty());
                prop_assert!(cache.path.is_empty() || cache.path.starts_with('/'));
            }
            Err(_) => {}
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        user in proptest::option::of("[a-z][a-z0-9-]{0,8}"),
        host in "[a-z0-9][a-z0-9.-]{0,20}",
        port in proptest::option::of(1u16..),
        key in "[a-z-]{1,8}", value in "[a-zA-Z0-9/._~-]{0,12}",
    ) {
        let at = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let colon = port.map(|port| format!(":{port}")).unwrap_or_default();
        let ssh = ssh_of(&format!("ssh-ng://{at}{host}{colon}?{key}={value}"));
        prop_assert_eq!(ssh.user, user);
        prop_assert_eq!(ssh.host, host);
        prop_assert_eq!(ssh.port, port);
        prop_assert_eq!(&ssh.params[&key], &value);
    }
}
