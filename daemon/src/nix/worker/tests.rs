use proptest::prelude::*;

use super::{
    super::wire::tests::{Script, now},
    *,
};

/// What a server of this version says after its magic.
fn server(minor: u8, nix: &str, trust: u64, messages: &[u8]) -> Vec<u8> {
    let mut says = Vec::new();
    put_numbers(&mut says, &[v1(minor).to_wire()]);
    if minor >= 33 {
        put_string(&mut says, nix);
    }
    if minor >= 35 {
        put_numbers(&mut says, &[trust]);
    }
    says.extend(messages);
    put_numbers(&mut says, &[STDERR_LAST]);
    says
}

fn message(kind: u64, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_numbers(&mut bytes, &[kind]);
    put_string(&mut bytes, text);
    bytes
}

fn greeted(says: Vec<u8>) -> Result<Hello, ProtocolError> {
    let mut script = Script::new(says);
    let hello = now(greet(&mut script));
    assert!(hello.is_err() || script.left() == 0);
    hello
}

#[test]
fn each_version_of_the_protocol_says_what_it_can() {
    for (minor, nix, trust, numbers) in [
        (10, None, Trust::Unknown, 0),
        (13, None, Trust::Unknown, 1),
        (21, None, Trust::Unknown, 2),
        (34, Some("2.8.0"), Trust::Unknown, 2),
        (35, Some("2.8.0"), Trust::No, 2),
        // From 1.38 on a server falls back to what the client speaks.
        (39, Some("2.8.0"), Trust::No, 2),
    ] {
        let mut script = Script::new(server(minor, "2.8.0", 2, &[]));
        let hello = now(greet(&mut script)).unwrap();
        assert_eq!(hello.protocol, v1(minor));
        assert_eq!(hello.nix.as_deref(), nix, "1.{minor}");
        assert_eq!(hello.trust, trust, "1.{minor}");
        assert_eq!(script.heard, vec![0; 8 * numbers], "1.{minor}");
        assert_eq!(script.left(), 0);
    }
}

#[test]
fn every_word_of_trust_is_known_and_no_other() {
    for (number, trust) in [(0, Trust::Unknown), (1, Trust::Yes), (2, Trust::No)] {
        assert_eq!(
            greeted(server(37, "2.26.3", number, &[])).unwrap().trust,
            trust
        );
    }
    assert_eq!(
        greeted(server(37, "2.26.3", 3, &[])),
        Err(ProtocolError::Number("trust", 3))
    );
}

#[test]
fn versions_that_nix_refuses_are_refused() {
    for wire in [0x009, 0x109, 0x225, 0x7fff_ffff] {
        let mut says = Vec::new();
        put_numbers(&mut says, &[wire]);
        let error = greeted(says).unwrap_err();
        assert!(matches!(error, ProtocolError::Version(_)), "{wire:#x}");
    }
}

#[test]
fn messages_on_the_way_are_passed_over() {
    let mut messages = message(STDERR_NEXT, "warning: something\n");
    put_numbers(&mut messages, &[STDERR_START_ACTIVITY, 1, 3, 0]);
    put_string(&mut messages, "looking");
    put_numbers(&mut messages, &[2, 0, 7, 1]);
    put_string(&mut messages, "field");
    put_numbers(&mut messages, &[0, STDERR_RESULT, 1, 105, 1, 0, 9]);
    put_numbers(&mut messages, &[STDERR_STOP_ACTIVITY, 1]);
    let hello = greeted(server(37, "2.26.3", 1, &messages)).unwrap();
    assert_eq!(hello.trust, Trust::Yes);
}

#[test]
fn an_error_is_quoted() {
    let mut error = message(STDERR_ERROR, "Error");
    put_numbers(&mut error, &[0]);
    put_string(&mut error, "Error");
    put_string(&mut error, "cannot connect to socket");
    let said = ProtocolError::Said("cannot connect to socket".into());
    assert_eq!(greeted(server(37, "2.26.3", 1, &error)), Err(said));
    let old = message(STDERR_ERROR, "out of luck");
    let said = ProtocolError::Said("out of luck".into());
    assert_eq!(greeted(server(20, "", 0, &old)), Err(said));
}

#[test]
fn messages_without_an_end_are_not_listened_to() {
    let endless = message(STDERR_NEXT, "again").repeat(MAX_MESSAGES + 1);
    assert_eq!(
        greeted(server(37, "2.26.3", 1, &endless)),
        Err(ProtocolError::Endless(MAX_MESSAGES))
    );
    let long = message(STDERR_NEXT, &"x".repeat(MAX_LINE + 1));
    assert!(greeted(server(37, "2.26.3", 1, &long)).is_err());
    let mut strange = Vec::new();
    put_numbers(&mut strange, &[STDERR_RESULT, 1, 1, u64::MAX]);
    assert!(greeted(server(37, "2.26.3", 1, &strange)).is_err());
}

