use super::*;
use crate::nix::fixtures::{ECDSA, ED25519, RSA};
use data_encoding::BASE64;
use proptest::prelude::*;

fn ed25519() -> PublicKey {
    parse_type_and_key("ssh-ed25519", ED25519).unwrap()
}

#[test]
fn every_form_of_a_host_key_is_the_same_key() {
    let line = format!("ssh-ed25519 {ED25519}");
    for text in [
        line.clone(),
        format!("{line} root@desktop\n"),
        format!("desktop,192.0.2.6 {line}"),
        format!("[desktop]:2222 {line} comment"),
        format!("# desktop:22 SSH-2.0-OpenSSH\nssh-server {line}\n"),
        BASE64.encode(format!("{line} root@desktop\n").as_bytes()),
        BASE64
            .encode(line.as_bytes())
            .trim_end_matches('=')
            .to_owned(),
        format!("|1|c2FsdA==|aGFzaA== {line}"),
    ] {
        assert_eq!(parse_host_key(&text), Ok(vec![ed25519()]), "{text}");
    }
}

#[test]
fn several_lines_are_several_keys() {
    let keys = parse_host_key(&format!(
        "desktop ssh-ed25519 {ED25519}\ndesktop ecdsa-sha2-nistp256 {ECDSA}\ndesktop ssh-rsa {RSA}\n"
    ));
    assert_eq!(keys.map(|keys| keys.len()), Ok(3));
    let encoded = BASE64.encode(format!("ssh-ed25519 {ED25519}").as_bytes());
    let keys = parse_host_key(&format!("{encoded}\n\nssh-ed25519 {ED25519}\n"));
    assert_eq!(keys, Ok(vec![ed25519(), ed25519()]));
}

#[test]
fn what_is_no_host_key_is_told_apart() {
    for (text, error) in [
        (" \n", KeyError::Empty),
        ("# only a comment", KeyError::Empty),
        (ED25519, KeyError::TypeMissing),
        ("nonsense", KeyError::NotAHostKey),
        ("aGVsbG8=", KeyError::NotALine),
        (
            // Nix would put another host before this one.
            &BASE64.encode(format!("desktop ssh-ed25519 {ED25519}").as_bytes()),
            KeyError::NotALine,
        ),
        (
            "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIEcbCzAVQ26aLrR4QxsMSSkTDnMGGn7+YeEr2Zqp2Gv3AAAABHNzaDo=",
            KeyError::Unsupported("sk-ssh-ed25519@openssh.com".to_owned()),
        ),
        ("/etc/ssh/key.pub", KeyError::NotAHostKey),
        ("ssh-ed25519", KeyError::NotAHostKey),
        ("ssh-ed25519 AAAA", KeyError::Damaged),
        (&format!("ssh-rsa {ED25519}"), KeyError::Damaged),
        (
            &format!("@revoked desktop ssh-ed25519 {ED25519}"),
            KeyError::Marked("@revoked".to_owned()),
        ),
        (&"A".repeat(MAX_TEXT + 1), KeyError::TooLong),
    ] {
        assert_eq!(parse_host_key(text), Err(error), "{text}");
    }
}

#[test]
fn no_more_than_the_beginning_of_a_marker_is_told() {
    let told = parse_host_key(&format!("@{}", "secret".repeat(1000))).unwrap_err();
    assert!(told.to_string().len() < 120, "{told}");
}

#[test]
fn a_signing_key_has_a_name_and_32_bytes() {
    let text = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
    let key = parse_nix_public_key(text).unwrap();
    assert_eq!(key.name, "cache.nixos.org-1");
    assert_eq!(key.key[..4], [0xe8, 0xd0, 0x87, 0x74]);
    for (text, error) in [
        (":6NCHdD59", KeyError::NotASigningKey),
        ("desktop-1", KeyError::NotASigningKey),
        ("desktop-1:6NCH", KeyError::WrongLength(3)),
        ("desktop-1:6NC!", KeyError::NotBase64),
        ("desktop-1:", KeyError::WrongLength(0)),
    ] {
        assert_eq!(parse_nix_public_key(text), Err(error), "{text}");
    }
}

#[test]
fn base64_is_as_lenient_as_nix() {
    for (text, bytes) in [
        ("YWI=", "ab"),
        ("YWI", "ab"),
        ("YWJj\nZA==", "abcd"),
        ("YWJjZ", "abc"),
        ("YWI=!!", "ab"),
        ("YWL", "ab"),
    ] {
        assert_eq!(
            decode_base64(text).as_deref(),
            Ok(bytes.as_bytes()),
            "{text}"
        );
    }
    for text in ["Y W I", "YWJj!", "YW-_", "YWJj\u{e9}"] {
        assert_eq!(decode_base64(text), Err(KeyError::NotBase64), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _ = parse_host_key(&text);
        let _ = parse_nix_public_key(&text);
    }

    #[test]
    fn a_damaged_key_is_read_or_refused(at in 0usize..68, byte in "[A-Za-z0-9+/ =]") {
        let mut text = format!("ssh-ed25519 {ED25519}");
        text.replace_range(12 + at..13 + at, &byte);
        if let Ok(keys) = parse_host_key(&text) {
            prop_assert_eq!(keys.len(), 1);
        }
        let _ = parse_host_key(&BASE64.encode(text.as_bytes()));
    }

    #[test]
    fn base64_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(decode_base64(&BASE64.encode(&bytes)), Ok(bytes));
    }
}
