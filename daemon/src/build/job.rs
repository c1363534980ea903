//! One test build, from the question whether there is room for it to its verdict.

use std::{fs, io::Read, path::Path, sync::Arc, time::Duration};

use offload_client::{
    JobState, Printable, Reason,
    snapshot::{Detail, Target},
};
use tokio::sync::watch;

use super::{
    Board, BuildVerdict, Nix, StartError, TIMEOUT,
    nix::NixError,
    verdict::{self, Evidence, Given, failed, unblamed},
};
use crate::{
    clock::{Now, Stopwatch},
    file,
    helper::{Ended, Helper, Told},
    monitor,
    nix::uri,
    nonce::nonce,
    probe::builder::slots_in_use,
    program::Stream,
    report::Tested,
    target::{BuilderSpec, Dispatch, SpecKind, TargetSpec},
};

/// The builder's boot id, as the checks note it among a target's details.
const DETAIL_BOOT_ID: &str = "boot_id";
/// The builder's host name, likewise.
const DETAIL_HOSTNAME: &str = "hostname";

/// A slot whose build has just ended is free a little later: so often it is looked at.
const LOOKS: u32 = 10;
/// The time between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// How long this machine's Nix may take to say what it knows of a path.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// More than any output of a test build has, in bytes.
const MAX_OUTPUT: u64 = 4096;
/// How much of one line of the build's log is kept, in bytes.
pub(crate) const MAX_LINE: usize = 1024;
/// More than Nix says of one path, in bytes.
const MAX_JSON: usize = 64 * 1024;

/// One test build.
#[derive(Debug)]
pub(super) struct Attempt {
    pub nix: Nix,
    pub monitor: monitor::Handle,
    pub board: watch::Sender<Board>,
    pub number: u32,
    pub timeout: Duration,
    pub spec: Arc<TargetSpec>,
}

impl Attempt {
    /// What it is for.
    ///
    /// # Errors
    ///
    /// Where that is no builder, or one that Nix has no line for.
    pub(super) fn builder(&self) -> Result<&BuilderSpec, StartError> {
        match &self.spec.kind {
            SpecKind::Cache(_) => Err(StartError::NoSuchBuilder),
            SpecKind::Builder(builder) if builder.dispatch.is_empty() => {
                Err(StartError::NotDispatched)
            }
            SpecKind::Builder(builder) => Ok(builder),
        }
    }

    /// Builds. Dropping the future ends Nix's command, and with it the build.
    pub(super) async fn run(&self, builder: &BuilderSpec) -> Tested {
        let watch = Stopwatch::start();
        if let Some(full) = self.waits_for_a_slot(builder).await {
            return tested(watch.elapsed(), unblamed(Reason::BuilderFull, full));
        }
        let watch = Stopwatch::start();
        let verdict = self.build(builder).await;
        tested(watch.elapsed(), verdict)
    }

    /// Tells the monitor, then everybody; `None` for one that was cancelled, which shows nothing.
    pub(super) async fn end(&self, result: Option<Tested>) {
        let (state, reason) = match &result {
            None => (JobState::Cancelled, Reason::None),
            Some(tested) => match tested.outcome {
                Ok(()) => (JobState::Succeeded, Reason::None),
                Err(reason) => (JobState::Failed, reason),
            },
        };
        let detail = result.as_ref().map_or("", |tested| &*tested.detail);
        let words = [state.as_str(), reason.as_str(), detail];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        tracing::info!("job {}: {} {}", self.number, self.spec.id, words.join(": "));
        if let Some(tested) = result {
            self.monitor.tested(self.spec.clone(), tested).await;
        }
        let now = Now::read().realtime_usec;
        self.board
            .send_modify(|board| board.end(self.number, state, reason, now));
    }

