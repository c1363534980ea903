//! The daemon on the bus: objects that read the monitor's snapshot, and signals when it changes.

mod announcement;
mod authority;
mod callers;
#[cfg(feature = "embedded-bus")]
pub mod embedded;
mod entrance;
mod frames;
mod gate;
mod job;
mod link;
mod log_control;
mod manager;
mod objects;
mod polkit;
mod properties;
mod publish;
mod refusals;
mod refused;
mod target;
mod turns;
mod values;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use offload_client::{
    Kind, Snapshot,
    names::{BUS_NAME, ROOT_PATH},
    snapshot::Target,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use zbus::{Connection, ObjectServer, connection};

pub use self::link::Link;
use self::{
    announcement::Announcement,
    authority::Authority,
    job::Told,
    log_control::LogControl,
    manager::Manager,
    objects::Objects,
    properties::WithRows,
    refusals::RefusedCall,
    target::{BuilderObject, CacheObject, TargetObject},
};
use crate::{build, log::Log, monitor::Handle, target::TargetId};

/// How long the last replies may take when the daemon ends.
const GOODBYE: Duration = Duration::from_millis(50);

/// The daemon's objects on a connection, kept in step with the snapshot.
#[derive(Debug)]
pub struct Service {
    connection: Connection,
    monitor: Handle,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    published: Arc<Snapshot>,
    announcement: Announcement,
    jobs: build::Handle,
    authority: Authority,
    refusals: Option<mpsc::Receiver<RefusedCall>>,
    told: Told,
}

impl Service {
    /// Serves the objects on the connection that `link` makes; the name is asked for after
    /// that, so whoever sees it sees them. Fails where there is no bus, or where another owns the
    /// name and keeps it.
    pub async fn start(
        link: impl Into<Link>,
        monitor: Handle,
        jobs: build::Handle,
        log: Option<Log>,
    ) -> zbus::Result<Self> {
        let mut snapshots = monitor.subscribe();
        let published = snapshots.borrow_and_update().clone();
        let link = link.into();
        let authority = Authority::new(link.callers);
        let manager = Manager {
            monitor: monitor.clone(),
            authority: authority.clone(),
        };
        let objects = Objects {
            monitor: monitor.clone(),
            jobs: jobs.clone(),
        };
        let mut connection = link.builder;
        if let Some(log) = log {
            let control = LogControl(log, authority.clone());
            connection = connection.serve_at(log_control::PATH, control);
        }
        let connection = connection
            .serve_at(ROOT_PATH, objects)
            .serve_at(ROOT_PATH, WithRows(manager))
            .name(BUS_NAME)
            .allow_name_replacements(false)
            .replace_existing_names(false);
        let connection = with_targets(connection, &published, (&monitor, &jobs, &authority))
            .build()
            .await?;
        Ok(Self {
            connection,
            monitor,
            snapshots,
            announcement: Announcement::new(published.clone()),
            published,
            jobs,
            authority,
            refusals: link.refusals,
            told: Told::default(),
        })
    }

    /// The connection that the objects are on.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Publishes every change, and tells those who are refused, until the connection or the monitor is gone.
    pub async fn run(&mut self) -> zbus::Result<()> {
        let connection = self.connection.clone();
        let refusals = self.refusals.take();
        let refuse = async {
            match refusals {
                Some(refusals) => refusals::refuse(&connection, refusals).await,
                None => std::future::pending().await,
            }
        };
        let callers = self.authority.callers.clone();
        tokio::select! {
            biased;
            ended = self.follow(&connection) => ended,
            ended = refuse => ended,
            () = callers.asking(&connection).closed() => Ok(()),
        }
    }

    async fn follow(&mut self, connection: &Connection) -> zbus::Result<()> {
        let closed = connection.closed();
        let mut closed = std::pin::pin!(closed);
        let mut board = self.jobs.subscribe();
        loop {
            // Snapshots first: whoever sees the end of a job finds its result on the builder.
            tokio::select! {
                biased;
                () = &mut closed => return Ok(()),
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.publish().await?;
                }
                () = self.announcement.due() => {
                    let new = self.snapshots.borrow().clone();
                    if let Some(old) = self.announcement.settle(Instant::now(), &new) {
                        publish::manager(connection, &old, &new).await?;
                    }
                }
                changed = board.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.told.tell(connection, &self.jobs).await?;
                }
            }
        }
    }

    /// Ends the connection once the replies under way are sent.
    pub async fn stop(self) {
        let Self { connection, .. } = self;
        let _ = tokio::time::timeout(GOODBYE, connection.graceful_shutdown()).await;
    }

    async fn publish(&mut self) -> zbus::Result<()> {
        let new = self.snapshots.borrow_and_update().clone();
        let old = std::mem::replace(&mut self.published, new.clone());
        let changes = Changes::between(&old, &new);
        let server = self.connection.object_server();
        for target in &changes.gone {
            withdraw(server, target.kind, &target.path()).await?;
        }
        for target in &changes.come {
            let to = (&self.monitor, &self.jobs, &self.authority);
            announce(server, to, target).await?;
        }
        for (old, new) in &changes.other {
            publish::target(&self.connection, old, new).await?;
        }
        match self.announcement.take_in(Instant::now(), &new) {
            Some(old) => publish::manager(&self.connection, &old, &new).await,
            None => Ok(()),
        }
    }
}

