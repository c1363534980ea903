//! A catalogue of gettext's, as text: `msgid` and `msgstr`, each a string that may go on over lines.
//!
//! (gettext's manual, "The Format of PO Files".) Plurals and contexts are not in ours: a sentence that is another one for many
//! stands in the code twice. The crates that read these files bring unsafe code and a writer; a string of theirs is one of JSON's.

use std::collections::HashMap;

/// English, and what it is.
#[derive(Clone, Debug)]
pub struct Catalogue(HashMap<String, String>);

impl Catalogue {
    /// What is not yet translated is not in it.
    pub fn read(text: &str) -> Self {
        let mut catalogue = HashMap::new();
        let mut entry = (String::new(), String::new());
        let mut is_key = true;
        for line in text.lines() {
            let (keyword, string) = match line.split_once('"') {
                Some((keyword, _)) => (keyword.trim_end(), line.get(keyword.len()..)),
                None => continue,
            };
            match keyword {
                "msgid" => {
                    keep(&mut catalogue, std::mem::take(&mut entry));
                    is_key = true;
                }
                "msgstr" => is_key = false,
                "" => {}
                _ => continue,
            }
            let string = serde_json::from_str::<String>(string.unwrap_or_default());
            let part = if is_key { &mut entry.0 } else { &mut entry.1 };
            part.push_str(&string.unwrap_or_default());
        }
        keep(&mut catalogue, entry);
        Self(catalogue)
    }

    /// What this is; nothing where it has no translation.
    pub fn get(&self, english: &str) -> Option<&str> {
        self.0.get(english).map(String::as_str)
    }

    /// Every English text in it.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The file of it: after its head `texts`, each with where it stands, and with what is known of it. Tests hold the
    /// committed ones to this.
    pub fn written<'a>(
        &self,
        head: &str,
        texts: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let mut file = head.to_owned();
        let mut last = "";
        for (place, english) in texts {
            file.push('\n');
            if place != last {
                file.push_str(&format!("#: {place}\n"));
                last = place;
            }
            file.push_str(&string("msgid", english));
            file.push_str(&string("msgstr", self.get(english).unwrap_or_default()));
        }
        file
    }
}

/// One string, over lines where it is long.
fn string(keyword: &str, text: &str) -> String {
    const WIDTH: usize = 110;
    let quoted = |part: &str| serde_json::Value::from(part).to_string();
    if text.chars().count() + keyword.len() < WIDTH && !text.contains('\n') {
        return format!("{keyword} {}\n", quoted(text));
    }
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_inclusive([' ', '\n']) {
        if line.ends_with('\n') || line.chars().count() + word.chars().count() > WIDTH {
            lines.push_str(&format!("{}\n", quoted(&line)));
            line.clear();
        }
        line.push_str(word);
    }
    format!("{keyword} \"\"\n{lines}{}\n", quoted(&line))
}

/// The entry without English is the file's head.
fn keep(catalogue: &mut HashMap<String, String>, (english, translation): (String, String)) {
    if !english.is_empty() && !translation.is_empty() {
        catalogue.insert(english, translation);
    }
}