    async fn build(&self, builder: &BuilderSpec) -> BuildVerdict {
        let (mut nonce, mut path) = (String::new(), String::new());
        let heard = |told: Told| match told {
            Told::Begun(word) => nonce = word,
            Told::Line(stream, line) => {
                let line = shown(&builder.dispatch, &line);
                if stream == Stream::Output {
                    path.clone_from(&line);
                }
                self.board
                    .send_modify(|board| board.print(self.number, line.into()));
            }
        };
        let store = builder.store();
        let ended = match Helper::of_this_machine().filter(|_| !store.is_empty()) {
            // Root says which builder Nix is to use.
            Some(helper) => {
                let built = helper.build(store, self.timeout, heard).await;
                built.map_err(|error| format!("offload-helper: {error}"))
            }
            None => self.build_here(builder, heard).await,
        };
        match ended {
            Ok(Ended::Succeeded) => self.judge(builder, &nonce, &path).await,
            Ok(Ended::TimedOut) => self.timed_out(builder, &nonce),
            Ok(Ended::Failed(status)) => {
                let told = self.told();
                let detail = if told.is_empty() {
                    format!("nix-build ended with {status}").into()
                } else {
                    told
                };
                if self.was_reached(builder, &nonce) {
                    failed(Reason::BuildFailed, detail)
                } else {
                    unblamed(Reason::BuildFailed, detail)
                }
            }
            Err(why) => unblamed(Reason::BuildFailed, why),
        }
    }

