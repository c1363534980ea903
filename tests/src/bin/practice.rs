//! `cargo practice`: the real daemon beside a practice desktop that misbehaves when told to.

use std::{io::Write, net::SocketAddr, path::Path, process::ExitCode};

use offload_client::page::{self, Style};
use offload_tests::{
    Result,
    error::Context,
    fake::Desktop,
    ground::{CACHE_PORT, HERE, SSH_PORT},
    practice::{
        Word, control,
        daemon::{self, DAEMON, now},
        laptop::Laptop,
        place,
        program::{self, Mode},
    },
};
use offloadd::clock::Now;
use rustix::termios::tcgetwinsize;

/// sysexits(3): the command was used wrongly.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        [] => block_on(practise(Mode::Practice)),
        ["tour"] => block_on(practise(Mode::Tour)),
        [DAEMON, directory] => block_on(daemon::run(Path::new(directory))),
        ["status"] => block_on(status()),
        ["help" | "--help" | "-h"] => {
            say(&program::help());
            Ok(())
        }
        [word] if Word::parse(word).is_some() => block_on(send(word)),
        other => {
            eprint!("{}", program::unknown(&other.join(" ")));
            return ExitCode::from(USAGE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("practice: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn practise(mode: Mode) -> Result<()> {
    let [cache, ssh] = [CACHE_PORT, SSH_PORT].map(|port| SocketAddr::new(HERE, port));
    let style = Style {
        width: columns(),
        ..Style::default()
    };
    let daemon =
        async |_: &Desktop, laptop: &Laptop, news, stop| daemon::daemon(laptop, news, stop).await;
    program::run(mode, &place::runtime_dir(), cache, ssh, style, say, daemon).await
}

/// What `offloadctl` shows, which would have to be built first.
async fn status() -> Result<()> {
    let snapshot = now().await?;
    let style = Style {
        width: columns(),
        now_realtime_usec: Now::read().realtime_usec,
        ..Style::default()
    };
    say(page::render(&snapshot, &style).trim_end());
    Ok(())
}

async fn send(word: &str) -> Result<()> {
    let answer = control::send(&place::socket(&place::runtime_dir()), word).await?;
    say(answer.trim_end());
    Ok(())
}

/// The width of the terminal; what is none has the usual one.
fn columns() -> usize {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => Style::default().width,
    }
}

/// A closed pipe is no reason to stop watching.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn block_on(future: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("the runtime")?.block_on(future)
}
