//! One test build, from the question whether there is room for it to its verdict.

use std::{fs, io::Read, path::Path, sync::Arc, time::Duration};

use offload_client::{
    JobState, Reason,
    snapshot::{Detail, Target},
};
use tokio::sync::watch;

use super::{
    Board, Nix, StartError, Tested, Verdict, derivation,
    nix::Stream,
    verdict::{self, Evidence, Given, failed},
};
use crate::{
    clock::{Now, Stopwatch},
    monitor,
    nonce::nonce,
    target::{BuilderSpec, SpecKind, TargetSpec},
};

/// The builder's boot id, as the checks note it among a target's details.
const DETAIL_BOOT_ID: &str = "boot_id";
/// The builder's host name, likewise.
const DETAIL_HOSTNAME: &str = "hostname";
/// How many slots this machine's Nix has of it, likewise.
const DETAIL_SLOTS: &str = "slots";
/// How many of those are in use, likewise.
const DETAIL_SLOTS_IN_USE: &str = "slots_in_use";

/// What was seen of the slots in this time need not be looked at again.
const FRESH: Duration = Duration::from_secs(5);
/// How much longer Nix itself is given, which ends the build on the other side if nobody here can.
const GRACE: Duration = Duration::from_secs(10);
/// How long this machine's Nix may take to say what it knows of a path.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// More than any output of a test build has, in bytes.
const OUTPUT_MAX: u64 = 4096;
/// How much of one line of the build's log is kept, in bytes.
const LINE_MAX: usize = 1024;
/// More than Nix says of one path, in bytes.
const JSON_MAX: usize = 64 * 1024;

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
        if let Some((used, total)) = self.slots().await
            && used >= total
        {
            let detail = format!("{used} of {total} slots are in use");
            return tested(Duration::ZERO, failed(Reason::BuilderFull, detail));
        }
        let watch = Stopwatch::start();
        let verdict = match nonce() {
            Ok(nonce) => self.build(builder, &nonce).await,
            Err(error) => failed(Reason::BuildFailed, format!("no random number: {error}")),
        };
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
        tracing::info!(
            "job {}: {} {state} {reason} {detail}",
            self.number,
            self.spec.id
        );
        if let Some(tested) = result {
            self.monitor.tested(self.spec.clone(), tested).await;
        }
        let now = Now::read().realtime_usec;
        self.board
            .send_modify(|board| board.end(self.number, state, reason, now));
    }

    async fn build(&self, builder: &BuilderSpec, nonce: &str) -> Verdict {
        let expression = derivation::expression(builder, nonce);
        let lines: Vec<_> = builder.dispatch.iter().map(|way| &*way.line).collect();
        let (lines, seconds) = (lines.join("\n"), (self.timeout + GRACE).as_secs());
        let seconds = seconds.to_string();
        // With no job of its own, and no other builder, what this Nix builds is built there. (A
        // nix-daemon that does not trust us keeps its own list of builders, and says so.)
        let arguments = [
            "--no-out-link",
            "--max-jobs",
            "0",
            "--builders",
            &lines,
            "--option",
            "substitute",
            "false",
            "--timeout",
            &seconds,
            "-E",
            &expression,
        ];
        let mut path = String::new();
        let building = self
            .nix
            .run("nix-build", &arguments, LINE_MAX, |stream, line| {
                let line = String::from_utf8_lossy(line);
                if stream == Stream::Output {
                    path = line.clone().into_owned();
                }
                self.board
                    .send_modify(|board| board.print(self.number, &line));
            });
        let status = match tokio::time::timeout(self.timeout, building).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return failed(Reason::BuildFailed, error.to_string()),
            Err(_) => return self.timed_out().await,
        };
        if !status.success() {
            let told = self.told();
            let detail = match told.is_empty() {
                true => format!("nix-build ended with {status}"),
                false => told,
            };
            return failed(Reason::BuildFailed, detail);
        }
        self.judge(builder, nonce, &path).await
    }

    /// Reads what the build left.
    async fn judge(&self, builder: &BuilderSpec, nonce: &str, path: &str) -> Verdict {
        if !verdict::is_output(path, nonce) {
            let detail = "nix-build did not say where the output is".to_owned();
            return failed(Reason::BuildFailed, detail);
        }
        let output = match read_output(Path::new(path)) {
            Ok(output) => output,
            Err(error) => return failed(Reason::BuildFailed, format!("{path}: {error}")),
        };
        let ultimate = self.is_ultimate(path).await;
        let own_boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let known = |key| self.detail(|target| text(target, key)).unwrap_or_default();
        verdict::judge(&Evidence {
            nonce,
            output: &output,
            ultimate,
            given: &self.given(builder, nonce),
            own_boot_id: own_boot_id.unwrap_or_default().trim(),
            boot_id: known(DETAIL_BOOT_ID).trim(),
            hostname: known(DETAIL_HOSTNAME).trim(),
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
        let asking = self.nix.run("nix", &arguments, JSON_MAX, |stream, line| {
            if stream == Stream::Output && json.len() + line.len() <= JSON_MAX {
                json.extend_from_slice(line);
            }
        });
        match tokio::time::timeout(QUERY_TIMEOUT, asking).await {
            Ok(Ok(status)) if status.success() => verdict::ultimate(&json, path),
            _ => None,
        }
    }

    async fn timed_out(&self) -> Verdict {
        let after = humantime::format_duration(self.timeout);
        let mut detail = format!("it had not ended after {after}");
        if let Some((used, total)) = self.slots().await
            && used >= total
        {
            detail.push_str(&format!("; {used} of {total} slots are in use"));
        }
        let told = self.told();
        if !told.is_empty() {
            detail.push_str(&format!("; Nix said last: {told}"));
        }
        failed(Reason::BuildFailed, detail)
    }

    /// The line of the log that says most.
    fn told(&self) -> String {
        let board = self.board.borrow();
        let job = board.get(self.number);
        job.map_or_else(String::new, |job| verdict::telling(job.output.lines()))
    }

    /// How many slots of the builder are in use, of how many, by a check that is fresh where there
    /// can be one.
    async fn slots(&self) -> Option<(u64, u64)> {
        let last = self.detail(|target| Some(target.last_check_timestamp))?;
        let age = Now::read().realtime_usec.saturating_sub(last);
        if Duration::from_micros(age) > FRESH {
            // Paused, or asked too often: then what is known has to do.
            let _ = self.monitor.check(Some(self.spec.id.clone())).await;
        }
        self.detail(|target| {
            let total = number(target, DETAIL_SLOTS)?;
            Some((number(target, DETAIL_SLOTS_IN_USE)?, total)).filter(|_| total > 0)
        })
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

fn tested(took: Duration, verdict: Verdict) -> Tested {
    let (outcome, place, detail) = match verdict {
        Verdict::Succeeded { place } => (Ok(()), place, String::new()),
        Verdict::Failed {
            reason,
            place,
            detail,
        } => (Err(reason), place, detail),
    };
    Tested {
        outcome,
        place,
        detail,
        finished: Now::read().realtime_usec,
        took,
    }
}

fn text(target: &Target, key: &str) -> Option<String> {
    match target.details.get(key)? {
        Detail::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn number(target: &Target, key: &str) -> Option<u64> {
    match target.details.get(key)? {
        Detail::Uint(number) => Some(*number),
        _ => None,
    }
}

/// The output's text: it is to be a file, and a small one.
fn read_output(path: &Path) -> std::io::Result<Vec<u8>> {
    if !path.symlink_metadata()?.is_file() {
        return Err(std::io::Error::other("the output is no file"));
    }
    let mut text = Vec::new();
    fs::File::open(path)?
        .take(OUTPUT_MAX)
        .read_to_end(&mut text)?;
    Ok(text)
}
