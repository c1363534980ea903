//! `sd_notify`: what the service manager is told, without ever waiting until it reads.
//!
//! What it has no room for is kept until it has: of each kind the newest, so that a status that is old
//! by then is dropped and a readiness, a reload or a sign of life is not.

mod watchdog;

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram as StdDatagram},
        },
    },
};

use sd_notify::NotifyState;
use tokio::{net::UnixDatagram, sync::watch};

pub use watchdog::Watchdog;

/// Tells the service manager, through a [`Teller`]; does nothing where there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notifier(watch::Sender<Untold>);

impl Notifier {
    /// The objects are exported and the name is owned, or a reload has ended; this is how things are.
    /// Two messages: a readiness must not be lost for what stands beside it.
    pub(crate) fn ready(&self, status: String) {
        self.0.send_modify(|untold| {
            untold.status = Some(status);
            untold.ready = true;
        });
    }

    /// One line for `systemctl status`.
    pub(crate) fn status(&self, status: String) {
        self.0.send_modify(|untold| untold.status = Some(status));
    }

    /// A reload begins: with its time in the same datagram, as `Type=notify-reload` asks.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.0.send_modify(|untold| {
                // Any readiness that is still to be told is that of the end of this reload.
                untold.ready = false;
                untold.reloading = Some(format!("{}\n{now}", NotifyState::Reloading));
            }),
            Err(error) => tracing::debug!("monotonic clock: {error}"),
        }
    }

    /// The watchdog need not bark.
    pub(crate) fn watchdog(&self) {
        self.0.send_modify(|untold| untold.watchdog = true);
    }

    /// The daemon ends.
    pub(crate) fn stopping(&self) {
        self.0.send_modify(|untold| {
            *untold = Untold {
                stopping: true,
                ..Untold::default()
            };
        });
    }
}

/// What is still to be told.
#[derive(Debug, Default)]
struct Untold {
    reloading: Option<String>,
    watchdog: bool,
    status: Option<String>,
    ready: bool,
    stopping: bool,
}

impl Untold {
    /// The next message, in the order in which they go: whoever hears of a readiness knows the status.
    fn next(&self) -> Option<String> {
        let said = |is: bool, state: NotifyState<'_>| is.then(|| state.to_string());
        let status = self.status.as_deref();
        (self.reloading.clone())
            .or_else(|| said(self.watchdog, NotifyState::Watchdog))
            .or_else(|| status.map(|status| NotifyState::Status(status).to_string()))
            .or_else(|| said(self.ready, NotifyState::Ready))
            .or_else(|| said(self.stopping, NotifyState::Stopping))
    }

    /// The message that is next has been told.
    fn told(&mut self) {
        if self.reloading.take().is_none()
            && !std::mem::take(&mut self.watchdog)
            && self.status.take().is_none()
            && !std::mem::take(&mut self.ready)
        {
            self.stopping = false;
        }
    }
}

/// Carries to the service manager what a [`Notifier`] has to tell.
#[derive(Debug)]
pub(crate) struct Teller {
    /// `NOTIFY_SOCKET`; an `@` stands for the zero byte of an abstract one (sd_notify(3)).
    manager: Option<OsString>,
    socket: Option<UnixDatagram>,
    untold: watch::Sender<Untold>,
    news: watch::Receiver<Untold>,
}

impl Teller {
    /// To the service manager that `NOTIFY_SOCKET` names, and the way to tell it something.
    pub(crate) fn from_environment() -> (Self, Notifier) {
        let manager = env::var_os("NOTIFY_SOCKET");
        Self::new(manager.filter(|manager| !manager.is_empty()))
    }

    fn new(manager: Option<OsString>) -> (Self, Notifier) {
        let notifier = Notifier::default();
        let teller = Self {
            manager,
            socket: None,
            untold: notifier.0.clone(),
            news: notifier.0.subscribe(),
        };
        (teller, notifier)
    }

    /// Tells everything, as soon as there is room for it. Never ends; nothing is lost when dropped.
    pub(crate) async fn run(&mut self) {
        loop {
            if self.tell() {
                // It has a sender itself: this never fails.
                let _ = self.news.changed().await;
            } else if let Some(socket) = &self.socket {
                let _ = socket.writable().await;
            }
        }
    }

    /// Tells what there is room for; says whether that was everything.
    pub(crate) fn tell(&mut self) -> bool {
        loop {
            let Some(message) = self.news.borrow_and_update().next() else {
                return true;
            };
            match self.send(message.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => tracing::debug!("service manager: {error}"),
                Ok(()) => {}
            }
            self.untold.send_if_modified(|untold| {
                untold.told();
                false
            });
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let Some(manager) = &self.manager else {
            return Ok(());
        };
        if let Some(socket) = &self.socket {
            match socket.try_send(message) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // A manager that made its socket anew.
                Err(_) => self.socket = None,
            }
        }
        let socket = self.socket.insert(connect(manager)?);
        socket.try_send(message).map(drop)
    }
}

fn connect(manager: &OsStr) -> io::Result<UnixDatagram> {
    let address = match manager.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(manager)?,
    };
    let socket = StdDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    UnixDatagram::from_std(socket)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A manager that reads nothing until it is asked to.
    struct Manager {
        socket: StdDatagram,
        _directory: tempfile::TempDir,
    }

    impl Manager {
        /// With a queue that is full.
        fn busy() -> (Self, Teller, Notifier) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("notify");
            let socket = StdDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let other = StdDatagram::unbound().unwrap();
            other.set_nonblocking(true).unwrap();
            while other.send_to(b"X=1", &path).is_ok() {}
            let (teller, notifier) = Teller::new(Some(path.into()));
            let manager = Self {
                socket,
                _directory: directory,
            };
            (manager, teller, notifier)
        }

        fn read(&self) -> Vec<String> {
            let mut buffer = [0; 256];
            let mut all = Vec::new();
            while let Ok(length) = self.socket.recv(&mut buffer) {
                all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
            all.retain(|message| message != "X=1");
            all
        }
    }

    async fn run(teller: &mut Teller) {
        let _ = tokio::time::timeout(Duration::from_millis(50), teller.run()).await;
    }

    #[tokio::test]
    async fn what_matters_waits_for_room_and_an_old_status_does_not() {
        let (manager, mut teller, notifier) = Manager::busy();
        for number in 0..100 {
            notifier.status(format!("old {number}"));
            run_briefly(&mut teller).await;
        }
        notifier.ready("new".into());
        notifier.watchdog();
        run(&mut teller).await;
        assert_eq!(manager.read(), [""; 0]);
        run(&mut teller).await;
        assert_eq!(manager.read(), ["WATCHDOG=1", "STATUS=new", "READY=1"]);
    }

    /// Polls it once.
    async fn run_briefly(teller: &mut Teller) {
        tokio::select! {
            biased;
            () = teller.run() => {}
            () = tokio::task::yield_now() => {}
        }
    }

    #[tokio::test]
    async fn each_reload_is_told_before_its_end() {
        let (manager, mut teller, notifier) = Manager::busy();
        for _ in 0..3 {
            notifier.reloading();
            notifier.ready("reloaded".into());
        }
        run(&mut teller).await;
        assert_eq!(manager.read(), [""; 0]);
        run(&mut teller).await;
        let told = manager.read();
        assert!(
            told[0].starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{told:?}"
        );
        assert_eq!(told[1..], ["STATUS=reloaded", "READY=1"]);

        notifier.reloading();
        notifier.stopping();
        run(&mut teller).await;
        assert_eq!(manager.read(), ["STOPPING=1"]);
    }
}
