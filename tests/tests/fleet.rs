//! Figures of many laptops, read by the programs that read them: Prometheus, its promtool, and node_exporter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use offload_client::{Reason, TargetState};
use offload_tests::{
    Ground, Laptop, Nginx, Prometheus,
    daemon::Launch,
    eventually,
    ground::free_address,
    process::{Process, run_command, system_program},
    prometheus::get,
    supported,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const OPEN_METRICS: &str =
    "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";

fn fleet(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet");
    folder.join(name)
}

fn promtool(arguments: &[&str], file: &Path) -> String {
    let promtool = system_program("promtool", "prometheus").unwrap();
    run_command(Command::new(promtool).args(arguments).arg(file)).unwrap()
}

/// A laptop that watches the cache, and tells its figures at an address and in a file.
async fn laptop(nginx: &Nginx, file: &Path) -> (Laptop, SocketAddr) {
    let address = free_address().unwrap();
    let config = format!(
        "[nix]\nimport = false\n[poll]\ninterval = \"2s\"\ntimeout = \"1s\"\nfast_interval = \"1s\"\n\
         [metrics]\nlisten = \"{address}\"\ntextfile = \"{}\"\n{}",
        file.display(),
        nginx.entry("desktop")
    );
    let laptop = Laptop::start_with(Launch {
        config,
        ..Launch::default()
    });
    let laptop = laptop.await.unwrap();
    laptop.until_ready().await.unwrap();
    (laptop, address)
}

#[tokio::test]
async fn prometheus_reads_what_is_true_now() {
    let ground = Ground::take().await.unwrap();
    let mut nginx = Nginx::start(ground.cache()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (laptop, address) = laptop(&nginx, &directory.path().join("offloadd.prom")).await;
    let rules = fleet("rules.yml").canonicalize().unwrap();
    let prometheus = Prometheus::start(&[address], 1, &rules).await;
    let Some(prometheus) = supported(prometheus) else {
        return;
    };
    let state = async |state: TargetState| {
        let expression =
            format!("offloadd_target_state{{name=\"desktop\",state=\"{state}\"}} == 1");
        eventually(PATIENCE, &expression, async || {
            let found = prometheus.query(&expression).await.unwrap();
            (found.len() == 1).then_some(())
        })
        .await
        .unwrap();
    };
    state(TargetState::Ready).await;
    nginx.stop();
    state(TargetState::Down).await;
    let reason = prometheus.query("offloadd_target_reason").await.unwrap();
    assert_eq!(reason[0].0["reason"], "refused");
    let went = "offloadd_target_transitions_total{state=\"down\"}";
    assert_eq!(prometheus.query(went).await.unwrap()[0].1, 1.0);
    let passed = "offloadd_check_duration_seconds_count";
    assert!(prometheus.query(passed).await.unwrap()[0].1 >= 1.0);
    let dropped = prometheus
        .query("scrape_samples_scraped == 0")
        .await
        .unwrap();
    assert_eq!(dropped, []);
    drop(laptop);
}

#[tokio::test]
async fn node_exporter_reads_the_file_which_goes_with_the_daemon() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("offloadd.prom");
    let (mut laptop, _) = laptop(&nginx, &file).await;

    let exporter = system_program("prometheus-node-exporter", "prometheus-node-exporter").unwrap();
    let address = free_address().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let _exporter = Process::start(&exporter, None, log.path(), |command| {
        command
            .args(["--collector.disable-defaults", "--collector.textfile"])
            .arg(format!(
                "--collector.textfile.directory={}",
                directory.path().display()
            ))
            .arg(format!("--web.listen-address={address}"));
    });
    let line = |line: &'static str| async move {
        eventually(PATIENCE, line, async || {
            let (_, text) = get(address, "/metrics", "").await.ok()?;
            text.lines().any(|it| it == line).then_some(text)
        })
        .await
        .unwrap()
    };
    let text =
        line("offloadd_target_state{kind=\"cache\",name=\"desktop\",state=\"ready\"} 1").await;
    assert!(text.contains("\nnode_textfile_scrape_error 0\n"), "{text}");
    assert!(
        text.contains("\n# TYPE offloadd_checks_failed_total counter\n"),
        "{text}"
    );

    laptop.daemon.terminate().await.unwrap();
    assert!(!file.exists(), "what was ready would look ready for ever");
    let text = line("node_textfile_scrape_error 0").await;
    assert!(!text.contains("offloadd_target_state"), "{text}");
}

