//! A real Prometheus, and what it has read.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    Error, Result,
    error::Context,
    eventually,
    ground::free_address,
    process::{Process, system_program},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Of anything that is read here.
const MAX_ANSWER: u64 = 64 << 20;

/// It runs, and reads its targets.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts it on `targets`, which it reads every so many seconds, with the alerts of a file.
    ///
    /// # Errors
    /// When it is not installed, or does not come up; what it said is in the error.
    pub async fn start(targets: &[SocketAddr], every: u32, rules: &Path) -> Result<Self> {
        let program = system_program("prometheus", "prometheus")?;
        let directory = tempfile::tempdir().context("a directory for Prometheus")?;
        let file = |name: &str| directory.path().join(name);
        let named: Vec<String> = targets.iter().map(|it| format!("\"{it}\"")).collect();
        let config = format!(
            "global: {{ scrape_interval: {every}s, evaluation_interval: {every}s }}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: offloadd\n    static_configs: [{{ targets: [{}] }}]\n",
            rules.display(),
            named.join(",")
        );
        let path = file("prometheus.yml");
        fs::write(&path, config).context(path.display())?;
        let address = free_address()?;
        let log = file("log");
        let process = Process::start(&program, None, &log, |command| {
            command
                .arg(format!("--config.file={}", path.display()))
                .arg(format!("--storage.tsdb.path={}", file("data").display()))
                .arg(format!("--web.listen-address={address}"));
        })?;
        let prometheus = Self {
            process,
            address,
            _directory: directory,
        };
        let ready = eventually(PATIENCE, "Prometheus is ready", async || {
            let answer = get(address, "/-/ready", "").await.ok()?;
            (answer.0 == 200).then_some(())
        });
        let said = |error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            Error::Unsupported(format!("{error}: {said}"))
        };
        ready.await.map_err(said)?;
        Ok(prometheus)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What `expression` is now: labels and value of each series.
    ///
    /// # Errors
    /// When it is no expression of Prometheus'.
    pub async fn query(&self, expression: &str) -> Result<Vec<(BTreeMap<String, String>, f64)>> {
        let escaped: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        let answer = self.api(&format!("/api/v1/query?query={escaped}")).await?;
        let series = answer["data"]["result"].as_array();
        let series = series.ok_or_else(|| Error::Unsupported(format!("{expression}: {answer}")))?;
        let of = |series: &Value| {
            let labels = serde_json::from_value(series["metric"].clone()).ok()?;
            let value = series["value"][1].as_str()?.parse().ok()?;
            Some((labels, value))
        };
        Ok(series.iter().filter_map(of).collect())
    }

    /// What its API says at `path`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn api(&self, path: &str) -> Result<Value> {
        let (_, body) = get(self.address, path, "").await?;
        let read = serde_json::from_str(&body).map_err(std::io::Error::other);
        read.context(format!("{path}: {body}"))
    }
}

/// Status and body of `path`, asked for with further `headers`, each with its end of line; `Host` may be among them.
///
/// # Errors
/// When nobody answers.
pub async fn get(address: SocketAddr, path: &str, headers: &str) -> Result<(u16, String)> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let host = if headers.contains("Host: ") {
            String::new()
        } else {
            format!("Host: {address}\r\n")
        };
        // 1.0, so that no answer comes in pieces.
        let head = format!("GET {path} HTTP/1.0\r\n{host}{headers}\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut text = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut text).await?;
        Ok(text)
    };
    let asked = timeout(PATIENCE, asked)
        .await
        .map_err(std::io::Error::other);
    let text: std::io::Result<String> = asked.and_then(|text| text);
    let text = text.context(format!("http://{address}{path}"))?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.unwrap_or_default(), body.to_owned()))
}
