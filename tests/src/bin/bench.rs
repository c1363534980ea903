//! What offloadd costs beside others; `tests/bench/run` builds what it measures and starts it.
//!
//! `bench [--peers] [--many] [--gateway] [--proof] [--fleet] [--beside FILE] [ROUNDS]`: with `--peers` only the others, which need no build of ours; with
//! `--many` what 10, 100 and 1,000 targets cost; with `--gateway` what Nix waits for there; with `--proof` what a test build takes; with `--fleet` what so many laptops (500) cost a Prometheus; with `--beside` this offloadd and the one in FILE.
//! `OFFLOAD_TESTS_BIN_DIR` holds the release binaries, `OFFLOAD_BENCH_WITHOUT_BUS` names the
//! offloadd that was built without its embedded bus.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use offload_tests::{
    Result,
    bench::{
        contestant::Cost,
        figures::{Sample, megabytes, milliseconds},
        fleet, gateway,
        many::{self, Many},
        offloadd, peers,
        proc::Memory,
        proof,
        table::table,
    },
    daemon::program,
    error::Context,
    process::system_program,
};

/// Beside the first table: what its rows compare.
const HOW_TO_READ: &str = "
Less is better everywhere. A round of offloadd proves more: it authenticates and proves the host
key, where both peers read the SSH banner only. keep asks over the connections it holds, per-check
makes new ones, as the peers do. The exporter has no rounds of its own: a request to it is what
Prometheus would send, and serving that is part of its cost. Processor time and wake-ups are the
kernel's account of the whole process; those hold on a busy machine too. Times on the wall, below,
want a quiet one.