fn with_targets<'a>(
    mut builder: connection::Builder<'a>,
    snapshot: &Snapshot,
    to: To<'_>,
) -> connection::Builder<'a> {
    for target in &snapshot.targets {
        let object = object(to, target.kind, &target.name);
        let path = target.path();
        builder = match target.kind {
            Kind::Cache => builder.serve_at(path.clone(), WithRows(CacheObject(object.clone()))),
            Kind::Builder => builder.serve_at(path.clone(), WithRows(builder_object(&object, to))),
        };
        builder = builder.serve_at(path, WithRows(object));
    }
    builder
}

async fn announce(server: &ObjectServer, to: To<'_>, target: &Target) -> zbus::Result<()> {
    let object = object(to, target.kind, &target.name);
    let path = target.path();
    match target.kind {
        Kind::Cache => drop(
            server
                .at(&*path, WithRows(CacheObject(object.clone())))
                .await?,
        ),
        Kind::Builder => drop(
            server
                .at(&*path, WithRows(builder_object(&object, to)))
                .await?,
        ),
    }
    server.at(path, WithRows(object)).await?;
    Ok(())
}

async fn withdraw(server: &ObjectServer, kind: Kind, path: &str) -> zbus::Result<()> {
    match kind {
        Kind::Cache => server.remove::<CacheObject, _>(path).await?,
        Kind::Builder => server.remove::<BuilderObject, _>(path).await?,
    };
    server.remove::<TargetObject, _>(path).await?;
    Ok(())
}

/// Whom the objects pass on what they are asked.
type To<'a> = (&'a Handle, &'a build::Handle, &'a Authority);

fn object((monitor, _, authority): To<'_>, kind: Kind, name: &str) -> TargetObject {
    let id = TargetId {
        kind,
        name: name.into(),
    };
    TargetObject {
        id,
        monitor: monitor.clone(),
        place: Arc::default(),
        authority: authority.clone(),
    }
}

fn builder_object(target: &TargetObject, (_, jobs, _): To<'_>) -> BuilderObject {
    BuilderObject {
        target: target.clone(),
        jobs: jobs.clone(),
    }
}

/// What became of the objects between two snapshots.
#[derive(Default)]
struct Changes<'a> {
    gone: Vec<&'a Target>,
    come: Vec<&'a Target>,
    /// Those that stayed and are not the same: as they were, and as they are.
    other: Vec<(&'a Target, &'a Target)>,
}

impl<'a> Changes<'a> {
    fn between(old: &'a Snapshot, new: &'a Snapshot) -> Self {
        let mut pairs = old.targets.iter().zip(&new.targets);
        let are_same_objects = old.targets.len() == new.targets.len()
            && pairs.all(|(old, new)| std::ptr::eq(old, new) || object_key(old) == object_key(new));
        if are_same_objects {
            let pairs = old.targets.iter().zip(&new.targets);
            let other = pairs.filter(|(old, new)| !std::ptr::eq(*old, *new));
            return Self {
                other: other.collect(),
                ..Self::default()
            };
        }
        let (before, after) = (objects(old), objects(new));
        let is_gone = |target: &&Target| !after.contains_key(&object_key(target));
        let is_new = |target: &&Target| !before.contains_key(&object_key(target));
        let stayed = |target: &'a Target| Some((*before.get(&object_key(target))?, target));
        Self {
            gone: old.targets.iter().filter(is_gone).collect(),
            come: new.targets.iter().filter(is_new).collect(),
            other: new.targets.iter().filter_map(stayed).collect(),
        }
    }
}

/// What makes the object of a target: a name with another URI is another object, because whoever has
/// read its constant properties may keep them.
type ObjectKey<'a> = (&'static str, &'a str, &'a str);

fn object_key(target: &Target) -> ObjectKey<'_> {
    (target.kind.as_str(), &target.name, &target.uri)
}

/// The targets of a snapshot by their objects.
fn objects(snapshot: &Snapshot) -> BTreeMap<ObjectKey<'_>, &Target> {
    let targets = snapshot.targets.iter();
    targets.map(|target| (object_key(target), target)).collect()
}
