use proptest::prelude::*;

use super::*;

const GOOD: &str = "StorePath: /nix/store/m4cw5h0jsv9i7zpf96ap92m267asj2a8-both\n\
    URL: nar/x.nar.xz\n\
    Compression: xz\n\
    NarHash: sha256:0m83ndkzlw4l967cpdmyg7nz5643xn58jif14r789xylg16nzs8v\n\
    NarSize: 240\n\
    References: k436884rh2fx9l48inblfss43m7fjwn1-one a4bbq0fnjr1s0myv5jlyq3v1fyb2sf5m-two\n\
    Deriver: unknown-deriver\n\
    Sig: desktop-1:AAAA\n\
    NewField: whatever: it is\n\
    Sig: other:AAAA\n";

fn read(text: &str) -> Result<NarInfo<'_>, NarInfoError> {
    read_as(text, NixVersion::default())
}

fn read_as(text: &str, version: NixVersion) -> Result<NarInfo<'_>, NarInfoError> {
    NarInfo::parse(text.as_bytes(), "/nix/store", version)
}

fn without(name: &str) -> String {
    let lines = GOOD.split_inclusive('\n');
    lines.filter(|line| !line.starts_with(name)).collect()
}

#[test]
fn the_fingerprint_has_the_references_whole_and_in_order() {
    let narinfo = read(GOOD).unwrap();
    assert_eq!(narinfo.signatures, ["desktop-1:AAAA", "other:AAAA"]);
    assert!(!narinfo.is_content_addressed("/nix/store"));
    assert_eq!((narinfo.url, narinfo.compression), ("nar/x.nar.xz", "xz"));
    assert_eq!(narinfo.file_size, None);
    assert_eq!(
        narinfo.fingerprint("/nix/store"),
        "1;/nix/store/m4cw5h0jsv9i7zpf96ap92m267asj2a8-both;\
         sha256:0m83ndkzlw4l967cpdmyg7nz5643xn58jif14r789xylg16nzs8v;240;\
         /nix/store/a4bbq0fnjr1s0myv5jlyq3v1fyb2sf5m-two,\
         /nix/store/k436884rh2fx9l48inblfss43m7fjwn1-one"
    );
    let alone = GOOD.replace("one a4bbq0fnjr1s0myv5jlyq3v1fyb2sf5m-two", "one");
    let doubled = alone.replace("-one\n", "-one k436884rh2fx9l48inblfss43m7fjwn1-one\n");
    assert_ne!(alone, doubled);
    assert_eq!(read(&alone).unwrap(), read(&doubled).unwrap());
}

#[test]
fn a_path_without_references_has_an_empty_list() {
    let text = without("References") + "References: \n";
    let fingerprint = read(&text).unwrap().fingerprint("/nix/store");
    assert!(fingerprint.ends_with(";240;"), "{fingerprint}");
    assert_eq!(read(&text), read(&without("References")));
}

#[test]
fn what_follows_from_its_content_is_called_after_it() {
    let claim = "CA: fixed:r:sha256:0m83ndkzlw4l967cpdmyg7nz5643xn58jif14r789xylg16nzs8v\n";
    let text = format!("{GOOD}{claim}");
    // It claims so, and is called something else.
    assert!(!read(&text).unwrap().is_content_addressed("/nix/store"));
    let twice = read(&format!("{text}{claim}")).map(|_| ());
    assert_eq!(twice, Err(NarInfoError::Twice("CA")));
    let empty = format!("{GOOD}CA: \n");
    assert!(!read(&empty).unwrap().is_content_addressed("/nix/store"));
}

#[test]
fn a_signature_that_is_none_is_looked_at_since_2_34() {
    for signature in ["zzz:!!!", "zzz:", ":AAAA", "zzz"] {
        let text = format!("{GOOD}Sig: {signature}\n");
        let read_as = |minor| read_as(&text, NixVersion::new(2, minor, 0)).map(|_| ());
        assert_eq!(read_as(33), Ok(()), "{signature}");
        assert_eq!(read_as(34), Err(NarInfoError::Field("Sig")), "{signature}");
    }
}

#[test]
fn a_nar_of_which_nobody_says_how_it_is_packed_is_taken_for_bzip2() {
    let text = without("Compression");
    assert_eq!(read(&text).unwrap().compression, "bzip2");
    let text = format!("{GOOD}Compression: \nFileSize: 7\n");
    let narinfo = read(&text).unwrap();
    assert_eq!((narinfo.compression, narinfo.file_size), ("bzip2", Some(7)));
}

#[test]
fn what_nix_would_refuse_is_refused() {
    use NarInfoError::{Field, Missing, NotALine, Twice};
    for (text, error) in [
        (String::new(), Missing("StorePath")),
        (without("StorePath"), Missing("StorePath")),
        (without("NarHash"), Missing("NarHash")),
        (without("URL"), Missing("URL")),
        (without("NarSize"), Missing("NarSize")),
        (
            GOOD.replace("NarSize: 240", "NarSize: 0"),
            Missing("NarSize"),
        ),
        (
            GOOD.replace("NarSize: 240", "NarSize: -1"),
            Field("NarSize"),
        ),
        (GOOD.replace('\n', "\r\n"), Field("StorePath")),
        (GOOD.replace("/nix/store", "/gnu/store"), Field("StorePath")),
        (GOOD.replace("sha256:0", "sha256:"), Field("NarHash")),
        (GOOD.replace("-one", ""), Field("References")),
        (format!("{GOOD}References: x\n"), Twice("References")),
        (format!("{GOOD}Deriver: x y\n"), Field("Deriver")),
        (format!("{GOOD}Deriver: \n"), Field("Deriver")),
        (format!("{GOOD}FileHash: sha256:0\n"), Field("FileHash")),
        (format!("{GOOD}FileSize: 7 MiB\n"), Field("FileSize")),
        (format!("{GOOD}CA: fixed:r:0\n"), Field("CA")),
        (format!("{GOOD}\n"), NotALine(11)),
        (format!("{GOOD}no colon\n"), NotALine(11)),
        (GOOD.trim_end().to_owned(), NotALine(10)),
        (format!("{GOOD}X:"), NotALine(11)),
    ] {
        assert_eq!(read(&text).map(|_| ()), Err(error), "{text}");
    }
    let binary = NarInfo::parse(b"\xff\xfe", "/nix/store", NixVersion::default());
    assert_eq!(binary, Err(NarInfoError::NotText));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = NarInfo::parse(&bytes, "/nix/store", NixVersion::default());
    }

    #[test]
    fn a_damaged_narinfo_is_read_or_refused(at in 0..GOOD.len(), to in "\\PC|[:\n ]", cut in 0..GOOD.len()) {
        let mut text = GOOD.to_owned();
        text.replace_range(at..=at, &to);
        if let Ok(narinfo) = read(&text) {
            prop_assert!(narinfo.fingerprint("/nix/store").starts_with("1;/nix/store/"));
        }
        prop_assert!(read(&GOOD[..cut]).is_err() || GOOD[..cut].ends_with('\n'));
    }
}
