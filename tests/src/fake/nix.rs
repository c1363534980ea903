//! The Nix of a fake builder: the programs that a login finds there, as far as a handshake and a few
//! questions show.

mod config;
mod serve;
mod stream;
mod worker;

use russh::{Channel, server::Msg};
use tokio::{io::AsyncWriteExt, sync::watch};

use super::{
    Fault, Point,
    port::{State, Strike},
};
use stream::{End, Stream};

/// Its version.
const VERSION: &str = "2.26.3";
/// A shell's word for a program that is not there.
const NOT_FOUND: u32 = 127;

/// Runs `command` for whoever opened `channel`, to its end and theirs.
pub(super) async fn run(
    channel: Channel<Msg>,
    command: &str,
    state: watch::Receiver<State>,
    strike: Strike,
) {
    let (mut reader, writer) = channel.split();
    let stream = Stream::new(
        Box::pin(reader.make_reader()),
        Box::pin(writer.make_writer()),
        state,
        strike,
    );
    let (status, complaint) = match program(stream, command).await {
        Ok(()) | Err(End::Eof) => (0, String::new()),
        Err(End::Failed(status, complaint)) => (status, complaint),
    };
    // Whoever asked may be gone.
    let mut stderr = writer.make_writer_ext(Some(STDERR));
    let _ = stderr.write_all(complaint.as_bytes()).await;
    let _ = writer.eof().await;
    let _ = writer.exit_status(status).await;
    let _ = writer.close().await;
}

/// The extended data of a session that is standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;

async fn program(mut stream: Stream<'_>, command: &str) -> Result<(), End> {
    // A shell takes them off the words.
    let command = command.replace('\'', "");
    let fault = stream.fault();
    stream.reached(Point::Auth).await?;
    match fault {
        Fault::ProfileOutput => stream.write(b"Welcome to the desktop.\n").await?,
        Fault::NotNix => return stream.write(b"hello\n").await,
        _ => {}
    }
    let program = command.split_whitespace().next().unwrap_or_default();
    let is = |name: &str, arguments: &str| {
        let rest = command.strip_prefix(name);
        // `remote-store` of the URI adds `--store` (src/libstore/ssh-store.cc).
        rest.is_some_and(|rest| {
            rest == arguments || rest.starts_with(&format!("{arguments} --store "))
        })
    };
    let shows_config = ["config show", "show-config"]
        .iter()
        .any(|ask| command.contains(ask));
    if shows_config {
        return config::show(&mut stream, fault).await;
    }
    if is(
        "test",
        " -e /etc/nix/machines || echo 0; grep -c \"^[^#]\" /etc/nix/machines",
    ) {
        return config::no_machines(&mut stream).await;
    }
    if fault == Fault::NoNix {
        return Err(End::not_found(program));
    }
    if is("nix-daemon", " --stdio") {
        worker::serve(&mut stream, fault).await
    } else if is("nix-store", " --serve --write") {
        serve::serve(&mut stream, fault).await
    } else {
        Err(End::not_found(program))
    }
}

impl End {
    fn not_found(program: &str) -> Self {
        let shell = format!("bash: line 1: {program}: command not found\n");
        Self::Failed(NOT_FOUND, shell)
    }

    /// What Nix says where nobody listens on its daemon's socket (src/libutil/unix-domain-socket.cc).
    fn daemon_down() -> Self {
        let error = "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': \
                     Connection refused\n";
        Self::Failed(1, error.into())
    }
}
