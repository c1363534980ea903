//! A pager for what is longer than the screen, as systemctl has it: `$SYSTEMD_PAGER`, `$PAGER`, else what there is.

use std::{
    env,
    io::Write,
    process::{Child, Command, Stdio},
};

/// What is looked for where nothing is named.
const USUAL: [&str; 3] = ["pager", "less", "more"];
/// Ends where it fits, keeps colours, does not fold, leaves the screen as it was: as systemd has it.
const LESS: &str = "FRSXMK";

/// Shows it and waits until it has been read; whether there was a pager to do that.
pub(super) fn show(text: &str) -> bool {
    let Some(mut pager) = commands(&|name| env::var(name).ok())
        .iter()
        .find_map(|words| start(words))
    else {
        return false;
    };
    if let Some(mut input) = pager.stdin.take() {
        // Who leaves early has read enough.
        let _ = input.write_all(text.as_bytes());
    }
    // Ctrl-C is the pager's meanwhile.
    pager.wait().is_ok()
}

fn start(words: &[String]) -> Option<Child> {
    let (program, arguments) = words.split_first()?;
    let less = env::var("SYSTEMD_LESS").unwrap_or_else(|_| LESS.to_owned());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LESS", less)
        // The page is for reading: under sudo less would start a shell of root's.
        .env("LESSSECURE", "1")
        .stdin(Stdio::piped());
    if !super::output::is_ascii() {
        command.env("LESSCHARSET", "utf-8");
    }
    command.spawn().ok()
}

/// What to try, one after the other; nothing where none is wanted.
fn commands(env: &dyn Fn(&str) -> Option<String>) -> Vec<Vec<String>> {
    if env("TERM").is_some_and(|term| term == "dumb") {
        return Vec::new();
    }
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let named: Option<Vec<String>> = env("SYSTEMD_PAGER")
        .or_else(|| env("PAGER"))
        .map(|pager| words(&pager));
    let usual = USUAL.iter().map(|pager| words(pager));
    match named {
        Some(named) if named.is_empty() || named == ["cat"] => Vec::new(),
        named => named.into_iter().chain(usual).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_is_the_one_that_is_named_and_none_where_that_is_said() {
        let with = |set: &[(&str, &str)]| {
            let found = commands(&|name| {
                let value = set.iter().find(|(known, _)| *known == name);
                value.map(|(_, value)| (*value).to_owned())
            });
            found.first().map(|words| words.join(" "))
        };
        let first = |set: &[(&str, &str)]| with(set).unwrap_or_default();
        assert_eq!(first(&[]), "pager");
        assert_eq!(first(&[("PAGER", "most -s")]), "most -s");
        assert_eq!(
            first(&[("PAGER", "most"), ("SYSTEMD_PAGER", "less")]),
            "less"
        );
        for none in ["", "cat"] {
            assert_eq!(with(&[("PAGER", "less"), ("SYSTEMD_PAGER", none)]), None);
        }
        assert_eq!(with(&[("TERM", "dumb")]), None);
    }
}