fn observed(minor: u8, said: Trust, says: Vec<u8>) -> (Trust, Vec<u8>) {
    let hello = Hello {
        protocol: v1(minor),
        nix: None,
        trust: said,
    };
    let mut script = Script::new(says);
    let trust = now(observe_trust(&mut script, &hello)).unwrap();
    (trust, script.heard)
}

#[test]
fn an_old_nix_is_asked_for_what_only_the_trusted_may() {
    let mut obeyed = Vec::new();
    put_numbers(&mut obeyed, &[STDERR_LAST]);
    let (trust, asked) = observed(34, Trust::Unknown, obeyed.clone());
    assert_eq!(trust, Trust::Yes);
    assert!(asked.starts_with(&SET_OPTIONS.to_le_bytes()));

    let mut ignored = message(
        STDERR_NEXT,
        "\x1b[35;1mwarning:\x1b[0m ignoring untrusted substituter 'x'\n",
    );
    ignored.extend(&obeyed);
    assert_eq!(observed(34, Trust::Unknown, ignored).0, Trust::No);
}

#[test]
fn a_nix_that_says_so_itself_is_not_asked() {
    for (minor, said) in [(35, Trust::No), (37, Trust::Unknown), (11, Trust::Unknown)] {
        assert_eq!(observed(minor, said, Vec::new()), (said, Vec::new()));
    }
}

proptest! {
    /// A panic would take the whole daemon down.
    #[test]
    fn no_answer_makes_it_panic(
        minor in any::<u8>(),
        says in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![STDERR_LAST, STDERR_NEXT, STDERR_ERROR,
                    STDERR_START_ACTIVITY, STDERR_STOP_ACTIVITY, STDERR_RESULT]),
                0u64..12, any::<u64>(),
            ], 0..40),
        cut in 0usize..8,
    ) {
        let mut bytes = Vec::new();
        put_numbers(&mut bytes, &[v1(minor).to_wire()]);
        put_numbers(&mut bytes, &says);
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut script = Script::new(bytes);
        if let Ok(hello) = now(greet(&mut script)) {
            prop_assert_eq!(hello.protocol, v1(minor));
            let _ = now(observe_trust(&mut script, &hello));
        }
    }

    /// What is cut short is an error, wherever it is cut.
    #[test]
    fn a_handshake_cut_short_is_no_handshake(
        minor in 10u8..40, nix in "[0-9a-z.]{0,20}", trust in 0u64..3, line in ".{0,20}",
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = server(minor, &nix, trust, &message(STDERR_NEXT, &line));
        prop_assert!(greeted(whole.clone()).is_ok());
        let cut = cut.index(whole.len());
        let is_ended = matches!(greeted(whole[..cut].to_vec()), Err(ProtocolError::Ended(_)));
        prop_assert!(is_ended);
    }
}

fn hello(minor: u8) -> Hello {
    Hello {
        protocol: v1(minor),
        nix: None,
        trust: Trust::No,
    }
}

/// What a Nix answers that would fetch `paths`, after `messages`.
fn substitutable(messages: &[u8], paths: &[&str]) -> Vec<u8> {
    let mut says = Vec::new();
    put_numbers(&mut says, &[STDERR_LAST]);
    says.extend(messages);
    put_numbers(&mut says, &[STDERR_LAST, paths.len() as u64]);
    for path in paths {
        put_string(&mut says, path);
        put_string(&mut says, "");
        put_numbers(&mut says, &[1]);
        put_string(&mut says, "/nix/store/reference");
        put_numbers(&mut says, &[7, 8]);
    }
    says
}

#[test]
fn what_nix_would_fetch_is_told_with_all_that_it_said() {
    for minor in [21, 22, 37] {
        let warning = message(STDERR_NEXT, "warning: hello");
        let mut script = Script::new(substitutable(&warning, &["/nix/store/a"]));
        let mut lines = Vec::new();
        let (settings, paths) = (
            [("substituters", "http://x")],
            ["/nix/store/a", "/nix/store/b"],
        );
        let hello = hello(minor);
        let asked = substitutes(&mut script, &hello, &settings, &paths, |line| {
            lines.push(line.to_owned());
        });
        assert_eq!(now(asked).unwrap(), ["/nix/store/a"], "1.{minor}");
        assert_eq!(lines, ["warning: hello"]);
        assert_eq!(script.left(), 0);
    }
}

#[test]
fn a_nix_that_would_fetch_more_than_it_was_asked_for_is_not_believed() {
    let mut script = Script::new(substitutable(&[], &["/nix/store/a", "/nix/store/b"]));
    let (new, old) = (hello(37), hello(11));
    let asked = substitutes(&mut script, &new, &[], &["/nix/store/a"], |_| {});
    assert_eq!(now(asked), Err(ProtocolError::Number("paths", 2)));
    let mut script = Script::new(Vec::new());
    let asked = substitutes(&mut script, &old, &[], &[], |_| {});
    assert_eq!(now(asked), Err(ProtocolError::Version(v1(11))));
    assert!(script.heard.is_empty());
}
