//! The job of the fake daemon: a test build that prints and ends as the test says.

use std::collections::HashMap;

use offload_client::{JobState, Kind, Reason, Snapshot, names, snapshot::Detail};
use tokio::sync::watch;
use zbus::{Message, ObjectPath, OwnedVariant, Variant};

use super::{
    Bus,
    fake::{Fake, Script},
};

/// When a job begins, in microseconds; it takes 3.2 s.
pub(crate) const START: u64 = 1_700_000_002_000_000;
const TOOK: u64 = 3_200_000;

/// A test build. There is one at a time.
#[derive(Clone)]
pub(crate) struct Job {
    /// What it prints before the caller knows its name.
    pub(crate) early: Vec<&'static str>,
    /// What it prints then, before anybody could ask for its output.
    pub(crate) late: Vec<&'static str>,
    /// Lines of `late` that are there to be read before they are announced.
    pub(crate) unannounced: usize,
    /// How it ends by itself; `None`: as the test says.
    pub(crate) end: Option<(JobState, Reason)>,
    /// What the builder's details say then.
    pub(crate) details: Vec<(&'static str, Detail)>,
    /// Whether `Cancel()` ends it.
    pub(crate) obeys: bool,
    /// What became of it so far.
    pub(crate) number: u32,
    pub(crate) builder: String,
    pub(crate) state: JobState,
    pub(crate) reason: Reason,
    pub(crate) output: Vec<String>,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            early: vec!["building '/nix/store/x.drv' on 'ssh-ng://desktop'"],
            late: vec!["one", "two"],
            unannounced: 0,
            end: Some((JobState::Succeeded, Reason::None)),
            details: Vec::new(),
            obeys: true,
            number: 0,
            builder: String::new(),
            state: JobState::Unknown,
            reason: Reason::None,
            output: Vec::new(),
        }
    }
}

impl Job {
    /// One that goes on until it is cancelled, or, where it does not obey, for ever.
    pub(crate) fn endless(obeys: bool) -> Self {
        Self {
            end: None,
            obeys,
            ..Self::default()
        }
    }
}

impl Fake {
    /// Serves `snapshot`, with test builds as told.
    pub(crate) async fn building(bus: &Bus, snapshot: Snapshot, job: Job) -> Self {
        let fake = Self::start(bus, snapshot).await;
        fake.script.send_modify(|script| script.job = job);
        fake
    }

    /// The job prints a line.
    pub(crate) async fn print(&self, line: &str) {
        let signal = printed(&self.script, line);
        self.connection.send(&signal).await.unwrap();
    }
}

/// `TestBuild(options)`: the answer among what the job says of itself.
pub(super) fn start(call: &Message, script: &watch::Sender<Script>) -> Vec<Message> {
    let header = call.header();
    script.send_modify(|script| {
        let job = &mut script.job;
        job.number += 1;
        job.builder = header.path().unwrap().to_string();
        job.state = JobState::Running;
        job.output.clear();
    });
    let job = script.borrow().job.clone();
    let path = ObjectPath::try_from(names::job_path(job.number)).unwrap();
    let mut messages: Vec<Message> = job.early.iter().map(|line| printed(script, line)).collect();
    messages.push(Message::method_return(&header).build(&path).unwrap());
    let announced = job.late.len() - job.unannounced;
    for (index, line) in job.late.iter().enumerate() {
        let signal = printed(script, line);
        if index < announced {
            messages.push(signal);
        }
    }
    if let Some((state, reason)) = job.end {
        messages.push(end(script, state, reason));
    }
    messages
}

/// Everything else that the job's object is asked.
pub(super) fn answer(call: &Message, script: &watch::Sender<Script>) -> Vec<Message> {
    let header = call.header();
    let reply = Message::method_return(&header);
    let job = script.borrow().job.clone();
    assert_eq!(
        header.path().unwrap().as_str(),
        names::job_path(job.number).as_str()
    );
    match header.member().unwrap().as_str() {
        "GetOutput" => {
            let mut messages = vec![reply.build(&job.output).unwrap()];
            // What could be read before it was announced is announced now.
            let late = job.late.iter().skip(job.late.len() - job.unannounced);
            messages.extend(late.map(|line| signal(job.number, line)));
            script.send_modify(|script| script.job.unannounced = 0);
            messages
        }
        "Get" => {
            let (_, property): (String, String) = call.body().deserialize().unwrap();
            let ended = job.state != JobState::Running;
            let value = match property.as_str() {
                "State" => Variant::from(job.state.as_str()),
                "Reason" => Variant::from(job.reason.as_str()),
                "StartTimestamp" => Variant::from(START),
                "FinishTimestamp" => Variant::from(if ended { START + TOOK } else { 0 }),
                other => panic!("nobody should read {other}"),
            };
            vec![reply.build(&value).unwrap()]
        }
        "Cancel" => {
            let mut messages = vec![reply.build(&()).unwrap()];
            if job.obeys {
                messages.push(end(script, JobState::Cancelled, Reason::None));
            }
            messages
        }
        other => panic!("nobody should call {other}"),
    }
}

/// What a call's options say: `timeout=90000000`.
pub(super) fn options(call: &Message) -> String {
    let options: HashMap<String, OwnedVariant> = call.body().deserialize().unwrap();
    let texts = options.iter().map(|(key, value)| match &**value {
        Variant::U64(number) => format!("{key}={number}"),
        other => panic!("{key}: {other:?}"),
    });
    texts.collect::<Vec<_>>().join(",")
}

/// It ends; the daemon keeps the result before it says so.
fn end(script: &watch::Sender<Script>, state: JobState, reason: Reason) -> Message {
    script.send_modify(|script| {
        let job = &mut script.job;
        job.state = state;
        job.reason = reason;
        let builder = script
            .snapshot
            .targets
            .iter_mut()
            .find(|target| target.kind == Kind::Builder && target.path() == job.builder);
        if let Some(builder) = builder {
            let details = job.details.iter();
            builder
                .details
                .extend(details.map(|(key, value)| ((*key).into(), value.clone())));
        }
    });
    let number = script.borrow().job.number;
    let changed: HashMap<&str, Variant<'_>> = [
        ("State", state.as_str().into()),
        ("Reason", reason.as_str().into()),
        ("FinishTimestamp", (START + TOOK).into()),
    ]
    .into();
    let none: [&str; 0] = [];
    let signal = Message::signal(
        names::job_path(number),
        "org.freedesktop.DBus.Properties",
        "PropertiesChanged",
    )
    .build(&(names::JOB, &changed, none.as_slice()));
    signal.unwrap()
}

/// Keeps a line and announces it.
fn printed(script: &watch::Sender<Script>, line: &str) -> Message {
    script.send_modify(|script| script.job.output.push(line.to_owned()));
    signal(script.borrow().job.number, line)
}

fn signal(number: u32, line: &str) -> Message {
    Message::signal(names::job_path(number), names::JOB, "Output")
        .build(&line)
        .unwrap()
}
