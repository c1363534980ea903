//! Every text that people are told, read out of the code.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One text, and where it stands first.
pub(super) struct Text {
    pub(super) english: String,
    pub(super) file: String,
    pub(super) is_title: bool,
}

/// Each text once, in the order of files and lines.
pub(super) fn texts() -> Vec<Text> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    files.sort();
    let mut found = Found::default();
    for file in files {
        let code = std::fs::read_to_string(&file).unwrap();
        // Tests say what they like.
        let code = code.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        found.file = file.strip_prefix(root).unwrap().display().to_string();
        found.has_table =
            found.file.starts_with("src/reasons") || found.file.starts_with("src/warnings");
        found.look(code.parse().unwrap());
    }
    found.file = "src/cli/args.rs".to_owned();
    let mut command = crate::cli::command();
    // What clap adds is in it then.
    command.build();
    found.help(&command);
    found.texts
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_tests = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") && !is_tests {
            files.push(path);
        }
    }
}

#[derive(Default)]
struct Found {
    texts: Vec<Text>,
    seen: HashSet<String>,
    file: String,
    has_table: bool,
}

impl Found {
    /// Takes what `tr("…")`, `tr_later("…")` and `say!("…", …)` say, and the fields of the tables.
    fn look(&mut self, code: TokenStream) {
        let trees: Vec<TokenTree> = code.into_iter().collect();
        for (i, tree) in trees.iter().enumerate() {
            match tree {
                TokenTree::Ident(name) => {
                    let name = name.to_string();
                    let at = |distance: usize| trees.get(i + distance);
                    match name.as_str() {
                        "tr" | "tr_later" => self.argument(at(1)),
                        "say" => self.argument(at(2)),
                        "title" | "explanation" | "remedy" | "REMEDY" if self.has_table => {
                            let next = trees[i..].iter().skip(1);
                            let mut next = next.take_while(|tree| {
                                !matches!(tree, TokenTree::Punct(sign) if [',', ';'].contains(&sign.as_char()))
                            });
                            if let Some(literal) =
                                next.find(|tree| matches!(tree, TokenTree::Literal(_)))
                            {
                                self.take(literal, name == "title");
                            }
                        }
                        _ => {}
                    }
                }
                TokenTree::Group(group) => self.look(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// What a command line says of itself.
    fn help(&mut self, command: &clap::Command) {
        let said = [command.get_about(), command.get_after_help()];
        let arguments = command.get_arguments().map(clap::Arg::get_help);
        for text in said.into_iter().chain(arguments).flatten() {
            self.add(text.to_string(), false);
        }
        command.get_subcommands().for_each(|it| self.help(it));
    }

    fn argument(&mut self, tree: Option<&TokenTree>) {
        if let Some(TokenTree::Group(group)) = tree
            && group.delimiter() == Delimiter::Parenthesis
            && let Some(literal) = group.stream().into_iter().next()
        {
            self.take(&literal, false);
        }
    }

    fn take(&mut self, literal: &TokenTree, is_title: bool) {
        let Ok(literal) = syn::parse2::<syn::LitStr>(TokenStream::from(literal.clone())) else {
            return;
        };
        self.add(literal.value(), is_title);
    }

    fn add(&mut self, english: String, is_title: bool) {
        if !english.is_empty() && self.seen.insert(english.clone()) {
            let file = self.file.clone();
            self.texts.push(Text {
                english,
                file,
                is_title,
            });
        }
    }
}
