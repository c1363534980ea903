//! `soak MINUTES [--seed N]`: the real daemon, and faults with known truth; `tests/soak/run` builds what it
//! starts.

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    time::Duration,
};

use offload_tests::{
    Result,
    error::Context,
    soak::{Plan, run},
};

/// Set inside of the namespace.
const INSIDE: &str = "OFFLOAD_SOAK_INSIDE";
/// sysexits(3): the command was used wrongly.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (minutes, seed) = match words.as_slice() {
        [minutes] => (minutes.parse::<f64>().ok(), Some(1)),
        [minutes, "--seed", seed] => (minutes.parse().ok(), seed.parse().ok()),
        _ => (None, None),
    };
    let time = minutes.and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok());
    let (Some(time), Some(seed)) = (time, seed) else {
        eprintln!("usage: soak MINUTES [--seed N]");
        return ExitCode::from(USAGE);
    };
    let has_cable = env::var_os(INSIDE).is_some();
    if !has_cable && rustix::process::geteuid().is_root() {
        return enter_namespace(&arguments);
    }
    let plan = Plan {
        time,
        seed,
        has_cable,
    };
    println!("soak: {} s, seed {seed}", time.as_secs());
    match soak(plan) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn soak(plan: Plan) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("the runtime")?;
    let report = runtime.block_on(run(plan, |story| println!("WRONG at {story}")))?;
    println!("{report}");
    Ok(report.is_good())
}

/// Goes on in a network namespace of its own, in which loopback is up.
fn enter_namespace(arguments: &[String]) -> ExitCode {
    let script = "ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script, "soak"]);
    let program = env::current_exe().unwrap_or_else(|_| "soak".into());
    let failed = command.arg(program).args(arguments).env(INSIDE, "1").exec();
    eprintln!("soak: unshare: {failed}");
    ExitCode::FAILURE
}
