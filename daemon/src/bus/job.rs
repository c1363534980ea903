//! `org.offloadd.Offload1.Job`, and what is new of all jobs as signals.

use std::collections::BTreeMap;

use offload_client::{
    JobState, Printable, Reason,
    errors::BusError,
    names::{job_path, target_path},
};
use zbus::{
    Connection, ObjectPath, ObjectServer, OwnedObjectPath, interface, message::Header,
    object_server::SignalEmitter,
};

use super::{
    authority::Authority,
    properties::{Property, Rows, WithRows},
    publish::publish_changed,
    refused::Refused,
};
use crate::build::{Handle, Job, Status};

/// One job on the bus.
pub(super) struct JobObject {
    number: u32,
    jobs: Handle,
    authority: Authority,
}

impl Rows for JobObject {
    type Of = Status;

    const ROWS: &'static [Property<Status>] = &[
        Property::told("State", "s", |it| it.state.as_str().into()),
        // With how it ended, also where nothing was wrong.
        Property::told_unless("Reason", "s", PartialEq::eq, |it| it.reason.as_str().into()),
        Property::constant("Builder", "o", |it| {
            let path = target_path(it.builder.kind, &it.builder.name);
            ObjectPath::from_string_unchecked(path).into()
        }),
        Property::constant("StartTimestamp", "t", |it| it.started.into()),
        Property::told("FinishTimestamp", "t", |it| it.finished.into()),
    ];

    fn read<T>(&self, read: impl FnOnce(&Status) -> T) -> Option<T> {
        self.jobs
            .read(|board| board.get(self.number).map(|job| read(&job.status)))
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
        let uid = self.read(|job| job.uid);
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
        self.jobs.read(|board| {
            let job = board.get(self.number);
            job.map_or_else(Vec::new, |job| job.output.after(0))
        })
    }

    /// It printed a line.
    #[zbus(signal)]
    async fn output(emitter: &SignalEmitter<'_>, line: &Printable) -> zbus::Result<()>;
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
    server.at(&path, WithRows(object)).await?;
    Ok(path)
}

/// What was told of the jobs so far.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<u32, (Status, u64)>);

/// What is new of one job.
struct News {
    number: u32,
    /// As it was told, and as it is.
    status: [Status; 2],
    lines: Vec<Printable>,
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
        let (old, seen) = self.0.insert(number, now).unwrap_or_else(|| {
            // It may have ended before anything was told of it, and somebody have read it as running.
            let running = Status {
                state: JobState::Running,
                reason: Reason::None,
                finished: 0,
                ..job.status.clone()
            };
            (running, 0)
        });
        let lines = job.output.after(seen);
        (old != job.status || !lines.is_empty()).then(|| News {
            number,
            status: [old, job.status.clone()],
            lines,
        })
    }
}

impl News {
    async fn emit(&self, connection: &Connection) -> zbus::Result<()> {
        let emitter = SignalEmitter::new(connection, job_path(self.number))?;
        for line in &self.lines {
            JobObject::output(&emitter, line).await?;
        }
        let [old, new] = &self.status;
        publish_changed::<JobObject>(&emitter, old, new).await
    }
}

#[cfg(test)]
mod tests {
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
            assert_ne!(news.status[0], news.status[1]);
            assert_eq!(news.lines.len(), 1);
            assert!(told.news(number, board.get(number).unwrap()).is_none());
        }
    }
}