    /// Builds as this process' own user.
    async fn build_here(
        &self,
        builder: &BuilderSpec,
        mut heard: impl FnMut(Told),
    ) -> Result<Ended, String> {
        let nonce = nonce().map_err(|error| format!("no random number: {error}"))?;
        let command = self.nix.test_build(&builder.dispatch, &nonce, self.timeout);
        let command = command.map_err(|error| error.to_string())?;
        heard(Told::Begun(nonce));
        let line = |stream, line: &[u8]| {
            heard(Told::Line(
                stream,
                String::from_utf8_lossy(line).into_owned(),
            ));
        };
        match Nix::run(command, self.timeout, MAX_LINE, line).await {
            Ok(status) if status.success() => Ok(Ended::Succeeded),
            Ok(status) => Ok(Ended::Failed(status.to_string())),
            Err(NixError::TimedOut(_)) => Ok(Ended::TimedOut),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Reads what the build left.
    async fn judge(&self, builder: &BuilderSpec, nonce: &str, path: &str) -> BuildVerdict {
        if !verdict::is_output(path, nonce) {
            let detail = "nix-build did not say where the output is".to_owned();
            return unblamed(Reason::BuildFailed, detail);
        }
        let output = match read_output(Path::new(path)) {
            Ok(output) => output,
            Err(error) => return unblamed(Reason::BuildFailed, format!("{path}: {error}")),
        };
        let ultimate = self.is_ultimate(path).await;
        let hostname = self.detail(|target| text(target, DETAIL_HOSTNAME));
        verdict::judge(&Evidence {
            nonce,
            output: &output,
            ultimate,
            given: &self.given(builder, nonce),
            own_boot_id: &own_boot_id(),
            boot_id: &self.boot_id(),
            hostname: hostname.unwrap_or_default().trim(),
            host: &builder.host,
        })
    }

    /// Whom this machine's Nix gave it to.
    fn given(&self, builder: &BuilderSpec, nonce: &str) -> Given {
        let uris = builder.dispatch.iter().map(|way| &*way.store_uri);
        let board = self.board.borrow();
        match board.get(self.number) {
            Some(job) => verdict::given(job.output.lines(), nonce, uris),
            None => Given::Unknown,
        }
    }

    /// Whether this machine's store built `path` itself; `None` where it does not say.
    async fn is_ultimate(&self, path: &str) -> Option<bool> {
        let feature = ["--extra-experimental-features", "nix-command"];
        let query = ["path-info", "--json", path];
        let arguments = [&feature[..], &query].concat();
        let mut json = Vec::new();
        let heard = |stream, line: &[u8]| {
            if stream == Stream::Output && json.len() + line.len() <= MAX_JSON {
                json.extend_from_slice(line);
            }
        };
        let command = self.nix.command("nix", &arguments).ok()?;
        match Nix::run(command, QUERY_TIMEOUT, MAX_JSON, heard).await {
            Ok(status) if status.success() => verdict::ultimate(&json, path),
            _ => None,
        }
    }

    /// Whether it was this builder that failed, and not this machine's Nix before it came so far.
    fn was_reached(&self, builder: &BuilderSpec, nonce: &str) -> bool {
        let board = self.board.borrow();
        let refused = board
            .get(self.number)
            .is_some_and(|job| job.output.lines().any(verdict::is_refusal));
        drop(board);
        refused || self.given(builder, nonce) == Given::Here
    }

    fn timed_out(&self, builder: &BuilderSpec, nonce: &str) -> BuildVerdict {
        let after = humantime::format_duration(self.timeout);
        let mut detail = format!("it had not ended after {after}");
        let told = self.told();
        if !told.is_empty() {
            detail.push_str(&format!("; Nix said last: {told}"));
        }
        let was_reached = self.was_reached(builder, nonce);
        let own_boot_id = own_boot_id();
        let leads_back = !own_boot_id.is_empty() && self.boot_id() == own_boot_id;
        if was_reached && leads_back && verdict::waits_for_itself(&told) {
            return failed(Reason::BuiltLocally, detail);
        }
        if let Some((used, total)) = slots_in_use(builder)
            && used >= total
            && !was_reached
        {
            detail.push_str(&format!("; {used} of {total} slots are in use"));
            return unblamed(Reason::BuilderFull, detail);
        }
        // Whoever asked for less than a build usually takes learns what he asked for, and no more.
        if was_reached && self.timeout >= TIMEOUT {
            failed(Reason::BuildFailed, detail)
        } else {
            unblamed(Reason::BuildFailed, detail)
        }
    }

    /// The line of the log that says most.
    fn told(&self) -> Printable {
        let board = self.board.borrow();
        let job = board.get(self.number);
        job.map_or_else(Printable::default, |job| {
            verdict::telling(job.output.lines())
        })
    }

    /// Gives a build that has just ended the time to leave its slot; how full the builder is where
    /// none becomes free.
    async fn waits_for_a_slot(&self, builder: &BuilderSpec) -> Option<String> {
        for look in 1..=LOOKS {
            let (used, total) = slots_in_use(builder)?;
            if used < total {
                return None;
            }
            if look == LOOKS {
                return Some(format!("{used} of {total} slots are in use"));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        None
    }

    /// The builder's boot id, as far as the checks know it.
    fn boot_id(&self) -> String {
        let known = self.detail(|target| text(target, DETAIL_BOOT_ID));
        known.unwrap_or_default().trim().to_owned()
    }

    fn detail<T>(&self, read: impl FnOnce(&Target) -> Option<T>) -> Option<T> {
        let snapshot = self.monitor.snapshot();
        let id = &self.spec.id;
        let mut targets = snapshot.targets.iter();
        targets
            .find(|target| target.kind == id.kind && *target.name == *id.name)
            .and_then(read)
    }
}

/// A line of Nix's as it may be shown: a password of the builder's URL has no place in it.
fn shown(dispatch: &[Dispatch], line: &str) -> String {
    let mut shown = line.to_owned();
    for way in dispatch {
        let redacted = uri::redacted(&way.store_uri);
        if redacted != way.store_uri {
            shown = shown.replace(&way.store_uri, &redacted);
        }
    }
    shown
}

fn tested(took: Duration, verdict: BuildVerdict) -> Tested {
    let (outcome, blames, place, detail) = match verdict {
        BuildVerdict::Succeeded { place } => (Ok(()), false, place, Printable::default()),
        BuildVerdict::Failed {
            reason,
            blames,
            place,
            detail,
        } => (Err(reason), blames, place, detail),
    };
    Tested {
        outcome,
        blames,
        place,
        detail,
        finished: Now::read().realtime_usec,
        took,
    }
}

/// This machine's.
fn own_boot_id() -> String {
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    own.unwrap_or_default().trim().to_owned()
}

fn text(target: &Target, key: &str) -> Option<Printable> {
    match target.details.get(key)? {
        Detail::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// The output's text: it is to be a file, and a small one.
fn read_output(path: &Path) -> std::io::Result<Vec<u8>> {
    if !path.symlink_metadata()?.is_file() {
        return Err(std::io::Error::other("the output is no file"));
    }
    let mut text = Vec::new();
    file::open(path)?.take(MAX_OUTPUT).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_of_the_builders_url_is_not_shown() {
        let way = Dispatch {
            store_uri: "ssh-ng://me:secret@desktop".into(),
            max_jobs: 1,
            line: String::new(),
            system: "x86_64-linux".into(),
            is_native: true,
            is_nixs: true,
            systems: Vec::new(),
            features: Vec::new(),
            mandatory_features: Vec::new(),
            slots: Vec::new(),
        };
        let line = "cannot build on 'ssh-ng://me:secret@desktop': error: gone";
        assert_eq!(
            shown(&[way], line),
            "cannot build on 'ssh-ng://me:***@desktop': error: gone"
        );
        assert_eq!(shown(&[], line), line);
    }
}
