//! `offloadd`: watches the desktop this machine's Nix builds on, and publishes its health.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use offloadd::{
    Options, check_config,
    cli::{BusChoice, Cli},
    config::{self, Sources},
    exit, log, once,
    service::Flag,
};
use tokio::runtime::{Builder, LocalOptions};

fn main() -> ExitCode {
    let cli = match Cli::read(env::args_os()) {
        Ok(cli) => cli,
        Err(usage) => {
            // With nowhere to print to, the exit status says what there is to say.
            let _ = usage.print();
            return usage.exit_code().into();
        }
    };
    let log = log::start();
    let sources = cli.sources(Sources::process_env());
    // Before anything that may fail or take its time: until it is judged anew, no builder is ready.
    let flag = !(cli.once || cli.check_config);
    let flag = flag.then(Flag::from_environment);
    let settings = if cli.check_config {
        config::describe(&sources).map(|(settings, report)| (settings, Some(report)))
    } else {
        config::load(&sources).map(|settings| (settings, None))
    };
    let (settings, report) = match settings {
        Ok(read) => read,
        Err(errors) => return fail(&errors, errors.exit_code()),
    };
    if let Err(error) = offloadd::limits::raise_files() {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        // Nothing of ours blocks one: names are looked up in threads of their own (`probe::resolve`).
        .max_blocking_threads(4)
        // A local runtime, for what it leaves out: without the multi-threaded scheduler (which russh
        // asks of tokio) there is no need of libm, a third of a megabyte in memory for one `pow`.
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, exit::OS_ERROR),
    };
    let code = runtime.block_on(async {
        if let Some(report) = report {
            return match check_config(settings, &report, cli.json).await {
                Ok(text) => print(&text, exit::OK),
                Err(error) => fail(&error, error.exit_code()),
            };
        }
        let Some(flag) = flag else {
            return match once::round(settings, cli.json).await {
                Ok(round) => print(&round.text, round.exit_code()),
                Err(error) => fail(&error, error.exit_code()),
            };
        };
        let options = Options {
            settings,
            sources: Some(sources),
            page: cli.bus == BusChoice::Embedded,
            bus: cli.bus,
            flag,
            log: Some(log),
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

fn print(text: &str, code: u8) -> ExitCode {
    // A reader that went away (`| head`) is no failure of what was asked.
    let _ = io::stdout().write_all(text.as_bytes());
    code.into()
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    tracing::error!("{error}");
    code.into()
}
