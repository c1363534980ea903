//! What stands in a case for keys that are made anew each time.

use std::path::Path;

use data_encoding::BASE64;

/// Fills in `{D}`, the directory of keys, and of a key in it `{pub:NAME}`, its public line, `{pk:NAME}`, that
/// without the comment, `{blob:NAME}`, its base 64, `{b64:NAME}`, the whole line in base 64, and `{qb64:NAME}`,
/// that as a URL has it. `{b64raw:…}` is all of a text in base 64, when the rest is filled in.
pub(super) fn fill(text: &str, keys: &Path) -> String {
    let directory = format!("{}/", keys.display());
    let text = text.replace("{D}", &directory);
    let mut filled = String::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let known = behind.split_once('}').and_then(|(placeholder, after)| {
            let (form, name) = placeholder.split_once(':')?;
            Some((formed(form, name, keys)?, after))
        });
        match known {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = behind;
            }
        }
    }
    filled.push_str(rest);
    let raw = filled.strip_prefix("{b64raw:");
    match raw.and_then(|raw| raw.strip_suffix('}')) {
        Some(raw) => BASE64.encode(raw.as_bytes()),
        None => filled,
    }
}

fn formed(form: &str, name: &str, keys: &Path) -> Option<String> {
    let line = public_line(keys, name)?;
    let words: Vec<_> = line.split(' ').collect();
    let base64 = || BASE64.encode(format!("{line}\n").as_bytes());
    Some(match form {
        "pub" => line.clone(),
        "pk" => words.get(..2)?.join(" "),
        "blob" => (*words.get(1)?).to_owned(),
        "b64" => base64(),
        "qb64" => base64().replace('=', "%3D").replace('+', "%2B"),
        _ => return None,
    })
}

fn public_line(keys: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(keys.join(format!("{name}.pub"))).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_keys_is_filled_in_and_all_else_left() {
        let keys = tempfile::tempdir().unwrap();
        std::fs::write(keys.path().join("hk.pub"), "ssh-ed25519 AAAA root@desk\n").unwrap();
        let filled = |text: &str| fill(text, keys.path());
        assert_eq!(filled("desk {pk:hk} x"), "desk ssh-ed25519 AAAA x");
        assert_eq!(
            filled("{blob:hk}{pub:hk}"),
            "AAAAssh-ed25519 AAAA root@desk"
        );
        assert_eq!(filled("{b64raw:a b}"), "YSBi");
        assert_eq!(filled("{b64raw:{blob:hk}}"), "QUFBQQ==");
        assert_eq!(filled("{D}k"), format!("{}/k", keys.path().display()));
        assert_eq!(filled("{ {sig:desk} {pk:none}"), "{ {sig:desk} {pk:none}");
    }
}
