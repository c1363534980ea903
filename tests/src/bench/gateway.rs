//! What Nix waits for at the gateway, beside nginx in its place: ten thousand questions over as many connections as Nix
//! opens, two caches behind, of which one comes and goes; and what a large NAR costs on the way through it.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use offload_client::OverallState;
use offloadd::clock::Stopwatch;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use super::{
    figures::{Sample, megabytes, milliseconds},
    proc,
};
use crate::{
    Bus, Daemon, Error, Nginx, Result, daemon::Launch, error::Context, ground::free_address,
    signals::Signals,
};

/// As many as Nix opens (`http-connections`, src/libstore/filetransfer.hh).
const CLIENTS: usize = 25;
/// What each of them asks.
const QUESTIONS: usize = 400;
/// Between an answer and the next question, so that it all lasts some comings and goings.
const PAUSE: Duration = Duration::from_millis(25);
/// So long the one cache is there, and so long it is not.
const FLAP: Duration = Duration::from_secs(1);
/// A question that has no answer by then hangs.
const HANGS: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
/// 2 GB, of which nothing is on the disk.
const LARGE: u64 = 2_000_000_000;
const LARGE_PATH: &str = "/nar/0000000000000000000000000000000000000000000000000001.nar";

/// What was measured, a row each: what it is, the gateway's figure and nginx's.
pub type Figures = Vec<[String; 3]>;

/// Measures `offloadd` as a gateway, and nginx in its place.
///
/// # Errors
/// When a program was not built, a question hangs, or is answered in a way that Nix does not take for a miss.
pub async fn measure(offloadd: &Path) -> Result<Figures> {
    let steady = Nginx::start(free_address()?).await?;
    let mut flapping = Nginx::start(free_address()?).await?;
    fill(&steady)?;
    let proxy = proxy(&[steady.address(), flapping.address()]).await?;

    let (bus, gateway) = (Bus::start().await?, free_address()?);
    let mut signals = Signals::listen(&bus.address()).await?;
    let daemon = Daemon::start(Launch {
        config: format!(
            "[nix]\nimport = false\n[steer]\ngateway = \"{gateway}\"\n{}{}",
            steady.entry("steady"),
            flapping.entry("flapping")
        ),
        bus: bus.address(),
        program: Some(offloadd.to_owned()),
        ..Launch::default()
    });
    let daemon = daemon.await?;
    daemon.wait_ready().await?;
    let ready = OverallState::Ready.as_str();
    signals.until_verdict(PATIENCE, ready).await?;

    let idle = proc::memory(daemon.id())?.resident;
    let by_gateway = asked(gateway, &mut flapping).await?;
    let peak = proc::peak(daemon.id())?;
    let by_nginx = asked(proxy.address(), &mut flapping).await?;

    let speed = |watch: &Stopwatch| LARGE as f64 / watch.elapsed().as_secs_f64() / 1e9;
    // Whoever reads it first fills the kernel's cache of it.
    fetch(steady.address()).await?;
    let watch = Stopwatch::start();
    fetch(gateway).await?;
    let through = speed(&watch);
    let watch = Stopwatch::start();
    fetch(steady.address()).await?;
    let direct = speed(&watch);

    let row = |what: &str, [gateway, nginx]: [String; 2]| [what.to_owned(), gateway, nginx];
    let both = [&by_gateway, &by_nginx];
    let none = || "".to_owned();
    Ok(vec![
        row("questions", both.map(|it| it.asked.to_string())),
        row("200", both.map(|it| it.found.to_string())),
        row("404", both.map(|it| it.missing.to_string())),
        row("anything else", both.map(|it| it.other.to_string())),
        row("median", both.map(|it| milliseconds(it.times.median()))),
        row("99 %", both.map(|it| milliseconds(it.times.percentile(99)))),
        row(
            "longest",
            both.map(|it| milliseconds(it.times.percentile(100))),
        ),
        row("memory before, VmRSS", [megabytes(idle), none()]),
        row("memory at the most, VmHWM", [megabytes(peak), none()]),
        row(
            "a NAR of 2 GB, beside the cache itself",
            [format!("{through:.2} GB/s"), format!("{direct:.2} GB/s")],
        ),
    ])
}

/// What became of all questions.
struct Asked {
    asked: usize,
    times: Sample,
    found: usize,
    missing: usize,
    other: usize,
}

/// Asks whoever listens at `address`, while one of the caches behind comes and goes.
async fn asked(address: SocketAddr, flapping: &mut Nginx) -> Result<Asked> {
    let clients = try_join_all((0..CLIENTS).map(async |number| client(address, number).await));
    tokio::pin!(clients);
    let flap = async {
        loop {
            tokio::time::sleep(FLAP).await;
            flapping.stop();
            tokio::time::sleep(FLAP).await;
            flapping.restart().await?;
        }
    };
    let answers = tokio::select! {
        answers = &mut clients => answers?,
        never = flap => return never,
    };
    flapping.restart().await?;
    let answers: Vec<(StatusCode, Duration)> = answers.into_iter().flatten().collect();
    let count = |is: fn(StatusCode) -> bool| answers.iter().filter(|(it, _)| is(*it)).count();
    let (found, missing) = (
        count(|it| it == StatusCode::OK),
        count(|it| it == StatusCode::NOT_FOUND),
    );
    Ok(Asked {
        asked: answers.len(),
        other: answers.len() - found - missing,
        times: Sample::new(answers.into_iter().map(|(_, time)| time).collect()),
        found,
        missing,
    })
}