#[tokio::test]
async fn who_asks_for_openmetrics_gets_that_and_a_page_of_somebodys_nothing() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (_laptop, address) = laptop(&nginx, &directory.path().join("offloadd.prom")).await;

    let (status, plain) = get(address, "/metrics", "").await.unwrap();
    assert!(status == 200 && !plain.contains("# EOF"), "{plain}");
    let page = directory.path().join("page");
    fs::write(&page, &plain).unwrap();
    let mut checked = Command::new(system_program("promtool", "prometheus").unwrap());
    checked
        .args(["check", "metrics"])
        .stdin(fs::File::open(&page).unwrap());
    assert_eq!(run_command(&mut checked).unwrap(), "");
    let (_, open) = get(address, "/metrics", OPEN_METRICS).await.unwrap();
    assert!(open.ends_with("# EOF\n"), "{open}");
    let families = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("# HELP"));
        lines.count()
    };
    assert_eq!(families(&open), families(&plain));

    assert_eq!(get(address, "/", "").await.unwrap().0, 404);
    let rebound = get(address, "/metrics", "Host: example.org\r\n")
        .await
        .unwrap();
    assert_ne!(rebound.0, 200);
}

#[test]
fn the_alerts_fire_when_they_should_and_name_what_there_is() {
    let rules = fleet("rules.yml");
    promtool(&["check", "rules", "--lint-fatal"], &rules);
    promtool(&["test", "rules"], &fleet("rules.test.yml"));
    let text = fs::read_to_string(&rules).unwrap();
    let words = |label: &str| {
        let mut found = BTreeSet::new();
        let key = format!("{label}=");
        for part in text.split(&key).skip(1) {
            let quoted = part.trim_start_matches('~').split('"').nth(1).unwrap();
            found.extend(quoted.split('|').map(str::to_owned));
        }
        found
    };
    let states: BTreeSet<_> = TargetState::ALL.iter().map(|it| it.to_string()).collect();
    assert!(words("state").is_subset(&states), "{:?}", words("state"));
    let reasons: BTreeSet<_> = Reason::ALL.iter().map(|it| it.to_string()).collect();
    assert!(words("reason").is_subset(&reasons), "{:?}", words("reason"));
}

/// Grafana itself is in no registry that a test may use: what can be held is that every question is one that Prometheus
/// takes, of figures that there are, and that what Grafana needs of a panel is there.
#[test]
fn the_dashboard_asks_for_figures_that_there_are() {
    let dashboard = fs::read_to_string(fleet("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let known = include_str!("../../daemon/src/metrics/expected.txt");
    let known: BTreeSet<&str> = known
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .chain(["offloadd_builder_test_build_passed"])
        .collect();
    let mut asked = String::from("groups:\n- name: dashboard\n  rules:\n");
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let number = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(number("x") + number("w") <= 24, "{panel}");
        assert!(places.insert((number("x"), number("y"))), "{panel}");
        assert!(["stat", "table", "timeseries"].contains(&panel["type"].as_str().unwrap()));
        for target in panel["targets"].as_array().unwrap() {
            assert!(target["refId"].is_string() && target["datasource"]["uid"] == "${datasource}");
            let expression = target["expr"].as_str().unwrap();
            let expression = expression
                .replace("$__rate_interval", "5m")
                .replace("$instance", ".*");
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            for word in expression.split(|c| !is_name(c)) {
                let is_figure = word.starts_with("offloadd_") || word.starts_with("process_");
                assert!(!is_figure || known.contains(word), "{word}");
            }
            asked += &format!(
                "  - record: \"asked:{}\"\n    expr: {expression:?}\n",
                asked.len()
            );
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), asked).unwrap();
    promtool(&["check", "rules"], file.path());
}
