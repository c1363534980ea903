//! What a proof costs: a test build through this machine's Nix on a desktop that has Nix as well, beside the same build without
//! offloadd.

use std::{collections::HashMap, fs, io, time::Duration};

use data_encoding::BASE64;
use offload_client::{
    JobState, Kind,
    proxy::{BuilderProxy, JobProxy},
    test_build,
};
use offloadd::clock::Stopwatch;
use zbus::OwnedObjectPath;

use super::figures::Sample;
use crate::{
    Error, Laptop, Namespace, NixDaemon, Result, Sshd, daemon::Launch, error::Context, eventually,
};

/// So many of each.
const TIMES: usize = 20;
/// Checks are asked for.
const POLL: &str = "[poll]\ninterval = \"60s\"\nfast_interval = \"1s\"\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// How long they take on the wall.
#[derive(Clone, Debug)]
pub struct Proofs {
    /// A test build, as offloadd itself has it.
    pub proof: Sample,
    /// nix-build with the same builder and nothing else.
    pub alone: Sample,
}

/// Measures builds over `protocol`, one after the other. As root.
///
/// # Errors
/// When a part of it does not come up, or a build fails.
pub async fn measure(protocol: &str) -> Result<Proofs> {
    let network = Namespace::new()?;
    let address = Namespace::DESKTOP;
    let sshd = Sshd::start_inside((address, 22).into(), Some(network.desktop())).await?;
    let desktop = NixDaemon::start_inside(Some(network.desktop())).await?;
    desktop.serve(&sshd)?;
    let mut nix = NixDaemon::start_inside(Some(network.laptop())).await?;
    let line = format!(
        "{protocol}://{}@{address} x86_64-linux {} 2 1 - - {}",
        sshd.user(),
        sshd.user_key().display(),
        BASE64.encode(sshd.host_key()?.as_bytes()),
    );
    let machines = nix.conf_dir().join("machines");
    fs::write(&machines, format!("{line}\n")).context(machines.display())?;
    nix.set("builders", &format!("@{}", machines.display()));
    nix.restart().await?;
    let conf = nix.conf_dir().join("nix.conf");
    let laptop = Laptop::start_with(Launch {
        config: format!(
            "{POLL}[proof]\nbuilds = \"never\"\n[nix]\nconf = \"{}\"\n",
            conf.display()
        ),
        netns: Some(network.laptop().to_owned()),
        environment: nix.environment(),
        ..Launch::default()
    });
    let laptop = laptop.await?;
    nix.show_store_to(laptop.daemon.id())?;
    laptop.until_ready().await?;
    let (mut proof, mut alone) = (Vec::new(), Vec::new());
    for number in 0..TIMES {
        proof.push(prove(&laptop).await?);
        alone.push(build(&nix, &line, number).await?);
    }
    Ok(Proofs {
        proof: Sample::new(proof),
        alone: Sample::new(alone),
    })
}

async fn prove(laptop: &Laptop) -> Result<Duration> {
    let path = laptop.the(Kind::Builder).await?.path();
    let before = test_build::of(&laptop.the(Kind::Builder).await?);
    let builder = BuilderProxy::builder(&laptop.connection).path(path).build();
    let builder = builder
        .await
        .map_err(io::Error::other)
        .context("the builder")?;
    let job = builder.test_build(HashMap::new()).await;
    let job: OwnedObjectPath = job.map_err(io::Error::other).context("a test build")?;
    let job = JobProxy::builder(&laptop.connection).path(job).build();
    let job = job.await.map_err(io::Error::other).context("its job")?;
    let ended = eventually(PATIENCE, "the test build is told of", async || {
        let now = test_build::of(&laptop.the(Kind::Builder).await.ok()?);
        now.filter(|now| before.as_ref() != Some(now))
    });
    let built = ended.await?;
    if built.state == JobState::Succeeded {
        return Ok(Duration::from_micros(built.duration_usec));
    }
    let output = job.get_output().await.unwrap_or_default();
    Err(Error::Program {
        program: "a test build".into(),
        output: format!("{}: {}\n{output:?}", built.reason, built.error),
    })
}

/// As offloadd has it built, and nobody asks what came of it.
async fn build(nix: &NixDaemon, line: &str, number: usize) -> Result<Duration> {
    let expression = format!(
        "derivation {{ name = \"alone-{number}\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; \
         args = [ \"-c\" \"echo {number} > $out\" ]; }}"
    );
    let arguments = [
        "--max-jobs",
        "0",
        "--builders",
        line,
        "--option",
        "substitute",
        "false",
    ];
    let watch = Stopwatch::start();
    nix.build(&expression, &arguments).await?;
    Ok(watch.elapsed())
}