";
/// Beside the deep round: what it is held to.
const DEEP_BOUNDS: [&str; 2] = ["8.0 MB", "6.00 ms"];
/// Beside a proof, likewise.
const PROOF_BOUND: &str = "1 s";
/// As many as the memory of deep rounds speaks of.
const DEEP_ROUNDS: usize = 1000;
/// As many as the comparison speaks of.
const ROUNDS: usize = 200;
/// As many as a fleet has.
const LAPTOPS: usize = 500;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let other = arguments
        .iter()
        .position(|argument| argument == "--beside")
        .and_then(|at| arguments.get(at + 1))
        .map(PathBuf::from);
    let many_only = arguments.iter().any(|argument| argument == "--many");
    let is_gateway = arguments.iter().any(|argument| argument == "--gateway");
    let is_proof = arguments.iter().any(|argument| argument == "--proof");
    let is_fleet = arguments.iter().any(|argument| argument == "--fleet");
    let peers_only = arguments.iter().any(|argument| argument == "--peers");
    let number = arguments.iter().find_map(|argument| argument.parse().ok());
    let rounds = number.unwrap_or(ROUNDS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let measured = runtime.context("the runtime").and_then(|runtime| {
        runtime.block_on(async {
            match &other {
                Some(other) => beside(other, rounds).await,
                None if many_only => many().await,
                None if is_gateway => at_gateway().await,
                None if is_proof => proofs().await,
                None if is_fleet => fleet(number.unwrap_or(LAPTOPS)).await,
                None => measure(peers_only, rounds).await,
            }
        })
    });
    match measured {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(peers_only: bool, rounds: usize) -> Result<String> {
    eprintln!("{rounds} rounds of each, one a second, then 25 s of quiet: some minutes.");
    let mut text = format!(
        "{}.\n{rounds} rounds, each one check of the cache and one of the builder:\n\n",
        machine()
    );
    if peers_only {
        let (monit, blackbox) = tokio::try_join!(peers::monit(rounds), peers::blackbox(rounds))?;
        text += &costs(&["", "monit", "blackbox-exporter"], &[monit, blackbox]);
        return Ok(text);
    }
    let offloadd = program("offloadd")?;
    // At the same time: what each used is counted by the kernel, whatever the others do.
    let (keep, per_check, deep, monit, blackbox) = tokio::try_join!(
        offloadd::cost(&offloadd, "keep", rounds),
        offloadd::cost(&offloadd, "per-check", rounds),
        offloadd::deep(&offloadd, deep_rounds(rounds)),
        peers::monit(rounds),
        peers::blackbox(rounds),
    )?;
    let head = [
        "",
        "offloadd (keep)",
        "offloadd (per-check)",
        "monit",
        "blackbox-exporter",
    ];
    text += &costs(&head, &[keep, per_check, monit, blackbox]);
    text += HOW_TO_READ;
    text += &deep_costs(deep_rounds(rounds), deep);
    text += "\n";
    // One after the other: these are times on the wall.
    text += &answers().await?;
    text += "\n";
    text += &proofs().await?;
    text += "\n";
    text += &many().await?;
    text += "\n";
    text += &sizes()?;
    Ok(text)
}

/// What Nix waits for at the gateway.
async fn at_gateway() -> Result<String> {
    let rows = gateway::measure(&program("offloadd")?).await?;
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    let head = ["", "gateway", "nginx"];
    Ok(format!("{}.\n\n{}", machine(), table(&head, &rows)))
}

/// What a test build takes, over both protocols.
async fn proofs() -> Result<String> {
    let mut rows = Vec::new();
    for protocol in ["ssh-ng", "ssh"] {
        let proofs = proof::measure(protocol).await?;
        let mut row = |what: &str, sample: &Sample, most: &str| {
            rows.push(vec![
                format!("{what}, {protocol}"),
                milliseconds(sample.median()),
                milliseconds(sample.percentile(99)),
                most.to_owned(),
            ]);
        };
        row("a proof", &proofs.proof, PROOF_BOUND);
        row("nix-build on the same builder", &proofs.alone, "");
    }
    let head = [
        "a trivial build on the desktop",
        "median",
        "99 %",
        "at most",
    ];
    Ok(table(&head, &rows))
}

/// What many laptops cost a Prometheus.
async fn fleet(laptops: usize) -> Result<String> {
    let figures = fleet::measure(&program("offloadd")?, laptops).await?;
    let rows: Vec<Vec<String>> = figures
        .into_iter()
        .map(|(what, it)| vec![what, it])
        .collect();
    let title = format!("{laptops} laptops");
    Ok(format!("{}.\n\n{}", machine(), table(&["", &title], &rows)))
}

/// This offloadd beside another, such as an older commit's, at the same time.
async fn beside(other: &Path, rounds: usize) -> Result<String> {
    eprintln!("{rounds} rounds of each, one a second, then 25 s of quiet.");
    let this = program("offloadd")?;
    let (then, now, then_deep, now_deep) = tokio::try_join!(
        offloadd::cost(other, "keep", rounds),
        offloadd::cost(&this, "keep", rounds),
        offloadd::deep(other, rounds),
        offloadd::deep(&this, rounds),
    )?;
    let mut text = format!("{}.\n\n", machine());
    text += &costs(&["keep", "the other", "this one"], &[then, now]);
    let row = |name: &str, cells: [String; 2]| {
        let [then, now] = cells;
        vec![name.to_owned(), then, now]
    };
    let memory = [then_deep.0, now_deep.0].map(|memory| megabytes(memory.resident));
    let time = [then_deep.1, now_deep.1].map(milliseconds);
    text += "\n";
    text += &table(
        &["every round a deep one", "the other", "this one"],
        &[
            row("memory at the end, VmRSS", memory),
            row("processor time of a round", time),
        ],
    );
    Ok(text)
}

/// What the figures depend on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = rustix::system::uname();
    format!(
        "{cores} cores, {} {} {}",
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy()
    )
}

fn costs(head: &[&str], costs: &[Cost]) -> String {
    let cells: Vec<[String; 4]> = costs.iter().map(Cost::cells).collect();
    let rows = Cost::ROWS.iter().enumerate().map(|(row, name)| {
        let of_each = cells.iter().filter_map(|cells| cells.get(row).cloned());
        std::iter::once((*name).to_owned()).chain(of_each).collect()
    });
    table(head, &rows.collect::<Vec<Vec<String>>>())
}

/// A thousand, and fewer only where somebody asked for a short measurement.
fn deep_rounds(rounds: usize) -> usize {
    if rounds < ROUNDS { rounds } else { DEEP_ROUNDS }
}

fn deep_costs(rounds: usize, (memory, cpu): (Memory, Duration)) -> String {
    let [most_memory, most_cpu] = DEEP_BOUNDS;
    let row = |name: String, is: String, most: &str| vec![name, is, most.to_owned()];
    let head = ["every round a deep one", "offloadd (keep)", "at most"];
    let rows = [
        row(
            format!("memory after {rounds} rounds, VmRSS"),
            megabytes(memory.resident),
            most_memory,
        ),
        row(
            "processor time of a round".into(),
            milliseconds(cpu),
            most_cpu,
        ),
    ];
    table(&head, &rows)
}

/// Many targets: what of that grows with their number.
async fn many() -> Result<String> {
    let all = many::many(&program("offloadd")?).await?;
    let head = many::TARGETS.map(|targets| format!("{targets} caches"));
    let head: Vec<&str> = std::iter::once("")
        .chain(head.iter().map(String::as_str))
        .collect();
    let rows = Many::ROWS.iter().enumerate().map(|(row, name)| {
        let of_each = all.iter().filter_map(|many| many.cells().get(row).cloned());
        std::iter::once((*name).to_owned()).chain(of_each).collect()
    });
    Ok(table(&head, &rows.collect::<Vec<Vec<String>>>()))
}

async fn answers() -> Result<String> {
    let answers = offloadd::answers().await?;
    let row = |name: &str, sample: &Sample| {
        vec![
            name.to_owned(),
            milliseconds(sample.median()),
            milliseconds(sample.percentile(99)),
        ]
    };
    let rows = [
        row("start of the process to READY=1", &answers.ready),
        row("offloadctl status", &answers.status),
        row("GetManagedObjects", &answers.objects),
        row("Properties.Get", &answers.property),
    ];
    Ok(table(&["", "median", "99 %"], &rows))
}

fn sizes() -> Result<String> {
    let mut rows = Vec::new();
    let mut row = |name: &str, path: &Path| -> Result<()> {
        rows.push(vec![name.to_owned(), megabytes(offloadd::size(path)?)]);
        Ok(())
    };
    row("offloadd", &program("offloadd")?)?;
    if let Some(path) = std::env::var_os("OFFLOAD_BENCH_WITHOUT_BUS") {
        row("offloadd without the embedded bus", Path::new(&path))?;
    }
    row("offloadctl", &program("offloadctl")?)?;
    row("monit", &system_program("monit", "monit")?)?;
    let exporter = "prometheus-blackbox-exporter";
    row(exporter, &system_program(exporter, exporter)?)?;
    Ok(table(&["binary", "size"], &rows))
}
