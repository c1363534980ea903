//! A manual page in the making: man(7), with `words` between backticks in bold.

use clap::{Arg, ArgAction, Command};
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, italic, roman},
};

use crate::words::Words;

/// The page so far: markup, in ASCII.
pub(crate) struct Page<'a> {
    text: String,
    words: &'a Words,
}

impl<'a> Page<'a> {
    /// `.TH` and NAME. Neither a date nor a version: the page changes when what it says does.
    pub(crate) fn new(words: &'a Words, name: &str, section: &str, does: &str) -> Self {
        // Its preamble too, which defines the apostrophe.
        let mut page = Self {
            text: Roff::new().render(),
            words,
        };
        page.control("TH", &[name, section, "", "offloadd", "offloadd"]);
        // Names are not divided, and keys not stretched over a line.
        page.control("nh", &[]);
        page.control("ad", &["l"]);
        page.section("NAME");
        page.raw(&format!("{name} - {}", words.say(does)));
        page
    }

    pub(crate) fn section(&mut self, title: &str) {
        let title = self.words.say(title);
        self.control("SH", &[&title]);
    }

    pub(crate) fn subsection(&mut self, title: &str) {
        self.control("SS", &[title]);
    }

    /// A word in the language of the page.
    pub(crate) fn say(&self, text: &str) -> String {
        self.words.say(text)
    }

    /// Text that flows.
    pub(crate) fn prose(&mut self, text: &str) {
        let text = self.words.say(text);
        self.raw(&text);
    }

    /// A paragraph in the language of the page already.
    pub(crate) fn told(&mut self, text: &str) {
        self.control("PP", &[]);
        self.raw(text);
    }

    fn raw(&mut self, text: &str) {
        self.line([roman(text)]);
    }

    /// A paragraph of its own.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.control("PP", &[]);
        self.prose(text);
    }

    /// Goes on in a new line.
    pub(crate) fn line_break(&mut self) {
        self.control("br", &[]);
    }

    /// A term, and what it means.
    pub(crate) fn item(&mut self, term: &str, meaning: &str) {
        self.items(&[term], meaning);
    }

    /// Terms that mean one thing together.
    pub(crate) fn items(&mut self, terms: &[&str], meaning: &str) {
        for (i, term) in terms.iter().enumerate() {
            self.control(if i == 0 { "TP" } else { "TQ" }, &[]);
            self.line([bold(*term)]);
        }
        self.prose(meaning);
    }

    /// Lines as they are.
    pub(crate) fn literal(&mut self, text: &str) {
        self.control("PP", &[]);
        self.control("RS", &["4"]);
        self.control("nf", &[]);
        for line in text.lines() {
            self.line([roman(line)]);
        }
        self.control("fi", &[]);
        self.control("RE", &[]);
    }

    /// What can be given to a command, in one line.
    pub(crate) fn synopsis(&mut self, name: &str, command: &Command) {
        let mut line = vec![bold(name)];
        let (places, options): (Vec<&Arg>, Vec<&Arg>) =
            command.get_arguments().partition(|arg| arg.is_positional());
        for arg in options.into_iter().chain(places) {
            let (before, after) = if arg.is_required_set() {
                (" ", "")
            } else {
                (" [", "]")
            };
            line.push(roman(before));
            if let Some(long) = arg.get_long() {
                line.push(bold(format!("--{long}")));
            }
            if arg.get_long().is_some() && takes_value(arg) {
                line.push(roman(" "));
            }
            if takes_value(arg) {
                line.push(italic(arg.get_value_names().unwrap()[0].as_str()));
            }
            line.push(roman(after));
            if matches!(arg.get_action(), ArgAction::Append) {
                line.push(roman("..."));
            }
        }
        if command.has_subcommands() {
            line.extend([roman(" ["), italic("COMMAND"), roman("]")]);
        }
        self.line(line);
    }

    /// The arguments of a command, as clap knows them, under whatever heading stands above.
    pub(crate) fn options(&mut self, command: &Command) {
        let mut rendered = Vec::new();
        let man = Man::new(command.clone());
        man.render_options_section(&mut rendered).unwrap();
        let rendered = String::from_utf8(rendered).unwrap();
        if let Some((_, options)) = rendered.split_once(".SH OPTIONS\n") {
            let mut options = options.to_owned();
            for of_clap in ["Print help", "Print version"] {
                options = options.replace(of_clap, &self.words.say(of_clap));
            }
            self.markup(&options);
        }
    }

    /// What clap shows below a command's help. What begins with a label stands on a line of its own.
    pub(crate) fn notes(&mut self, command: &Command) {
        let Some(help) = command.get_after_help() else {
            return;
        };
        self.control("PP", &[]);
        for (i, line) in help.to_string().lines().enumerate() {
            let label = line.split_once(": ").map(|(label, _)| label);
            if i > 0 && label.is_some_and(|label| label.split(' ').count() <= 3) {
                self.line_break();
            }
            self.raw(line);
        }
    }

    /// SEE ALSO, the last.
    pub(crate) fn see_also(mut self, pages: &[&str]) -> String {
        self.section("SEE ALSO");
        let mut line = Vec::new();
        for (i, page) in pages.iter().enumerate() {
            let (name, section) = page.split_once('(').unwrap();
            line.extend([
                roman(if i == 0 { "" } else { ", " }),
                bold(name),
                roman(format!("({section}")),
            ]);
        }
        self.line(line);
        self.text
    }

    fn control(&mut self, name: &str, arguments: &[&str]) {
        let mut roff = Roff::new();
        // What the page is called is told apart from the lines of its own: empty ones stay in place.
        let arguments = arguments.iter().map(|argument| match *argument {
            "" => "\"\"",
            argument => argument,
        });
        roff.control(name, arguments);
        self.markup(&roff.to_roff());
    }

    fn line(&mut self, inlines: impl Into<Vec<Inline>>) {
        let mut roff = Roff::new();
        roff.text(inlines);
        let rendered = roff.render();
        let preamble = Roff::new().render();
        self.markup(rendered.strip_prefix(&preamble).unwrap());
    }

    fn markup(&mut self, markup: &str) {
        assert!(
            markup.matches('`').count().is_multiple_of(2),
            "a backtick without its other: {markup}"
        );
        for (i, part) in markup.split('`').enumerate() {
            match i {
                0 => {}
                i if i.is_multiple_of(2) => self.text.push_str("\\fR"),
                _ => self.text.push_str("\\fB"),
            }
            for c in part.chars() {
                if c.is_ascii() {
                    self.text.push(c);
                } else {
                    // groff takes no UTF-8 by itself.
                    self.text.push_str(&format!("\\[u{:04X}]", u32::from(c)));
                }
            }
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}
