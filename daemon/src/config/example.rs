//! The example: every key with what it means. What holds without it, or, of entries, an example.

use super::keys::SECTIONS;

/// What the example begins with.
pub const INTRODUCTION: &str = "\
Nothing here is needed: what stands here is what holds without it, and lines that begin with
\"#\" and no space are examples. Check a change with: offloadd --check-config

What overrides what, the later the earlier: this file, /etc/offloadd/config.d/*.toml in the order
of their names, the environment (OFFLOADD_POLL__INTERVAL=10s), flags (--cache, --builder).
A [[cache]] or [[builder]] with the same name as an earlier one adds to that one, key by key.";

/// The whole of `config.example.toml`.
pub fn example() -> String {
    let mut lines = vec!["# offloadd's configuration: /etc/offloadd/config.toml".to_owned()];
    lines.push("#".to_owned());
    lines.extend(comment(INTRODUCTION));
    for section in &SECTIONS {
        let mark = if section.is_list { "#" } else { "" };
        lines.push(String::new());
        // What is said of entries stands before them, so that they can be taken over as they are.
        if section.is_list {
            lines.extend(comment(section.about));
        }
        lines.push(format!("{mark}{}", section.title()));
        if !section.is_list && !section.about.is_empty() {
            lines.extend(comment(section.about));
            lines.push(String::new());
        }
        for key in section.keys {
            lines.extend(comment(key.about));
            lines.push(format!("{mark}{} = {}", key.name, key.value));
        }
    }
    lines.join("\n") + "\n"
}

fn comment(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines();
    lines.map(|line| format!("# {line}").trim_end().to_owned())
}
