//! `offloadd`: watches the desktop this machine's Nix builds on, and publishes its health.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use offload_client::page;
use offloadd::{
    Options,
    cli::{Cli, exit},
    clock::Now,
    config::{self, Settings, Sources},
};

fn main() -> ExitCode {
    let cli = match Cli::read(env::args_os()) {
        Ok(cli) => cli,
        Err(usage) => {
            // With nowhere to print to, the exit status says what there is to say.
            let _ = usage.print();
            return usage.exit_code().into();
        }
    };
    offloadd::service::start_logging();
    let sources = cli.sources(Sources::process_env());
    if cli.check_config {
        return match config::describe(&sources) {
            Ok(text) => print(&text, exit::OK),
            Err(errors) => fail(&errors, errors.exit_code()),
        };
    }
    let settings = match config::load(&sources) {
        Ok(settings) => settings,
        Err(errors) => return fail(&errors, errors.exit_code()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Only the resolver blocks, one name of one target at a time.
        .max_blocking_threads(4)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, exit::OS_ERROR),
    };
    let code = runtime.block_on(async {
        if cli.once {
            return once(settings, cli.json).await;
        }
        let options = Options {
            settings,
            sources: Some(sources),
            bus: cli.bus,
        };
        match offloadd::run(options).await {
            Ok(()) => exit::OK.into(),
            Err(error) => fail(&error, error.exit_code()),
        }
    });
    // A resolver that does not come back keeps nobody waiting.
    runtime.shutdown_background();
    code
}

async fn once(settings: Settings, json: bool) -> ExitCode {
    let snapshot = match offloadd::run_once(settings).await {
        Ok(snapshot) => snapshot,
        Err(error) => return fail(&error, error.exit_code()),
    };
    let code = if snapshot.state.is_ready() {
        exit::OK
    } else {
        exit::NOT_READY
    };
    let text = if json {
        serde_json::to_string(&snapshot).map(|json| json + "\n")
    } else {
        let terminal = io::stdout().is_terminal();
        let style = page::Style {
            colour: terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            now_realtime_usec: Now::read().realtime_usec,
            ..page::Style::default()
        };
        Ok(page::render(&snapshot, &style))
    };
    match text {
        Ok(text) => print(&text, code),
        Err(error) => fail(&error, exit::OS_ERROR),
    }
}

fn print(text: &str, code: u8) -> ExitCode {
    // A reader that went away (`| head`) is no failure of what was asked.
    let _ = io::stdout().write_all(text.as_bytes());
    code.into()
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    tracing::error!("{error}");
    code.into()
}
