//! A service beside the daemon that answers one question and reads everything else away: what its callers wait in a
//! storm, the bus makes them wait; and what they wait where the storm is sent to it, no service could spare them.

use std::thread;

use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::oneshot,
};
use zbus::Message;

use super::flood::{self, Kind};
use crate::{Error, Result, error::Context};

/// Its name on the bus, and its only interface.
pub const CONTROL: &str = "org.offloadd.Control";
/// The question.
pub const QUESTION: &str = "Answer";

/// The service, on a thread of its own; it goes when this does.
#[derive(Debug)]
pub struct Control {
    _stop: oneshot::Sender<()>,
}

impl Control {
    /// Starts it on the bus at `socket`; it has its name then.
    ///
    /// # Errors
    /// When the bus does not take it.
    pub async fn start(socket: String) -> Result<Self> {
        let (started, start) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let Ok(runtime) = { runtime }.enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let stream = named(&socket).await;
                let (stream, named) = match stream {
                    Ok(stream) => (Some(stream), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // Nobody waits for it where the test has ended.
                let _ = started.send(named);
                if let Some(stream) = stream {
                    tokio::select! {
                        _ = answer(stream) => {}
                        _ = stopped => {}
                    }
                }
            });
        });
        let gone = |_| Error::Unsupported("the control's thread has died".to_owned());
        start.await.map_err(gone)??;
        Ok(Self { _stop: stop })
    }
}

async fn named(socket: &str) -> Result<UnixStream> {
    const BUS: &str = "org.freedesktop.DBus";
    let uid = rustix::process::geteuid().as_raw();
    let mut stream = flood::greet(socket, uid).await?;
    let call = Message::method_call("/org/freedesktop/DBus", "RequestName");
    let call = { call }.destination(BUS).interface(BUS);
    let call = call.build(&(CONTROL, 0u32));
    let call = call.map_err(std::io::Error::other).context(CONTROL)?;
    stream.write_all(call.data()).await.context(CONTROL)?;
    loop {
        let message = flood::next(&mut stream).await.context(CONTROL)?;
        match message.kind {
            Kind::Return => return Ok(stream),
            Kind::Error => return Err(Error::Unsupported(message.error_name())),
            Kind::Other => {}
        }
    }
}

async fn answer(stream: UnixStream) -> zbus::Result<()> {
    let any_call = Message::method_call("/", QUESTION).build(&())?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(64 * 1024, read);
    loop {
        let call = flood::next(&mut read).await?;
        if !call.has(QUESTION) {
            continue;
        }
        let answer = Message::method_return(&any_call.header())
            .destination(call.sender())
            .reply_serial(call.serial);
        write.write_all(answer.build(&())?.data()).await?;
    }
}
