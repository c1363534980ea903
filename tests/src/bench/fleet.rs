//! Many laptops that share some desktops, each a daemon of its own, and a real Prometheus that reads them all.

use std::{net::SocketAddr, path::Path, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use offloadd::clock::Stopwatch;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::{
    contestant::Desk,
    figures::{Sample, megabytes, milliseconds},
    proc,
};
use crate::{
    Daemon, Error, Prometheus, Result, daemon::Launch, error::Context, eventually,
    ground::free_address, prometheus::get,
};

/// So many share a desktop.
const LAPTOPS_EACH: usize = 25;
/// So many are started at once: a login costs both sides.
const AT_ONCE: usize = 8;
/// As a Prometheus reads by default, in seconds; and for how long it is watched.
const EVERY: u32 = 15;
const WATCHED: Duration = Duration::from_secs(120);
/// How often one page is read, for what that costs.
const READS: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(120);

struct Laptop {
    daemon: Daemon,
    metrics: SocketAddr,
    /// Where its own bus is.
    _runtime: TempDir,
}

/// Starts `laptops` of `program`, and says what that comes to: names and figures.
///
/// # Errors
/// When a part does not come up, or is not read.
pub async fn measure(program: &Path, laptops: usize) -> Result<Vec<(String, String)>> {
    allow_descriptors()?;
    let mut desks = Vec::new();
    for _ in 0..laptops.div_ceil(LAPTOPS_EACH) {
        desks.push(Desk::start().await?);
    }
    let started = Stopwatch::start();
    let all = stream::iter(0..laptops).map(|number| {
        let desk = number / LAPTOPS_EACH;
        start(program, &desks[desk], desk)
    });
    let all: Vec<Laptop> = all.buffered(AT_ONCE).try_collect().await?;
    let addresses: Vec<SocketAddr> = all.iter().map(|laptop| laptop.metrics).collect();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet/rules.yml");
    let prometheus = Prometheus::start(&addresses, EVERY, &rules).await?;
    let ready = "count(offloadd_state{state=\"ready\"} == 1)";
    until(&prometheus, ready, laptops).await?;
    let started = started.elapsed();

    let (first, watch) = (proc::account(prometheus.id())?, Stopwatch::start());
    let before = accounts(&all)?;
    tokio::time::sleep(WATCHED).await;
    let spent = proc::account(prometheus.id())?.since(first).cpu_nanos;
    let cpu = Duration::from_nanos(spent).as_secs_f64() / watch.elapsed().as_secs_f64();
    let of_all = (accounts(&all)? - before).as_secs_f64() / watch.elapsed().as_secs_f64();
    let memory = all.iter().map(|it| proc::memory(it.daemon.id()));
    let mut memory: Vec<u64> = memory
        .map(|it| it.map(|it| it.resident))
        .collect::<Result<_>>()?;
    memory.sort_unstable();

    let one = &all[0];
    let before = proc::account(one.daemon.id())?;
    let mut reads = Vec::new();
    let mut size = 0;
    for _ in 0..READS {
        let watch = Stopwatch::start();
        size = get(one.metrics, "/metrics", "").await?.1.len();
        reads.push(watch.elapsed());
    }
    let read =
        Duration::from_nanos(proc::account(one.daemon.id())?.since(before).cpu_nanos) / READS;

    let value = async |expression: &str| -> Result<f64> {
        let found = prometheus.query(expression).await?;
        let found = found.first().map(|(_, value)| *value);
        found.ok_or_else(|| Error::Unsupported(format!("{expression} is nothing")))
    };
    let series = value("avg(scrape_samples_scraped)").await?;
    let scrape = value("avg(scrape_duration_seconds)").await?;
    let slowest = value("max(max_over_time(scrape_duration_seconds[2m]))").await?;
    let head = prometheus.api("/api/v1/status/tsdb").await?;
    let head = head["data"]["headStats"]["numSeries"].to_string();
    let of_prometheus = proc::memory(prometheus.id())?.resident;

    let watch = Stopwatch::start();
    drop(desks.remove(0));
    let gone = "count(offloadd_target_state{state=\"down\",name=\"desktop0\",kind=\"cache\"} == 1)";
    until(&prometheus, gone, LAPTOPS_EACH.min(laptops)).await?;
    let told = watch.elapsed();

    let figure = |name: &str, figure: String| (name.to_owned(), figure);
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    Ok(vec![
        figure(
            "desktops, each an sshd and an nginx",
            laptops.div_ceil(LAPTOPS_EACH).to_string(),
        ),
        figure("from the first start to all ready", seconds(started)),
        figure("series of one laptop", format!("{series:.0}")),
        figure("series in Prometheus", head),
        figure("a page", format!("{:.1} KB", size as f64 / 1e3)),
        figure(
            "reading it, median",
            milliseconds(Sample::new(reads).median()),
        ),
        figure("processor time of that in offloadd", milliseconds(read)),
        figure(
            "Prometheus reads a laptop in, on average",
            format!("{:.2} ms", scrape * 1e3),
        ),
        figure("and the slowest", format!("{:.0} ms", slowest * 1e3)),
        figure("Prometheus, of a core", format!("{:.1} %", cpu * 100.0)),
        figure("Prometheus, VmRSS", megabytes(of_prometheus)),
        figure(
            "one offloadd, of a core",
            format!("{:.3} %", of_all * 100.0 / laptops as f64),
        ),
        figure(
            "one offloadd, VmRSS, median",
            megabytes(memory[memory.len() / 2]),
        ),
        figure("a desktop gone to all its laptops' figures", seconds(told)),
    ])
}

async fn start(program: &Path, desk: &Desk, number: usize) -> Result<Laptop> {
    let runtime = tempfile::tempdir().context("a directory for a bus")?;
    let metrics = free_address()?;
    let config = format!(
        "[nix]\nimport = false\n[proof]\nbuilds = \"never\"\n[metrics]\nlisten = \"{metrics}\"\n{}{}",
        desk.nginx.entry(&format!("desktop{number}")),
        desk.sshd.entry(&format!("desktop{number}"))?,
    );
    let daemon = Daemon::start(Launch {
        config,
        bus: "embedded".to_owned(),
        environment: vec![(
            "OFFLOADD_RUNTIME_DIR".into(),
            runtime.path().display().to_string(),
        )],
        program: Some(program.to_owned()),
        ..Launch::default()
    })
    .await?;
    daemon.wait_ready().await?;
    Ok(Laptop {
        daemon,
        metrics,
        _runtime: runtime,
    })
}

async fn until(prometheus: &Prometheus, expression: &str, count: usize) -> Result<()> {
    let mut last = None;
    let reached = eventually(PATIENCE, expression, async || {
        last = prometheus
            .query(expression)
            .await
            .ok()?
            .first()
            .map(|it| it.1);
        (last == Some(count as f64)).then_some(())
    });
    let reached = reached.await;
    reached.map_err(|error| Error::Unsupported(format!("{error}: {last:?} of {count}")))
}

fn accounts(all: &[Laptop]) -> Result<Duration> {
    let accounts = all.iter().map(|it| proc::account(it.daemon.id()));
    let nanos = accounts.map(|it| it.map(|it| it.cpu_nanos));
    Ok(Duration::from_nanos(nanos.sum::<Result<u64>>()?))
}

/// Each daemon takes some.
fn allow_descriptors() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    let set = setrlimit(Resource::Nofile, all);
    set.map_err(std::io::Error::from).context("RLIMIT_NOFILE")
}
