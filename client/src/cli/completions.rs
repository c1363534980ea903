//! What is installed beside the program: completions of its command line, and its manual page.

use clap::CommandFactory;
use clap_complete::{
    generate,
    shells::{Bash, Fish, Zsh},
};

use super::{
    args::{Cli, Shell},
    failure::{Failure, Outcome},
    output::Output,
};

/// Made from the definition of the command line, and held to it by a test (`tests/tests/man/`).
const MAN: &str = include_str!("../../man/offloadctl.1");
/// What the program is called by.
const NAME: &str = "offloadctl";

pub(super) fn script(output: &Output, shell: Shell) -> Result<Outcome, Failure> {
    let (mut command, mut script) = (Cli::command(), Vec::new());
    // One by one: clap's own list has shells that no Linux distribution starts a user in.
    match shell {
        Shell::Bash => generate(Bash, &mut command, NAME, &mut script),
        Shell::Zsh => generate(Zsh, &mut command, NAME, &mut script),
        Shell::Fish => generate(Fish, &mut command, NAME, &mut script),
    }
    output.print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Ready)
}

pub(super) fn man(output: &Output) -> Result<Outcome, Failure> {
    output.print(MAN)?;
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
        }
    }
}
