//! A bus that went away, or is not there yet, and comes back: seen by what happens where its socket is.
//!
//! There are ways for it to come back that no file tells: a socket that systemd keeps open for it, one without a file, a
//! second that passes until it listens. So it is tried by the clock too, less and less often.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt;
use inotify::{EventStream, Inotify, WatchMask};
use tokio::time::{sleep, timeout};

use crate::connect::{self, Bus};

/// How soon it is tried again by the clock, and how seldom at last.
const FIRST: Duration = Duration::from_millis(250);
const SELDOM: Duration = Duration::from_secs(60);
/// What comes with one start comes together.
const GATHER: Duration = Duration::from_millis(20);

/// Waits between one try and the next.
pub(crate) struct BusBack {
    sockets: Vec<PathBuf>,
    pause: Duration,
    events: Option<Events>,
}

impl BusBack {
    /// For the bus or buses that [`connect::find_bus`] would look at.
    pub(crate) fn of(bus: Option<&Bus>) -> Self {
        Self {
            sockets: connect::sockets(bus),
            pause: FIRST,
            events: None,
        }
    }

    /// To be called before each try: what happens from then on ends the next [`Self::wait`].
    pub(crate) fn trying(&mut self) {
        // Without it the clock has to do.
        self.events = watch(&self.sockets).ok();
    }

    /// It was there: what comes next begins anew.
    pub(crate) fn came(&mut self) {
        self.pause = FIRST;
        // Nobody reads it now, and it would be as old as the connection.
        self.events = None;
    }

    /// Comes back when it is worth another try.
    pub(crate) async fn wait(&mut self) {
        let happened = async {
            match &mut self.events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        if timeout(self.pause, happened).await.is_ok() {
            // It may not listen yet: soon is often again.
            self.pause = FIRST;
            sleep(GATHER).await;
        } else {
            self.pause = (self.pause * 2).min(SELDOM);
        }
    }
}

struct Events {
    stream: EventStream<Vec<u8>>,
    /// What is on the way to a socket; of others' files nobody needs to know.
    names: Vec<OsString>,
}

impl Events {
    /// Comes back when something on the way to a socket came or went.
    async fn next(&mut self) {
        while let Some(Ok(event)) = self.stream.next().await {
            if event.name.is_none_or(|name| self.names.contains(&name)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Watches the directories of the sockets, or what there is of the way to them.
fn watch(sockets: &[PathBuf]) -> io::Result<Events> {
    let inotify = Inotify::init()?;
    let mask = WatchMask::CREATE
        | WatchMask::MOVED_TO
        | WatchMask::ATTRIB
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR;
    let mut names = Vec::new();
    for socket in sockets {
        let directory = socket.ancestors().skip(1).find(|it| it.is_dir());
        let directory = directory.unwrap_or(Path::new("/"));
        let next = socket.strip_prefix(directory).ok();
        let next = next.and_then(|rest| rest.components().next());
        // One that can't be looked into is left to the clock.
        if let (Some(next), Ok(_)) = (next, inotify.watches().add(directory, mask)) {
            names.push(next.as_os_str().to_owned());
        }
    }
    Ok(Events {
        stream: inotify.into_event_stream(vec![0; 4096])?,
        names,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn at(socket: &Path) -> BusBack {
        BusBack {
            sockets: vec![socket.to_owned()],
            // Not by the clock.
            pause: Duration::from_secs(3600),
            events: None,
        }
    }

    #[tokio::test]
    async fn what_happens_on_the_way_to_a_socket_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("run/dbus/bus");
        let mut back = at(&socket);
        back.trying();
        // Others' files are nobody's news.
        std::fs::write(directory.path().join("other"), "").unwrap();
        let other = timeout(Duration::from_millis(200), back.wait());
        assert!(other.await.is_err());
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        timeout(Duration::from_secs(10), back.wait()).await.unwrap();
        assert_eq!(back.pause, FIRST);

        let mut back = at(&socket);
        back.trying();
        let listener = UnixListener::bind(&socket).unwrap();
        timeout(Duration::from_secs(10), back.wait()).await.unwrap();

        // A restart: another socket in its place, while it is being tried.
        let mut back = at(&socket);
        back.trying();
        drop(listener);
        std::fs::remove_file(&socket).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        timeout(Duration::from_secs(10), back.wait()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_happens_it_is_tried_less_and_less_often() {
        let directory = tempfile::tempdir().unwrap();
        let mut back = at(&directory.path().join("bus"));
        back.pause = FIRST;
        let start = tokio::time::Instant::now();
        let mut tries = 0;
        while start.elapsed() < Duration::from_secs(3600) {
            back.trying();
            back.wait().await;
            tries += 1;
        }
        // Every two seconds it would be 1800.
        assert!((60..70).contains(&tries), "{tries}");
        back.came();
        assert_eq!(back.pause, FIRST);
    }
}
