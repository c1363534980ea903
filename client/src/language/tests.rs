//! The catalogue is whole: no text without a translation, none left over, and each says what the English says.

mod texts;

use std::{collections::BTreeSet, path::Path};

use self::texts::{Text, texts};
use super::*;

const FILE: &str = "po/pt_BR.po";

#[test]
fn no_text_lacks_its_translation_and_none_is_left_over() {
    let catalogue = Catalogue::read(PT_BR);
    let texts = texts();
    if std::env::var_os("OFFLOAD_WRITE_MAN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        std::fs::write(path, written(&texts, &catalogue)).unwrap();
        return;
    }
    let known: BTreeSet<&str> = catalogue.keys().collect();
    let wanted: BTreeSet<&str> = texts.iter().map(|text| text.english.as_str()).collect();
    let missing: Vec<_> = wanted.difference(&known).collect();
    let left_over: Vec<_> = known.difference(&wanted).collect();
    assert!(
        missing.is_empty() && left_over.is_empty(),
        "missing: {missing:#?}\nleft over: {left_over:#?}\n\
         `OFFLOAD_WRITE_MAN=1 cargo nextest run -p offload-client --lib language` makes room for them in client/{FILE}"
    );
    assert_eq!(
        PT_BR,
        written(&texts, &catalogue),
        "not as it would be written"
    );
}

#[test]
fn a_translation_has_the_same_placeholders_and_commands() {
    let catalogue = Catalogue::read(PT_BR);
    let mut wrong = Vec::new();
    for Text { english, .. } in texts() {
        let translation = catalogue.get(&english).unwrap_or_default();
        for part in [placeholders, commands] {
            if part(&english) != part(translation) {
                let (has, wants) = (part(translation), part(&english));
                wrong.push(format!("{english}\n  has {has:?}\n  wants {wants:?}"));
            }
        }
        let edges = |text: &str| {
            let ends = text.chars().next_back();
            let at_end = |sign: &char| ".:;,\n ".contains(*sign);
            (
                text.starts_with([' ', '\n', ',', ';', ':']),
                ends.filter(at_end),
            )
        };
        if edges(&english) != edges(translation) {
            wrong.push(format!(
                "{english}\n  begins or ends otherwise than\n  {translation}"
            ));
        }
        if translation.contains("  ") != english.contains("  ") {
            wrong.push(format!("{translation}\n  has gaps"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_looked_up_is_what_the_catalogue_says() {
    let catalogue = portuguese();
    for english in catalogue.keys() {
        assert_eq!(PORTUGUESE.get(english), catalogue.get(english), "{english}");
    }
    assert_eq!(PORTUGUESE.get("no text of ours"), None);
}

#[test]
fn no_two_titles_become_one() {
    let catalogue = Catalogue::read(PT_BR);
    let mut seen = BTreeSet::new();
    for text in texts().iter().filter(|text| text.is_title) {
        let title = catalogue.get(&text.english).unwrap_or_default();
        assert!(seen.insert(title.to_owned()), "{title}");
        assert!(title.chars().count() <= 52, "{title}");
    }
}

#[test]
fn a_sentence_is_filled_in_either_language() {
    let place = "desktop";
    assert_eq!(
        say!("no {what} at {place}", what = 1 + 1, place),
        "no 2 at desktop"
    );
    let there: [(&str, &dyn std::fmt::Display); 3] =
        [("what", &2), ("place", &place), ("rest", &"")];
    let said = fill("em {place} não há {what}{rest}", &there);
    assert_eq!(said, "em desktop não há 2");
}

#[test]
fn a_catalogue_is_read_as_gettext_has_it() {
    let catalogue = Catalogue::read(
        "# a comment\nmsgid \"\"\nmsgstr \"Language: xx\\n\"\n\n#: a.rs\nmsgid \"\"\n\"one \\\"two\\\" \"\n\"three\"\nmsgstr \"um\\n\"\n\
         \"dois\"\n\nmsgid \"not yet\"\nmsgstr \"\"\n",
    );
    assert_eq!(catalogue.get("one \"two\" three"), Some("um\ndois"));
    assert_eq!(catalogue.keys().count(), 1);
}

/// The names in braces.
fn placeholders(text: &str) -> BTreeSet<String> {
    let inside = text.split('{').skip(1);
    let inside = inside.filter_map(|rest| rest.split_once('}'));
    inside
        .map(|(inside, _)| inside.split('|').next().unwrap_or_default().to_owned())
        .collect()
}

/// What stands between backticks, without what is said in place of something unknown.
fn commands(text: &str) -> BTreeSet<String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, tail) = after.split_once('}').unwrap_or((after, ""));
        plain.push_str(&format!(
            "{before}{{{}}}",
            inside.split('|').next().unwrap_or_default()
        ));
        rest = tail;
    }
    plain.push_str(rest);
    plain
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The whole catalogue, in the order of the code.
fn written(texts: &[Text], catalogue: &Catalogue) -> String {
    let texts = texts.iter();
    let texts = texts.map(|text| (text.file.as_str(), text.english.as_str()));
    catalogue.written(HEAD, texts)
}

const HEAD: &str = "# Portuguese of Brazil. `OFFLOAD_WRITE_MAN=1 cargo nextest run -p offload-client --lib language` adds what \
                    the code says\n# and takes out what it says no more; the translations are written by hand.\nmsgid \"\"\n\
                    msgstr \"\"\n\"Language: pt_BR\\n\"\n\"MIME-Version: 1.0\\n\"\n\"Content-Type: text/plain; charset=UTF-8\\n\"\n\
                    \"Content-Transfer-Encoding: 8bit\\n\"\n";
