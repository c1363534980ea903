//! Follows the networks of this machine, and, while somebody is missed, its neighbours.
//!
//! A quiet machine is not woken by the traffic of others. The first checks wait for the monitor's inbox, so that
//! networks known at the start spare those that could come to nothing.

use std::{collections::BTreeSet, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use offload_client::{Snapshot, TargetState};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    Network,
    entry::{self, Presence},
    read_now, seen_now,
    socket::{Heard, Listener, NEIGHBOURS, NETWORK},
    wire::{Malformed, Messages},
};

/// Changes come in bursts: a link, its addresses, their routes. The networks are read once there
/// was no other for so long.
const QUIET: Duration = Duration::from_millis(30);
/// A burst is no longer waited for than that.
const BURST: Duration = Duration::from_millis(250);
/// As many neighbours are remembered: what the kernel keeps at most unless told otherwise
/// (`gc_thresh3`, arp(7)).
const MOST: usize = 1024;

/// What changed around this machine.
#[derive(Clone, Debug)]
pub enum News {
    /// It is on these networks now.
    Networks(Arc<Network>),
    /// Somebody is at this address who was not, while a target of `snapshots` is missed.
    Appeared(IpAddr),
}

/// Tells of this machine's networks, first as they are, then at each change, and of neighbours that appear
/// while a target is missed. Never ends; does nothing where netlink is not permitted.
pub async fn run(news: mpsc::Sender<News>, snapshots: watch::Receiver<Arc<Snapshot>>) {
    if let Err(error) = follow(&news, snapshots).await {
        tracing::warn!("changes of the network will not be noticed (rtnetlink): {error}");
        // What was known is old from here on.
        let _ = news.send(News::Networks(Arc::default())).await;
    }
    std::future::pending::<()>().await;
}

async fn follow(
    news: &mpsc::Sender<News>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
) -> io::Result<()> {
    // Who is gone needs to know nothing.
    let tell = async |it| drop(news.send(it).await);
    // Listening first: no change is lost between the two.
    let changes = Listener::new(NETWORK)?;
    let mut known = read_now()?;
    tell(News::Networks(Arc::new(known.clone()))).await;
    let mut neighbours = Lookout::default();
    let mut heard = false;
    loop {
        neighbours.keep(is_somebody_missed(&snapshots.borrow_and_update()));
        tokio::select! {
            burst = burst(&changes, &mut heard) => {
                burst?;
                let network = read_or_unknown();
                if network != known {
                    tracing::debug!("the network changed");
                    tell(News::Networks(Arc::new(network.clone()))).await;
                    known = network;
                }
            }
            address = neighbours.appeared() => {
                tracing::debug!("{address} appeared");
                tell(News::Appeared(address)).await;
            }
            changed = snapshots.changed() => if changed.is_err() {
                // The monitor is gone, and soon is everything.
                std::future::pending::<()>().await;
            },
        }
    }
}

/// Waits for a change, and for those that come with it. That there was one is kept in `heard`, so that
/// nothing is lost when this is dropped half-way.
async fn burst(changes: &Listener, heard: &mut bool) -> io::Result<()> {
    // What changed is read as a whole: of the news nothing is kept.
    let mut scrap = [0; 16];
    if !*heard {
        changes.next(&mut scrap).await?;
        *heard = true;
    }
    settle(changes, &mut scrap).await?;
    *heard = false;
    Ok(())
}

async fn settle(changes: &Listener, scrap: &mut [u8]) -> io::Result<()> {
    let mut end = pin!(sleep(BURST));
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            next = timeout(QUIET, changes.next(scrap)) => match next {
                Ok(heard) => drop(heard?),
                Err(_) => return Ok(()),
            },
        }
    }
}

fn read_or_unknown() -> Network {
    read_now().unwrap_or_else(|error| {
        tracing::warn!("this machine's networks can't be read: {error}");
        Network::default()
    })
}

/// Whether there is a target that a neighbour could turn out to be.
fn is_somebody_missed(snapshot: &Snapshot) -> bool {
    let mut targets = snapshot.targets.iter();
    targets.any(|target| matches!(target.state, TargetState::Down | TargetState::Away))
}

/// A watch of the neighbours that is there only while it is wanted: on a quiet machine whose
/// desktop is there, no ARP of others wakes the daemon.
#[derive(Debug, Default)]
struct Lookout {
    watch: Option<Neighbours>,
    /// Whether there is none though it is wanted: the log has it.
    refused: bool,
}

impl Lookout {
    fn keep(&mut self, wanted: bool) {
        if wanted && self.watch.is_none() && !self.refused {
            self.watch = self.settle(Neighbours::watch());
            if self.watch.is_some() {
                tracing::debug!("listening for neighbours");
            }
        }
        if !wanted && self.watch.take().is_some() {
            tracing::debug!("no longer listening for neighbours");
        }
    }

    /// The next address that appears; never, where nobody is watched.
    async fn appeared(&mut self) -> IpAddr {
        if let Some(watch) = &mut self.watch {
            match watch.appeared().await {
                Ok(address) => return address,
                Err(error) => self.watch = self.settle(Err(error)),
            }
        }
        std::future::pending().await
    }

