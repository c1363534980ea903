//! offloadd.toml(5), from the example configuration: whatever is explained there is in the page.

use std::fs;

use offloadd::config::{self, Sources};

use crate::{page::Page, path};

/// What the example says before its first section, or at the head of one, and then key by key.
#[derive(Debug, Default, PartialEq, Eq)]
struct Section {
    /// As it is written: `[poll]`, `[[cache]]`.
    title: String,
    paragraphs: Vec<String>,
    keys: Vec<Keys>,
}

/// Keys that stand below each other without a comment between them: it is said of them together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Keys {
    lines: Vec<String>,
    meaning: String,
}

pub(crate) fn page() -> String {
    let sections = read(&example());
    let (head, sections) = sections.split_first().unwrap();
    let mut page = Page::new("offloadd.toml", "5", "configuration of offloadd");
    page.section("SYNOPSIS");
    page.prose("/etc/offloadd/config.toml");
    page.paragraph("/etc/offloadd/config.d/*.toml");
    page.section("DESCRIPTION");
    page.prose(
        "The files are TOML: tables of keys. A key that does not exist, and a value that makes no sense, \
         is a mistake, which is told with the file, the key and the nearest one that there is.",
    );
    // The first paragraph is the example's title, the second says how the example is to be read.
    for paragraph in &head.paragraphs[2..] {
        page.paragraph(paragraph);
    }
    page.paragraph(
        "`offloadd --check-config` checks a change, and shows what holds and where each value comes from; \
         `systemctl reload offloadd` takes it up.",
    );
    page.paragraph(
        "Below, beside each key of `[poll]`, `[nix]` and `[discover]` is what holds without it, and beside \
         each of `[[cache]]` and `[[builder]]` an example.",
    );
    for section in sections {
        page.section(&section.title);
        for (i, paragraph) in section.paragraphs.iter().enumerate() {
            match i {
                0 => page.prose(paragraph),
                _ => page.paragraph(paragraph),
            }
        }
        for keys in &section.keys {
            let lines: Vec<_> = keys.lines.iter().map(String::as_str).collect();
            page.items(&lines, &keys.meaning);
        }
    }
    page.section("EXAMPLES");
    page.prose("A desktop that Nix knows by one address, and that may be at another:");
    page.literal("[[builder]]\nname = \"desktop\"\naddresses = [\"192.0.2.6\", \"192.0.2.7\"]");
    page.paragraph("Less often, and also by multicast DNS:");
    page.literal("[poll]\ninterval = \"1m\"\n\n[discover]\nmdns = true");
    page.see_also(&["offloadd(8)", "offloadctl(1)", "nix.conf(5)"])
}

fn example() -> String {
    fs::read_to_string(path("systemd/config.example.toml")).unwrap()
}

/// `# Words` are a comment, `#key = …` is an example to take over; an empty line, or a comment without
/// words, ends a paragraph.
fn read(example: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut said: Vec<&str> = Vec::new();
    let mut below_a_key = false;
    for line in example.lines() {
        let section = sections.last_mut().unwrap();
        if line.is_empty() || line == "#" {
            if !said.is_empty() {
                section.paragraphs.push(said.join(" "));
            }
            said.clear();
            below_a_key = false;
            continue;
        }
        if let Some(words) = line.strip_prefix("# ") {
            said.push(words);
            continue;
        }
        let line = line.strip_prefix('#').unwrap_or(line);
        let comment = std::mem::take(&mut said).join(" ");
        if line.starts_with('[') {
            sections.push(Section {
                title: line.to_owned(),
                paragraphs: [comment]
                    .into_iter()
                    .filter(|said| !said.is_empty())
                    .collect(),
                keys: Vec::new(),
            });
            below_a_key = false;
            continue;
        }
        match section.keys.last_mut() {
            Some(above) if below_a_key && comment.is_empty() => above.lines.push(line.to_owned()),
            _ => {
                assert!(!comment.is_empty(), "the example says nothing of {line}");
                section.keys.push(Keys {
                    lines: vec![line.to_owned()],
                    meaning: comment,
                });
            }
        }
        below_a_key = true;
    }
    assert!(said.is_empty(), "a comment at the end is of nothing");
    sections
}

#[test]
fn comments_and_keys_are_told_apart() {
    let sections = read(
        "# title\n\n# intro\n# goes on\n#\n# more\n\n[a]\n# of a\n\n# of x\nx = 1\ny = 2\n# of z\nz = 3\n\n\
         # of b\n#[[b]]\n# of n\n#n = \"#\"\n",
    );
    let keys = |lines: &[&str], meaning: &str| Keys {
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        meaning: meaning.to_owned(),
    };
    let section = |title: &str, paragraphs: &[&str], keys| Section {
        title: title.to_owned(),
        paragraphs: paragraphs.iter().map(|said| (*said).to_owned()).collect(),
        keys,
    };
    let expected = [
        section("", &["title", "intro goes on", "more"], vec![]),
        section(
            "[a]",
            &["of a"],
            vec![keys(&["x = 1", "y = 2"], "of x"), keys(&["z = 3"], "of z")],
        ),
        section("[[b]]", &["of b"], vec![keys(&["n = \"#\""], "of n")]),
    ];
    assert_eq!(sections, expected);
}

/// The daemon's own list of what it reads, where every key is set, is in the committed page.
#[test]
fn every_key_that_the_daemon_reads_is_in_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let uncommented = example().lines().fold(String::new(), |mut text, line| {
        text += match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest,
            _ => line,
        };
        text + "\n"
    });
    fs::write(&file, uncommented).unwrap();
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    let shown = config::describe(&sources).unwrap();
    let page = fs::read_to_string(path("daemon/man/offloadd.toml.5")).unwrap();
    let mut sections = page
        .split("\n.SH ")
        .map(|section| section.split_once('\n').unwrap());
    let mut here = "";
    let mut keys = 0;
    for line in shown.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            let title = line.trim();
            let found = sections.find(|(found, _)| *found == title);
            here = found
                .unwrap_or_else(|| panic!("{title} is not in the page"))
                .1;
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys += 1;
            assert!(here.contains(&format!("\n\\fB{key} = ")), "{key}: {here}");
        }
    }
    assert!(keys > 20, "{shown}");
}
