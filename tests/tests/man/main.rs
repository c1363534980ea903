//! The manual pages are what the programs and the example configuration are, and the pages of the reasons what
//! `offloadctl` says of them.
//!
//! They are committed, so that a package needs nothing to make them. After a change of a command line, of the example or
//! of words make them anew: `OFFLOAD_WRITE_MAN=1 cargo test -p offload-tests --test man`.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus;
mod commands;
mod config;
mod daemon;
mod helper;
mod links;
mod page;
mod program;
mod reasons;
mod words;

use std::{fs, path::PathBuf, process::Command};

use offload_client::Reason;
use offload_tests::{process::system_program, skip::skipped};
use words::Words;

/// Where each is, and what should be there.
fn pages() -> [(&'static str, String); 10] {
    let (english, portuguese) = (&Words::english(), &Words::portuguese());
    [
        ("client/man/offloadctl.1", program::page(english)),
        ("daemon/man/offload-helper.8", helper::page(english)),
        ("daemon/man/offloadd.8", daemon::page(english)),
        ("daemon/man/offloadd.toml.5", config::page(english)),
        ("daemon/man/org.offloadd.Offload1.5", bus::page(english)),
        ("client/man/pt_BR/offloadctl.1", program::page(portuguese)),
        (
            "daemon/man/pt_BR/offload-helper.8",
            helper::page(portuguese),
        ),
        ("daemon/man/pt_BR/offloadd.8", daemon::page(portuguese)),
        ("daemon/man/pt_BR/offloadd.toml.5", config::page(portuguese)),
        (
            "daemon/man/pt_BR/org.offloadd.Offload1.5",
            bus::page(portuguese),
        ),
    ]
}

fn path(page: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(page)
}

#[test]
fn the_committed_pages_are_the_programs_own() {
    let pages = pages().map(|(name, text)| (name.to_owned(), text));
    for (name, expected) in pages.into_iter().chain(reasons::pages()) {
        let name = name.as_str();
        if std::env::var_os("OFFLOAD_WRITE_MAN").is_some() {
            fs::write(path(name), &expected).unwrap();
        }
        let committed = fs::read_to_string(path(name)).unwrap();
        assert!(
            committed == expected,
            "{name} is not what it would be made of now: \
             OFFLOAD_WRITE_MAN=1 cargo test -p offload-tests --test man"
        );
    }
}

#[test]
fn the_pages_are_read_without_a_warning() {
    let Ok(groff) = system_program("groff", "groff-base") else {
        skipped("groff is not installed: nobody has read the manual pages");
        return;
    };
    for (name, _) in pages() {
        let read = Command::new(&groff)
            .args(["-man", "-Tutf8", "-ww", "-P-cbou"])
            .arg(path(name))
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&read.stderr);
        assert_eq!(complaints, "", "{name}");
        let text = String::from_utf8_lossy(&read.stdout);
        let sections = if name.contains("/pt_BR/") {
            ["NOME", "DESCRIÇÃO", "VEJA TAMBÉM"]
        } else {
            ["NAME", "DESCRIPTION", "SEE ALSO"]
        };
        for section in sections {
            assert!(text.contains(section), "{name}: {section}");
        }
        // Nothing of the markup is left over.
        assert!(
            !text.contains('`') && !text.contains("\\f"),
            "{name}: {text}"
        );
    }
}

#[test]
fn a_reason_stands_where_states_are_explained() {
    let states = fs::read_to_string(path("docs/states.md")).unwrap();
    for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::None) {
        assert!(states.contains(&format!("`{reason}`")), "{reason}");
    }
}

/// A page that nothing is made of any more goes with its reason.
#[test]
fn no_page_is_left_of_a_reason_that_went() {
    let pages: Vec<_> = reasons::pages()
        .into_iter()
        .map(|(name, _)| path(&name))
        .collect();
    for entry in fs::read_dir(path("docs/reasons")).unwrap() {
        let found = entry.unwrap().path();
        assert!(pages.contains(&found), "{}", found.display());
    }
}
