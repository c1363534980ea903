//! The others: monit and prometheus-blackbox-exporter, given the same cache and builder.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    contestant::{BRISK, CALM, Cost, Desk, watch_quiet},
    proc,
};
use crate::{
    Error, Result,
    error::Context,
    eventually,
    ground::free_address,
    process::{Process, system_program},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// No answer of the exporter is longer.
const MAX_ANSWER: u64 = 1024 * 1024;

/// Measures monit: HTTP with content, SSH up to the banner.
///
/// # Errors
/// When it is not installed or makes no rounds.
pub async fn monit(rounds: usize) -> Result<Cost> {
    let desk = Desk::start().await?;
    let directory = tempfile::tempdir().context("a directory for monit")?;
    let start = |every: Duration| start_monit(&desk, directory.path(), every);
    let brisk = start(BRISK)?;
    let (memory, cpu) = desk.watch_rounds(brisk.id(), rounds).await?;
    drop(brisk);
    let calm = start(CALM)?;
    Ok(Cost {
        memory,
        cpu,
        quiet_wakeups: watch_quiet(calm.id()).await?,
    })
}

fn start_monit(desk: &Desk, directory: &Path, every: Duration) -> Result<Process> {
    let file = |name: &str| directory.join(name);
    let configuration = format!(
        "set daemon {every}\n\
         set pidfile {pid}\n\
         set idfile {id}\n\
         set statefile {state}\n\
         check host cache with address {cache_ip}\n  \
           if failed port {cache_port} protocol http request \"/nix-cache-info\" \
           content = \"StoreDir: /nix/store\" then alert\n\
         check host builder with address {ssh_ip}\n  \
           if failed port {ssh_port} protocol ssh then alert\n",
        every = every.as_secs(),
        pid = file("pid").display(),
        id = file("id").display(),
        state = file("state").display(),
        cache_ip = desk.nginx.address().ip(),
        cache_port = desk.nginx.address().port(),
        ssh_ip = desk.sshd.address().ip(),
        ssh_port = desk.sshd.address().port(),
    );
    let path = file("monitrc");
    fs::write(&path, configuration).context(path.display())?;
    // monit insists.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).context(path.display())?;
    let program = system_program("monit", "monit")?;
    Process::start(&program, None, &file("log"), |command| {
        command.arg("-I").arg("-c").arg(&path);
    })
}

/// Measures prometheus-blackbox-exporter: HTTP with content, SSH up to the banner, a round being
/// one request for each, as Prometheus would make them.
///
/// # Errors
/// When it is not installed, or a probe does not succeed.
pub async fn blackbox(rounds: usize) -> Result<Cost> {
    let desk = Desk::start().await?;
    let directory = tempfile::tempdir().context("a directory for the exporter")?;
    let listen = free_address()?;
    let process = start_blackbox(directory.path(), listen)?;
    eventually(PATIENCE, "the exporter listens", async || {
        TcpStream::connect(listen).await.ok()
    })
    .await?;

    let cache = format!("http://{}/nix-cache-info", desk.nginx.address());
    let round = async || {
        probe(listen, "cache", &cache).await?;
        probe(listen, "builder", &desk.sshd.address().to_string()).await
    };
    for _ in 0..5 {
        round().await?;
    }
    let before = proc::account(process.id())?;
    for _ in 0..rounds {
        round().await?;
    }
    let spent = proc::account(process.id())?.since(before);
    let memory = proc::memory(process.id())?;
    let rounds = u32::try_from(rounds).unwrap_or(u32::MAX).max(1);
    Ok(Cost {
        memory,
        cpu: Duration::from_nanos(spent.cpu_nanos) / rounds,
        quiet_wakeups: watch_quiet(process.id()).await?,
    })
}

fn start_blackbox(directory: &Path, listen: SocketAddr) -> Result<Process> {
    let path = directory.join("blackbox.yml");
    let configuration = "\
modules:
  cache:
    prober: http
    timeout: 2s
    http:
      preferred_ip_protocol: ip4
      fail_if_body_not_matches_regexp: ['StoreDir: /nix/store']
  builder:
    prober: tcp
    timeout: 2s
    tcp:
      query_response: [{expect: '^SSH-2.0-', send: 'SSH-2.0-blackbox'}]
";
    fs::write(&path, configuration).context(path.display())?;
    let program = system_program(
        "prometheus-blackbox-exporter",
        "prometheus-blackbox-exporter",
    )?;
    Process::start(&program, None, &directory.join("log"), |command| {
        command.arg(format!("--config.file={}", path.display()));
        command
            .arg(format!("--web.listen-address={listen}"))
            .arg("--log.level=error");
    })
}

/// One probe over HTTP; succeeds when the exporter says `probe_success 1`.
async fn probe(exporter: SocketAddr, module: &str, target: &str) -> Result<()> {
    let exchange = async {
        let mut stream = TcpStream::connect(exporter).await?;
        let request = format!(
            "GET /probe?module={module}&target={target} HTTP/1.1\r\nHost: exporter\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = exchange.await.context("the exporter")?;
    if answer.contains("\nprobe_success 1") {
        Ok(())
    } else {
        Err(Error::Program {
            program: "prometheus-blackbox-exporter".into(),
            output: format!("the {module} probe of {target} failed:\n{answer}"),
        })
    }
}
