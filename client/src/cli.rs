//! `offloadctl`: the status of the desktop, for people and scripts.

mod args;
mod bar;
mod check;
mod completions;
mod connect;
mod discover;
mod doctor;
mod document;
mod explain;
mod failure;
mod forget_misses;
mod goal;
mod history;
mod hold;
mod json;
mod notify;
mod output;
mod pager;
mod pause;
mod session;
mod spinner;
mod status;
mod steer;
mod test_build;
mod top;
mod tray;
mod wait;
mod wake;
mod watch;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::CommandFactory;

use args::{Cli, Command};
use failure::{Failure, Outcome};
use goal::Goal;
use output::Output;

use crate::language::{self, help};

pub use crate::language::help::translate;

/// Runs the program with the process's arguments. Exit codes: 0 ready or done, 3 not ready, 4 no
/// daemon, 64 usage; what else can go wrong has the code that sysexits.h has for it.
pub fn main() -> ExitCode {
    language::follow(|name| std::env::var(name).ok());
    let args: Vec<OsString> = std::env::args_os().collect();
    let wants_json = args.iter().any(|argument| argument == "--json");
    let cli = match args::read(args) {
        Ok(cli) => cli,
        Err(error) => {
            let is_mistake = error.use_stderr();
            let said = help::error(&error);
            if is_mistake && wants_json {
                say(&json::of_usage(&said, failure::USAGE));
            }
            // Help and version come this way too; a closed pipe is no reason to complain.
            let _ = if is_mistake && !language::is_english() {
                io::stderr().write_all(said.as_bytes())
            } else {
                error.print()
            };
            return ExitCode::from(if error.use_stderr() {
                failure::USAGE
            } else {
                0
            });
        }
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // A local one, without the scheduler for many threads and the libm that it takes.
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(Failure::Runtime)
        .and_then(|runtime| {
            let outcome = runtime.block_on(async {
                tokio::select! {
                    outcome = run(&cli) => outcome,
                    failure = interrupted(&cli) => Err(failure),
                }
            });
            // A name that is still being looked up is waited for by nobody.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) => {
            if cli.json
                && let Some(failed) = json::of_failure(&failure, &cli)
            {
                say(&failed);
            }
            failure.report(&cli);
            ExitCode::from(failure.code())
        }
    }
}

/// Where standard output can't be written the exit code has to do.
fn say(failed: &json::Failed) {
    if let Ok(line) = json::line(failed) {
        let _ = io::stdout().write_all(line.as_bytes());
    }
}

/// The definition of the command line, which its manual page is made of.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Comes back with Ctrl-C, so that a spinner takes its line away; what has a way of its own to end is left alone.
async fn interrupted(cli: &Cli) -> Failure {
    if let Some(Command::Hold { .. } | Command::TestBuild { .. } | Command::Top) = cli.command {
        return std::future::pending().await;
    }
    match tokio::signal::ctrl_c().await {
        Ok(()) => Failure::Stopped,
        Err(error) => Failure::Runtime(error),
    }
}

async fn run(cli: &Cli) -> Result<Outcome, Failure> {
    let output = Output::new(cli);
    match cli
        .command
        .as_ref()
        .unwrap_or(&Command::Status { target: None })
    {
        Command::Status { target } => status::status(cli, output, target.as_deref()).await,
        Command::Check { target } => check::check(cli, output, target.as_deref()).await,
        Command::Discover => discover::discover(cli, output).await,
        Command::Bar { format, once } => bar::bar(cli, output, *format, *once).await,
        Command::Notify { after } => notify::notify(cli, *after).await,
        Command::Top => top::top(cli, output).await,
        Command::Tray => tray::tray(cli).await,
        Command::Watch => watch::watch(cli, output).await,
        Command::Wait {
            target,
            any_builder,
            timeout,
        } => {
            let goal = if *any_builder {
                Goal::AnyBuilder
            } else {
                Goal::targets(target.as_deref())
            };
            wait::wait(cli, output, goal, *timeout).await
        }
        Command::Hold { target, timeout } => {
            hold::hold(cli, output, target.as_deref(), *timeout).await
        }
        Command::IsReady { target } => status::is_ready(cli, output, target.as_deref()).await,
        Command::History { target, max } => {
            history::history(cli, output, target.as_deref(), *max).await
        }
        Command::Explain {
            path,
            system,
            feature,
            prefer_local,
        } => {
            let question = explain::Question {
                path: path.as_deref(),
                system: system.as_deref(),
                features: feature,
                prefers_local: *prefer_local,
            };
            explain::explain(cli, output, question).await
        }
        Command::TestBuild { builder, timeout } => {
            test_build::test_build(cli, output, builder.as_deref(), *timeout).await
        }
        Command::Doctor { config_dir, patch } => {
            let form = match (cli.json, patch) {
                (true, _) => doctor::Form::Json,
                (false, true) => doctor::Form::Patch,
                (false, false) => doctor::Form::Page,
            };
            doctor::doctor(cli, output, config_dir.as_deref(), form).await
        }
        Command::Connect { host, port } => connect::connect(cli, host, *port).await,
        Command::Steer { print: _ } => steer::steer(cli, output).await,
        Command::Wake { desktop } => wake::wake(cli, output, desktop.as_deref()).await,
        Command::ForgetMisses { cache } => {
            forget_misses::forget_misses(cli, output, cache.as_deref()).await
        }
        Command::Pause { duration } => pause::pause(cli, output, *duration).await,
        Command::Resume => pause::resume(cli, output).await,
        Command::Completions { shell } => completions::script(cli, &output, *shell).await,
        Command::Man => completions::man(&output),
    }
}
