//! What is installed beside the program: completions of its command line, and its manual page.

use std::{collections::BTreeSet, time::Duration};

use clap::CommandFactory;
use clap_complete::{
    Generator, generate,
    shells::{Bash, Fish, Zsh},
};
use tokio::time::timeout;

use super::{
    args::{Cli, NAME, Shell},
    failure::{Failure, Outcome},
    output::Output,
    session::Session,
};
use crate::{Kind, language::is_english};

/// Made from the definition of the command line, and held to it by a test (`tests/tests/man/`).
const MAN: &str = include_str!("../../man/offloadctl.1");
const MAN_PT_BR: &str = include_str!("../../man/pt_BR/offloadctl.1");
/// How long a shell waits for the names of targets.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn script(cli: &Cli, output: &Output, shell: Shell) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    // One by one: clap's own list has shells that no Linux distribution starts a user in.
    let text = match shell {
        Shell::Bash => bash(&generated(Bash, &mut script)),
        Shell::Zsh => zsh(&generated(Zsh, &mut script)),
        Shell::Fish => fish(&generated(Fish, &mut script)),
        Shell::Targets => names(cli, &[Kind::Cache, Kind::Builder]).await?,
        Shell::Builders => names(cli, &[Kind::Builder]).await?,
        Shell::Caches => names(cli, &[Kind::Cache]).await?,
    };
    output.print(&text)?;
    Ok(Outcome::Ready)
}

fn generated(shell: impl Generator, script: &mut Vec<u8>) -> String {
    generate(shell, &mut Cli::command(), NAME, script);
    String::from_utf8_lossy(script).into_owned()
}

/// What a shell may offer for a target, a name a line; a daemon that does not run is not started for it.
async fn names(cli: &Cli, kinds: &[Kind]) -> Result<String, Failure> {
    let read = async {
        let session = Session::open(cli).await?;
        Ok::<_, Failure>(session.client.snapshot_if_running().await?)
    };
    let read = timeout(PATIENCE, read).await;
    let snapshot = read.map_err(|_| Failure::Silent)??;
    let chosen = snapshot.targets.iter();
    let chosen: Vec<_> = chosen.filter(|it| kinds.contains(&it.kind)).collect();
    let mut words: Vec<String> = chosen.iter().map(|it| it.name.to_string()).collect();
    // One host's both have a name in common.
    if kinds.len() > 1 {
        words.extend(chosen.iter().map(|it| it.label()));
    }
    let mut seen = BTreeSet::new();
    words.retain(|word| is_plain(word) && seen.insert(word.clone()));
    Ok(words.iter().map(|word| format!("{word}\n")).collect())
}

/// Whether it is no more than a word to any shell: bash expands what it is given to choose from.
fn is_plain(word: &str) -> bool {
    let mut chars = word.chars();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "._-:@/+".contains(c);
    !word.is_empty() && !word.starts_with('-') && chars.all(is_safe)
}

/// The commands whose argument is a target, and whose names are offered for it.
fn of_targets() -> Vec<(String, &'static str)> {
    let of = |command: &clap::Command| {
        let mut given = command.get_positionals();
        let whose = given.find_map(|argument| match argument.get_id().as_str() {
            "target" | "desktop" => Some("targets"),
            "builder" => Some("builders"),
            "cache" => Some("caches"),
            _ => None,
        });
        Some((command.get_name().to_owned(), whose?))
    };
    Cli::command().get_subcommands().filter_map(of).collect()
}

/// clap's script offers options alone; the names stand beside them.
fn bash(script: &str) -> String {
    let mut script = script.to_owned();
    for (command, whose) in of_targets() {
        let options = format!(
            "{NAME}__subcmd__{})\n            opts=\"",
            command.replace('-', "__subcmd__")
        );
        let names = format!("{options}$({NAME} completions {whose} 2>/dev/null) ");
        script = script.replace(&options, &names);
    }
    script
}

/// clap's script offers files where it knows nothing better.
fn zsh(script: &str) -> String {
    let mut lines = String::new();
    for line in script.lines() {
        // Where the file ends by calling or announcing its function.
        if line.starts_with("if [ \"$funcstack[1]\"") {
            lines += ZSH_NAMES;
        }
        let known = [
            ("'::target -- ", "targets"),
            ("'::desktop -- ", "targets"),
            ("'::builder -- ", "builders"),
            ("'::cache -- ", "caches"),
        ];
        match known.iter().find(|(start, _)| line.starts_with(start)) {
            Some((_, whose)) => {
                lines += &line.replace(":_default'", &format!(":_{NAME}_names {whose}'"));
            }
            None => lines.push_str(line),
        }
        lines.push('\n');
    }
    lines
}

/// What `_arguments` calls with options for compadd, and whose names they are.
const ZSH_NAMES: &str = r#"(( $+functions[_offloadctl_names] )) ||
_offloadctl_names() {
    local -a names
    names=(${(f)"$(offloadctl completions $@[-1] 2>/dev/null)"})
    compadd "${@[1,-2]}" -a names
}

"#;

fn fish(script: &str) -> String {
    let mut script = script.to_owned();
    for (command, whose) in of_targets() {
        script += &format!(
            "complete -c {NAME} -n \"__fish_{NAME}_using_subcommand {command}\" -f -a \"({NAME} completions {whose} 2>/dev/null)\"\n"
        );
    }
    script
}

pub(super) fn man(output: &Output) -> Result<Outcome, Failure> {
    output.print(if is_english() { MAN } else { MAN_PT_BR })?;
    Ok(Outcome::Ready)
}

#[cfg(test)]
mod tests {
    use super::{super::failure::CODES, *};

    #[test]
    fn every_exit_status_is_in_the_page() {
        for code in CODES {
            let item = format!(".TP\n\\fB{code}\\fR\n");
            assert!(MAN.contains(&item), "{code}");
            assert!(MAN_PT_BR.contains(&item), "{code}");
        }
    }
}
