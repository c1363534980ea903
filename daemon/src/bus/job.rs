//! `org.offloadd.Offload1.Job`, and what is new of all jobs as signals.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use offload_client::{
    JobState, Printable,
    errors::BusError,
    names::{JOB, job_path, target_path},
};
use zbus::{
    Connection, ObjectServer, OwnedObjectPath, Variant, fdo, interface, message::Header,
    names::InterfaceName, object_server::SignalEmitter,
};

use super::{authority::Authority, refused::Refused};
use crate::build::{Handle, Job, Status};

/// One job on the bus.
pub(super) struct JobObject {
    number: u32,
    jobs: Handle,
    authority: Authority,
}

impl JobObject {
    /// Reads the job; what is not set where it is gone, which its object is about to be too.
    fn read<T: Default>(&self, read: impl FnOnce(&Job) -> T) -> T {
        self.jobs
            .read(|board| board.get(self.number).map_or_else(T::default, read))
    }
}

#[interface(name = "org.offloadd.Offload1.Job", introspection_docs = false)]
impl JobObject {
    /// Ends it.
    async fn cancel(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        let uid = self.read(|job| Some(job.status.uid));
        let gone = || BusError::Failed("the job is gone".to_owned());
        let uid = uid.ok_or_else(gone)?;
        self.authority
            .require_user(connection, &header, uid)
            .await?;
        self.jobs.cancel(self.number).await;
        Ok(())
    }

    /// What it has printed so far.
    #[zbus(out_args("lines"))]
    async fn get_output(&self) -> Vec<Printable> {
        self.read(|job| job.output.after(0))
    }

    /// It printed a line.
    #[zbus(signal)]
    async fn output(emitter: &SignalEmitter<'_>, line: &Printable) -> zbus::Result<()>;

    #[zbus(property)]
    fn state(&self) -> String {
        self.read(|job| job.status.state.to_string())
    }

    #[zbus(property)]
    fn reason(&self) -> String {
        self.read(|job| job.status.reason.to_string())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn builder(&self) -> fdo::Result<OwnedObjectPath> {
        let path = self.read(|job| {
            let id = &job.status.builder;
            OwnedObjectPath::try_from(target_path(id.kind, &id.name)).ok()
        });
        path.ok_or_else(|| fdo::Error::UnknownObject("the job is gone".to_owned()))
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn start_timestamp(&self) -> u64 {
        self.read(|job| job.status.started)
    }

    #[zbus(property)]
    fn finish_timestamp(&self) -> u64 {
        self.read(|job| job.status.finished)
    }
}

/// Puts a job on the bus: before whoever started it is answered.
pub(super) async fn announce(
    server: &ObjectServer,
    jobs: &Handle,
    authority: &Authority,
    number: u32,
) -> zbus::Result<OwnedObjectPath> {
    let path = OwnedObjectPath::try_from(job_path(number))?;
    let object = JobObject {
        number,
        jobs: jobs.clone(),
        authority: authority.clone(),
    };
    server.at(&path, object).await?;
    Ok(path)
}

/// What was told of the jobs so far.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<u32, (Status, u64)>);

/// What is new of one job.
struct News {
    number: u32,
    status: Status,
    lines: Vec<Printable>,
    has_changed: bool,
}

impl Told {
    /// Tells what is new: the lines, then how the job ended. Takes away the objects of jobs that
    /// are no longer kept.
    pub(super) async fn tell(
        &mut self,
        connection: &Connection,
        jobs: &Handle,
    ) -> zbus::Result<()> {
        let (news, gone) = jobs.read(|board| {
            let news: Vec<_> = board
                .iter()
                .filter_map(|(n, job)| self.news(n, job))
                .collect();
            let gone: Vec<_> = self
                .0
                .keys()
                .copied()
                .filter(|n| board.get(*n).is_none())
                .collect();
            (news, gone)
        });
        for job in news {
            job.emit(connection).await?;
        }
        for number in gone {
            self.0.remove(&number);
            let server = connection.object_server();
            server.remove::<JobObject, _>(job_path(number)).await?;
        }
        Ok(())
    }

    fn news(&mut self, number: u32, job: &Job) -> Option<News> {
        let now = (job.status.clone(), job.output.count());
        let (has_changed, seen) = match self.0.insert(number, now) {
            Some((status, seen)) => (status != job.status, seen),
            // It may have ended before anything was told of it, and somebody have read it as running.
            None => (job.status.state != JobState::Running, 0),
        };
        let lines = job.output.after(seen);
        (has_changed || !lines.is_empty()).then(|| News {
            number,
            status: job.status.clone(),
            lines,
            has_changed,
        })
    }
}

impl News {
    async fn emit(&self, connection: &Connection) -> zbus::Result<()> {
        let emitter = SignalEmitter::new(connection, job_path(self.number))?;
        for line in &self.lines {
            JobObject::output(&emitter, line).await?;
        }
        if !self.has_changed {
            return Ok(());
        }
        let changed = HashMap::from([
            ("State", Variant::from(self.status.state.as_str())),
            ("Reason", self.status.reason.as_str().into()),
            ("FinishTimestamp", self.status.finished.into()),
        ]);
        let interface = InterfaceName::try_from(JOB)?;
        fdo::Properties::properties_changed(&emitter, interface, changed, Cow::default()).await
    }
}

#[cfg(test)]
mod tests {
    use offload_client::Reason;

    use super::*;
    use crate::{build::Board, target::TargetId};

    #[test]
    fn the_end_of_a_job_is_told_though_it_came_before_anything_else_was() {
        let status = Status {
            builder: TargetId::builder("desktop"),
            uid: 0,
            state: JobState::Running,
            reason: Reason::None,
            started: 1,
            finished: 0,
        };
        let (mut board, mut told) = (Board::default(), Told::default());
        board.begin(1, status.clone());
        board.begin(2, status);
        assert!(told.news(1, board.get(1).unwrap()).is_none());
        for number in [1, 2] {
            board.print(number, "a line".into());
            board.end(number, JobState::Failed, Reason::BuilderFull, 2);
            let news = told.news(number, board.get(number).unwrap()).unwrap();
            assert!(news.has_changed);
            assert_eq!(news.lines.len(), 1);
            assert!(told.news(number, board.get(number).unwrap()).is_none());
        }
    }
}
