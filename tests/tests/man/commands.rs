//! Commands in the documentation: each is one that its program takes, so that none is pasted in vain.

use std::fs;

use clap::{CommandFactory, error::ErrorKind};
use offload_tests::practice::Word;

use crate::path;

const DOCUMENTS: [&str; 7] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/practice.md",
    "docs/offloadctl.md",
    "docs/install.md",
    "docs/dbus.md",
    "docs/fleet/README.md",
];
/// What stands for something, and what it may be.
const EXAMPLES: [(&str, &str); 5] = [
    ("[TARGET]", "desktop"),
    ("[BUILDER]", "desktop"),
    ("[CACHE]", "desktop"),
    ("[DURATION]", "1h"),
    ("SHELL", "bash"),
];

#[test]
fn every_command_is_one_that_its_program_takes() {
    let mut seen = 0;
    for document in DOCUMENTS {
        let text = fs::read_to_string(path(document)).unwrap();
        for command in commands(&text) {
            let mut words = shell_words(&command);
            let is_end = |word: &String| word == "&&" || word == "|";
            while let Some(at) = words.iter().position(is_end) {
                seen += usize::from(is_taken(document, &words[..at]));
                words.drain(..=at);
            }
            seen += usize::from(is_taken(document, &words));
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
}

/// Lines of shell, and what stands in prose between backticks.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language),
            (Some(_), Some(_)) => fence = None,
            (None, Some("sh")) => commands.push(line.split(" # ").next().unwrap().to_owned()),
            (None, Some(_)) => {}
            (None, None) => {
                let code = line.split('`').skip(1).step_by(2);
                commands.extend(code.map(str::to_owned));
            }
        }
    }
    commands
}

fn shell_words(command: &str) -> Vec<String> {
    let words = command.split_whitespace();
    words
        .map(|word| {
            let meant = EXAMPLES
                .iter()
                .find(|(placeholder, _)| word == *placeholder);
            meant.map_or(word, |(_, example)| example).to_owned()
        })
        .collect()
}

/// Whether it is a command of ours at all; it must be one that is taken.
fn is_taken(document: &str, words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["cargo", "practice"] => true,
        ["cargo", "practice", "WORD" | "tour" | "status" | "help"] => true,
        ["cargo", "practice", word, ..] => {
            assert!(Word::parse(word).is_some(), "{document}: {words:?}");
            true
        }
        ["make", target] => {
            let makefile = fs::read_to_string(path("Makefile")).unwrap();
            let rule = format!("\n{target}:");
            assert!(makefile.contains(&rule), "{document}: {words:?}");
            true
        }
        ["offloadctl", ..] => {
            // An ellipsis or a placeholder of a page stands for more than one word.
            if words.iter().any(|word| word.contains('…')) {
                return false;
            }
            let command = offload_client::cli::command();
            let refused = command.try_get_matches_from(&words).err();
            // The name of a command that takes more than that.
            let is_name = |error: &clap::Error| {
                words.len() == 2 && error.kind() == ErrorKind::MissingRequiredArgument
            };
            let refused = refused.filter(|error| !is_name(error));
            assert!(refused.is_none(), "{document}: {words:?}: {refused:?}");
            true
        }
        [
            "cargo",
            "run",
            "--release",
            "--bin",
            "offloadd",
            "--",
            arguments @ ..,
        ]
        | ["offloadd", arguments @ ..] => {
            let words = ["offloadd"].iter().chain(arguments);
            let command = offloadd::cli::Cli::command();
            let refused = command.try_get_matches_from(words).err();
            let is_asked_for = |error: &clap::Error| error.kind() == ErrorKind::DisplayHelp;
            let refused = refused.filter(|error| !is_asked_for(error));
            assert!(refused.is_none(), "{document}: {arguments:?}: {refused:?}");
            true
        }
        _ => false,
    }
}
