//! offloadd.toml(5), made of the table of keys.

use offloadd::config::{INTRODUCTION, SECTIONS};

use crate::{page::Page, words::Words};

pub(crate) fn page(words: &Words) -> String {
    let mut page = Page::new(words, "offloadd.toml", "5", "configuration of offloadd");
    page.section("SYNOPSIS");
    page.prose("/etc/offloadd/config.toml");
    page.paragraph("/etc/offloadd/config.d/*.toml");
    page.section("DESCRIPTION");
    page.prose(
        "The files are TOML: tables of keys. A key that does not exist, and a value that makes no sense, \
         is a mistake, which is told with the file, the key and the nearest one that there is.",
    );
    // The first paragraph says how the example is to be read.
    for paragraph in INTRODUCTION.split("\n\n").skip(1) {
        page.paragraph(&joined(paragraph));
    }
    page.paragraph(
        "A change is taken up within a second. `offloadd --check-config` checks it, and shows what holds and where each value \
         comes from.",
    );
    page.paragraph(
        "Below, beside each key of `[poll]`, `[nix]` and `[discover]` is what holds without it, and beside \
         each of `[[cache]]` and `[[builder]]` an example.",
    );
    for section in &SECTIONS {
        page.section(&section.title());
        if !section.about.is_empty() {
            page.prose(&joined(section.about));
        }
        let mut keys = section.keys.iter().peekable();
        while let Some(key) = keys.next() {
            let mut lines = vec![format!("{} = {}", key.name, key.value)];
            while let Some(key) = keys.next_if(|key| key.about.is_empty()) {
                lines.push(format!("{} = {}", key.name, key.value));
            }
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            page.items(&lines, &joined(key.about));
        }
    }
    page.section("EXAMPLES");
    page.prose("A desktop that Nix knows by one address, and that may be at another:");
    page.literal("[[builder]]\nname = \"desktop\"\naddresses = [\"192.0.2.6\", \"192.0.2.7\"]");
    page.paragraph("Less often, and also by multicast DNS:");
    page.literal("[poll]\ninterval = \"1m\"\n\n[discover]\nmdns = true");
    page.see_also(&["offloadd(8)", "offloadctl(1)", "nix.conf(5)"])
}

/// Without the ends of the example's lines.
fn joined(text: &str) -> String {
    text.replace('\n', " ")
}