/// The answers that one connection got. Every second question is of a path that no cache has.
async fn client(address: SocketAddr, number: usize) -> Result<Vec<(StatusCode, Duration)>> {
    let mut connection = Connection::open(address).await?;
    let mut answers = Vec::with_capacity(QUESTIONS);
    for question in 0..QUESTIONS {
        let path = narinfo(number * QUESTIONS + question);
        let watch = Stopwatch::start();
        let answer = timeout(HANGS, connection.ask(&path)).await;
        let (status, _) = answer.map_err(|_| Error::Unsupported(format!("{path} hangs")))??;
        answers.push((status, watch.elapsed()));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(answers)
}

/// Fetches the large NAR from `address`, or from where that leads to.
async fn fetch(address: SocketAddr) -> Result<()> {
    let (status, told) = Connection::open(address).await?.ask(LARGE_PATH).await?;
    match (status, told) {
        (StatusCode::OK, Told::Length(LARGE)) => Ok(()),
        (StatusCode::TEMPORARY_REDIRECT, Told::Location(there)) => {
            let (status, told) = Connection::open(there).await?.ask(LARGE_PATH).await?;
            let is_whole = matches!((status, told), (StatusCode::OK, Told::Length(LARGE)));
            let error = || Error::Unsupported(format!("{there} answers {status}"));
            is_whole.then_some(()).ok_or_else(error)
        }
        (status, _) => Err(Error::Unsupported(format!("{address} answers {status}"))),
    }
}

/// What an answer said, its body being read and let go.
enum Told {
    Length(u64),
    Location(SocketAddr),
}

/// A connection that is kept, as Nix keeps it.
struct Connection {
    address: SocketAddr,
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context(address)?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| unsaid(address, &error))?;
        let driver = tokio::spawn(async move {
            // Whoever asks hears of it.
            let _ = connection.await;
        });
        Ok(Self {
            address,
            sender,
            driver,
        })
    }

    async fn ask(&mut self, path: &str) -> Result<(StatusCode, Told)> {
        let unsaid = |error: &hyper::Error| unsaid(self.address, error);
        let request = Request::get(path).header(header::HOST, self.address.to_string());
        let request = request
            .body(Empty::new())
            .map_err(io::Error::other)
            .context(path)?;
        let answer = self.sender.send_request(request).await;
        let mut answer = answer.map_err(|error| unsaid(&error))?;
        let mut length = 0;
        while let Some(frame) = answer.frame().await {
            let frame = frame.map_err(|error| unsaid(&error))?;
            length += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let location = answer.headers().get(header::LOCATION);
        let location = location.and_then(|it| {
            let rest = it.to_str().ok()?.strip_prefix("http://")?;
            rest.split('/').next()?.parse().ok()
        });
        let told = location.map_or(Told::Length(length), Told::Location);
        Ok((answer.status(), told))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn unsaid(address: SocketAddr, error: &hyper::Error) -> Error {
    Error::Unsupported(format!("{address}: {error}"))
}

/// Puts every second of the paths that are asked for into `cache`, and the large NAR.
fn fill(cache: &Nginx) -> Result<()> {
    let directory = cache.directory().join("cache");
    let name = Path::new(cache.store_path())
        .file_name()
        .unwrap_or_default();
    let hash: String = name.to_string_lossy().chars().take(32).collect();
    let known = directory.join(format!("{hash}.narinfo"));
    for number in (0..CLIENTS * QUESTIONS).step_by(2) {
        let path = directory.join(narinfo(number).trim_start_matches('/'));
        std::fs::copy(&known, &path).context(path.display())?;
    }
    let large = directory.join(LARGE_PATH.trim_start_matches('/'));
    let file = std::fs::File::create(&large).context(large.display())?;
    file.set_len(LARGE).context(large.display())
}

fn narinfo(number: usize) -> String {
    format!("/{number:032}.narinfo")
}

/// nginx in the gateway's place: who does not answer, or has not got it, is passed over for the other.
async fn proxy(caches: &[SocketAddr]) -> Result<Nginx> {
    let mut proxy = Nginx::start(free_address()?).await?;
    proxy.set_upstream(caches);
    proxy.set_server(
        "location / {
           proxy_pass http://caches;
           proxy_http_version 1.1;
           proxy_set_header Connection '';
           proxy_connect_timeout 300ms;
           proxy_read_timeout 1s;
           proxy_next_upstream error timeout http_404;
         }",
    );
    proxy.restart().await?;
    Ok(proxy)
}
