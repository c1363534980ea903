//! The command line in another language: its help, and what clap says of a mistake. English is clap's own.

use clap::{Arg, Command};

use super::{is_english, tr, tr_later, translated};

/// Below which arguments, options and commands stand, and what clap adds to them.
const USAGE: &str = tr_later("Usage:");
const COMMANDS: &str = tr_later("Commands");
const OPTIONS: &str = tr_later("Options");
const ARGUMENTS: &str = tr_later("Arguments");
const DEFAULT: &str = tr_later("default:");
const VALUES: &str = tr_later("possible values:");

/// What clap's errors are made of.
const ERRORS: [&str; 19] = [
    tr_later("error: "),
    tr_later("  tip: "),
    tr_later("a similar argument exists: "),
    tr_later("a similar subcommand exists: "),
    tr_later("some similar subcommands exist: "),
    tr_later("a similar value exists: "),
    tr_later("to pass "),
    tr_later(" as a value, use "),
    tr_later("the following required arguments were not provided:"),
    tr_later("unexpected argument "),
    tr_later("unrecognized subcommand "),
    tr_later("invalid value "),
    tr_later("a value is required for "),
    tr_later(" but none was supplied"),
    tr_later("' for '"),
    tr_later("the argument "),
    tr_later(" cannot be used with "),
    tr_later(" cannot be used multiple times"),
    tr_later("For more information, try "),
];

/// `command` as `say` has it: what it is about, its arguments, its notes, and the same of its commands. What `say` has
/// nothing for stays as it is.
pub fn translate(command: Command, say: &dyn Fn(&str) -> Option<String>) -> Command {
    let or_as_it_is = |text: String| say(&text).unwrap_or(text);
    let about = command
        .get_about()
        .map(|text| or_as_it_is(text.to_string()));
    let notes = command
        .get_after_help()
        .map(|text| or_as_it_is(text.to_string()));
    let mut command = command.mut_args(|arg| argument(arg, say));
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(notes) = notes {
        command = command.after_help(notes);
    }
    command.mut_subcommands(|command| translate(command, say))
}

/// Defaults and values stand in the help: clap would add them in English.
fn argument(arg: Arg, say: &dyn Fn(&str) -> Option<String>) -> Arg {
    let Some(help) = arg.get_help() else {
        return arg;
    };
    let help = help.to_string();
    let mut help = say(&help).unwrap_or(help);
    if !arg.get_action().takes_values() {
        return arg.help(help);
    }
    let word = |text: &str| say(text).unwrap_or_else(|| text.to_owned());
    let defaults: Vec<_> = arg.get_default_values().iter().collect();
    if let ([default], false) = (&*defaults, arg.is_hide_default_value_set()) {
        let default = default.to_string_lossy();
        help.push_str(&format!(" [{} {default}]", word(DEFAULT)));
    }
    let values = arg.get_possible_values();
    let values = values.iter().filter(|value| !value.is_hide_set());
    let values: Vec<&str> = values.map(clap::builder::PossibleValue::get_name).collect();
    if !values.is_empty() {
        let values = values.join(", ");
        help.push_str(&format!(" [{} {values}]", word(VALUES)));
    }
    arg.help(help)
        .hide_default_value(true)
        .hide_possible_values(true)
}

/// The definition of the command line with its help in the language of this process.
pub fn spoken(mut command: Command) -> Command {
    if is_english() {
        return command;
    }
    // It has all its arguments and commands then, clap's own too.
    command.build();
    headed(translate(command, &|text| {
        translated(text).map(str::to_owned)
    }))
}

fn headed(mut command: Command) -> Command {
    let usage = command.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let usage = usage.replace("[OPTIONS]", &options());
    command
        .override_usage(usage)
        .help_template(format!(
            "{{before-help}}{{about-with-newline}}\n{} {{usage}}\n\n{{all-args}}{{after-help}}",
            tr(USAGE)
        ))
        .subcommand_help_heading(tr(COMMANDS))
        .mut_args(|arg| {
            let heading = if arg.is_positional() {
                ARGUMENTS
            } else {
                OPTIONS
            };
            arg.help_heading(tr(heading))
        })
        .mut_subcommands(headed)
}

fn options() -> String {
    format!("[{}]", tr(OPTIONS).to_uppercase())
}

/// An error of clap's in the language of this process.
pub fn error(error: &clap::Error) -> String {
    let said = error.render().to_string();
    if is_english() {
        return said;
    }
    let said = said.replace("Usage:", tr(USAGE));
    let said = said.replace("[possible values:", &format!("[{}", tr(VALUES)));
    let said = said.replace("' found\n", "'\n");
    let said = said.replace("[OPTIONS]", &options());
    ERRORS
        .iter()
        .fold(said, |said, text| said.replace(text, tr(text)))
}
