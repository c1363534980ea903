//! What the pages are said in. English stands in their modules and is the key to the others: `client/po/pt_BR.po` has
//! what the programs say too, `client/po/man.pt_BR.po` the rest.

use std::{cell::RefCell, fs};

use clap::Command;
use offload_client::language::{Catalogue, portuguese};

use crate::path;

/// A language.
pub(crate) struct Words {
    /// Nothing for English.
    catalogues: Option<(Catalogue, Catalogue)>,
    /// What only the pages say, in their order.
    asked: RefCell<Vec<String>>,
}

const FILE: &str = "client/po/man.pt_BR.po";

impl Words {
    pub(crate) fn english() -> Self {
        Self::of(None)
    }

    pub(crate) fn portuguese() -> Self {
        let file = fs::read_to_string(path(FILE)).unwrap_or_default();
        Self::of(Some((portuguese(), Catalogue::read(&file))))
    }

    const fn of(catalogues: Option<(Catalogue, Catalogue)>) -> Self {
        Self {
            catalogues,
            asked: RefCell::new(Vec::new()),
        }
    }

    /// `text` in this language. Names of files, of tables and of interfaces are what they are.
    pub(crate) fn say(&self, text: &str) -> String {
        let Some((of_programs, of_pages)) = &self.catalogues else {
            return text.to_owned();
        };
        if text.is_empty() || text.starts_with(['/', '[']) || text.starts_with("org.offloadd.") {
            return text.to_owned();
        }
        if let Some(known) = of_programs.get(text) {
            return known.to_owned();
        }
        let mut asked = self.asked.borrow_mut();
        if !asked.iter().any(|it| it == text) {
            asked.push(text.to_owned());
        }
        of_pages.get(text).unwrap_or(text).to_owned()
    }

    /// A command line in this language.
    pub(crate) fn command(&self, command: Command) -> Command {
        if self.catalogues.is_none() {
            return command;
        }
        offload_client::cli::translate(command, &|text| Some(self.say(text)))
    }
}

#[test]
fn the_pages_catalogue_is_whole() {
    let words = Words::portuguese();
    for page in [
        crate::program::page,
        crate::daemon::page,
        crate::config::page,
        crate::helper::page,
        crate::bus::page,
    ] {
        page(&words);
    }
    let asked = words.asked.borrow();
    let (_, catalogue) = words.catalogues.as_ref().unwrap();
    let texts = asked.iter().map(|text| ("tests/tests/man", text.as_str()));
    let written = catalogue.written(HEAD, texts);
    if std::env::var_os("OFFLOAD_WRITE_MAN").is_some() {
        fs::write(path(FILE), &written).unwrap();
        return;
    }
    let missing = asked.iter().filter(|text| catalogue.get(text).is_none());
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let commands = |text: &str| {
        let mut commands: Vec<_> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        commands.sort();
        commands
    };
    for english in asked.iter() {
        let translation = catalogue.get(english).unwrap_or_default();
        assert_eq!(commands(english), commands(translation), "{english}");
    }
    assert_eq!(fs::read_to_string(path(FILE)).unwrap(), written, "{FILE}");
}

const HEAD: &str = "# The manual pages in Portuguese of Brazil, but for what the programs say themselves (pt_BR.po).\n\
                    # `OFFLOAD_WRITE_MAN=1 cargo nextest run -p offload-tests --test man` adds what the pages say and takes out\n\
                    # what they say no more; the translations are written by hand.\nmsgid \"\"\nmsgstr \"\"\n\
                    \"Language: pt_BR\\n\"\n\"MIME-Version: 1.0\\n\"\n\"Content-Type: text/plain; charset=UTF-8\\n\"\n\
                    \"Content-Transfer-Encoding: 8bit\\n\"\n";