    fn settle(&mut self, watch: io::Result<Neighbours>) -> Option<Neighbours> {
        watch
            .inspect_err(|error| {
                tracing::warn!("neighbours that appear will not be noticed: {error}");
                self.refused = true;
            })
            .ok()
    }
}

/// Hears who appears on this machine's networks, from its creation on.
#[derive(Debug)]
pub struct Neighbours {
    news: Listener,
    /// Those that were there at last. Who is forgotten by the kernel stays, until it is missed:
    /// else each of our own checks of a host that is there would make it appear.
    seen: BTreeSet<IpAddr>,
    /// Those that appeared in the last datagram and were not told yet.
    untold: Vec<IpAddr>,
}

impl Neighbours {
    /// Begins to listen. Who is known now does not appear. Fails where netlink is not permitted.
    pub fn watch() -> io::Result<Self> {
        let news = Listener::new(NEIGHBOURS)?;
        let seen = seen_now()?.into_iter().take(MOST).collect();
        Ok(Self {
            news,
            seen,
            untold: Vec::new(),
        })
    }

    /// Waits for a neighbour that was not there, or did not answer, and now does. Nothing is lost
    /// when dropped.
    pub async fn appeared(&mut self) -> io::Result<IpAddr> {
        // An entry takes less than 200 bytes, and each comes in a datagram of its own.
        let mut buffer = [0; 1024];
        loop {
            if let Some(address) = self.untold.pop() {
                return Ok(address);
            }
            match self.news.next(&mut buffer).await? {
                Heard::Datagram(length) => self.take(buffer.get(..length).unwrap_or_default()),
                Heard::Lost => seen_now()?
                    .into_iter()
                    .for_each(|address| self.saw(address)),
            }
        }
    }

    fn take(&mut self, datagram: &[u8]) {
        for message in Messages::of(datagram) {
            let mut entries = Vec::new();
            let read = message.and_then(|message| match message.kind {
                entry::NEW_NEIGHBOUR => entry::neighbour(&message, &mut entries),
                _ => Ok(()),
            });
            if let Err::<(), Malformed>(error) = read {
                tracing::debug!("of a neighbour: {error}");
                return;
            }
            for neighbour in entries {
                match neighbour.presence {
                    Presence::Seen => self.saw(neighbour.address),
                    Presence::Missed => drop(self.seen.remove(&neighbour.address)),
                    Presence::Asked | Presence::Untold => {}
                }
            }
        }
    }

    fn saw(&mut self, address: IpAddr) {
        if self.seen.len() < MOST && self.seen.insert(address) {
            self.untold.push(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::wire::tests::{attribute, write};

    const REACHABLE: u16 = 0x02;
    const STALE: u16 = 0x04;
    const FAILED: u16 = 0x20;

    /// What the kernel says when an entry's state becomes `state`.
    fn news(last: u8, state: u16) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 0, 2, 0, 0, 0];
        body.extend(state.to_ne_bytes());
        body.extend([0, 1]);
        body.extend(attribute(1, &[192, 0, 2, last]));
        write(entry::NEW_NEIGHBOUR, &body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_was_heard_of_is_told_though_the_wait_for_more_was_given_up() {
        let changes = Listener::new(NETWORK).unwrap();
        let mut heard = true;
        burst(&changes, &mut heard).await.unwrap();
        assert!(!heard);
        let given_up = timeout(QUIET / 2, async {
            heard = true;
            burst(&changes, &mut heard).await
        });
        assert!(given_up.await.is_err());
        assert!(heard);
    }

    #[tokio::test]
    async fn only_who_was_not_there_or_was_missed_appears() {
        let mut neighbours = Neighbours {
            seen: BTreeSet::from([IpAddr::from([192, 0, 2, 1])]),
            ..Neighbours::watch().unwrap()
        };
        let mut appears = |datagram: Vec<u8>| {
            neighbours.take(&datagram);
            std::mem::take(&mut neighbours.untold)
        };
        let desktop = IpAddr::from([192, 0, 2, 6]);
        assert!(appears(news(1, REACHABLE)).is_empty());
        assert_eq!(appears(news(6, STALE)), [desktop]);
        // What our own checks make of its entry is no news.
        assert!(appears(news(6, REACHABLE)).is_empty());
        assert!(appears(news(6, FAILED)).is_empty());
        assert!(appears(news(6, FAILED)).is_empty());
        let both = [news(6, REACHABLE), news(6, STALE)].concat();
        assert_eq!(appears(both), [desktop]);
        // An entry that is dropped to save room (`RTM_DELNEIGH`).
        let mut dropped = news(6, FAILED);
        dropped[4..6].copy_from_slice(&29_u16.to_ne_bytes());
        assert!(appears(dropped).is_empty());
        assert!(appears(news(6, REACHABLE)).is_empty());
        assert!(appears(news(6, REACHABLE)[..20].to_vec()).is_empty());
    }

    #[tokio::test]
    async fn no_more_neighbours_than_so_many_are_remembered() {
        let mut neighbours = Neighbours::watch().unwrap();
        for i in 0..2 * MOST as u32 {
            neighbours.saw(IpAddr::from((0x0a00_0000 + i).to_be_bytes()));
        }
        assert_eq!(neighbours.seen.len(), MOST);
        assert!(neighbours.untold.len() <= MOST);
    }
}
