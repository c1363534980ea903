//! Nix's ssh goes by `offloadctl connect`: the real ssh and the real Nix, to a builder that moves and leaves.

use std::{fs, net::SocketAddr, path::PathBuf, process::Output, time::Duration};

use offload_client::{Kind, Reason, Snapshot, TargetState, WarningCode};
use offload_tests::{
    Ground, Laptop, NixConf, Sshd,
    daemon::{Launch, program},
    eventually,
    ground::{HERE, MOVED, SSH_PORT},
    nix_conf::Machine,
};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

const OLD: SocketAddr = SocketAddr::new(HERE, SSH_PORT);
const NEW: SocketAddr = SocketAddr::new(MOVED, SSH_PORT);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing is checked again within a test unless something happens.
const POLL: &str =
    "[poll]\ninterval = \"10m\"\nfast_interval = \"10m\"\ndown_max_interval = \"10m\"\nfall = 1\n";

/// A laptop whose Nix and ssh know the desktop by its old address.
struct Steered {
    laptop: Laptop,
    sshd: Sshd,
    folder: TempDir,
    _nix: NixConf,
    _ground: Ground,
}

impl Steered {
    /// The desktop is at `address`.
    async fn start(address: SocketAddr, steering: &str) -> Self {
        Self::start_with(address, steering, "").await
    }

    /// The same with more in offloadd's configuration.
    async fn start_with(address: SocketAddr, steering: &str, more: &str) -> Self {
        let ground = Ground::take().await.unwrap();
        let sshd = Sshd::start(address).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let nix = NixConf::new().unwrap();
        let uri = format!("ssh-ng://{}@{HERE}", sshd.user());
        let machine = Machine {
            uri: uri.clone(),
            ..Machine::of(&sshd).unwrap()
        };
        nix.set_machines(&[machine]).unwrap();
        let known = format!("{HERE} {}", sshd.host_key().unwrap());
        fs::write(folder.path().join("known_hosts"), known).unwrap();
        let ssh_config = format!(
            "Host {HERE}\n  Port {SSH_PORT}\n  HostKeyAlias {HERE}\n  ControlPath none\n  ConnectTimeout 3\n\
             {steering}\nIdentityFile {}\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n",
            sshd.user_key().display(),
            folder.path().join("known_hosts").display(),
        );
        fs::write(folder.path().join("ssh_config"), ssh_config).unwrap();
        let config = format!(
            "{POLL}{more}[nix]\nconf = \"{}\"\n[[builder]]\nname = \"desktop\"\nuri = \"{uri}\"\n\
             addresses = [\"{HERE}\", \"{MOVED}\"]\n",
            nix.path().display()
        );
        let options = format!("-F {}", folder.path().join("ssh_config").display());
        let laptop = Laptop::start_with(Launch {
            config,
            environment: vec![("NIX_SSHOPTS".into(), options)],
            ..Launch::default()
        });
        Self {
            laptop: laptop.await.unwrap(),
            sshd,
            folder,
            _nix: nix,
            _ground: ground,
        }
    }

    fn ssh_config(&self) -> PathBuf {
        self.folder.path().join("ssh_config")
    }

    async fn until(&self, what: &str, fits: impl Fn(TargetState, Reason) -> bool) {
        let fits = |now: &Snapshot| {
            let mut builders = now.targets.iter().filter(|it| it.kind == Kind::Builder);
            builders.any(|it| fits(it.state, it.reason))
        };
        self.laptop.until(what, fits).await.unwrap();
    }

    /// Runs a program as Nix runs ssh, on the laptop's system bus.
    async fn run(&self, mut command: Command) -> Output {
        command
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.laptop.bus.address())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await;
        output.expect("it does not end").unwrap()
    }

    /// What the real ssh says on the builder; what it complains of where it does not get there.
    async fn ssh(&self) -> Result<String, String> {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.ssh_config());
        command.args(["-oBatchMode=yes", &HERE.to_string(), "echo here"]);
        let output = self.run(command).await;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }
}

/// The lines of ssh_config that lead through `offloadctl connect`.
fn steering() -> String {
    let program = program("offloadctl").unwrap();
    let program = program.display();
    format!("  ProxyCommand {program} connect %h %p\n  ProxyUseFdpass yes")
}

#[tokio::test]
async fn a_builder_that_moved_is_ready_and_reached_by_its_old_address() {
    let steered = Steered::start(NEW, &steering()).await;
    steered
        .until("it is ready", |state, _| state.is_ready())
        .await;
    assert_eq!(steered.laptop.snapshot().await.unwrap().warnings, []);
    assert_eq!(steered.ssh().await.unwrap(), "here\n");

    // And so does Nix get there, which has the old address in its store's URI.
    let mut nix = Command::new("nix");
    let store = format!("ssh-ng://{}@{HERE}", steered.sshd.user());
    nix.args([
        "--extra-experimental-features",
        "nix-command",
        "store",
        "ping",
        "--store",
        &store,
    ])
    .env(
        "NIX_SSHOPTS",
        format!("-F {}", steered.ssh_config().display()),
    );
    let logins = steered.sshd.logins();
    let output = steered.run(nix).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(steered.sshd.logins() > logins);
}

#[tokio::test]
async fn without_steering_the_same_builder_is_where_nix_does_not_go() {
    let steered = Steered::start(NEW, "").await;
    let moved = |_, reason| reason == Reason::AddressMoved;
    steered.until("it has moved", moved).await;
    assert!(
        steered
            .ssh()
            .await
            .unwrap_err()
            .contains("Connection refused")
    );
}

#[tokio::test]
async fn a_builder_that_is_down_costs_nothing_and_one_that_is_back_is_used_at_once() {
    let mut steered = Steered::start(OLD, &steering()).await;
    steered
        .until("it is ready", |state, _| state.is_ready())
        .await;
    steered.sshd.stop();
    steered
        .until("it is down", |state, _| state == TargetState::Down)
        .await;
    let complaint = steered.ssh().await.unwrap_err();
    assert!(
        complaint.contains("builder/desktop is down: connection refused"),
        "{complaint}"
    );

    // Nobody checks it for ten minutes; who asks is reason enough, once the verdict is not of just now.
    steered.sshd.restart().await.unwrap();
    let back = async || steered.ssh().await.ok();
    let said = eventually(PATIENCE, "it is used", back).await.unwrap();
    assert_eq!(said, "here\n");
}

#[tokio::test]
async fn an_impostor_at_the_old_address_gets_no_login() {
    let mut steered = Steered::start(OLD, &steering()).await;
    steered
        .until("it is ready", |state, _| state.is_ready())
        .await;
    steered.sshd.stop();
    let impostor = Sshd::start(OLD).await.unwrap();
    // The close was looked into at once, and nobody was there yet.
    steered.laptop.offloadctl(&["check"]).await.unwrap();
    let alarm = |_, reason| reason == Reason::HostKeyMismatch;
    steered.until("it is noticed", alarm).await;
    let complaint = steered.ssh().await.unwrap_err();
    assert!(
        complaint.contains("builder/desktop is degraded"),
        "{complaint}"
    );
    assert_eq!(impostor.auth_attempts(), 0, "{}", impostor.log());
}

#[tokio::test]
async fn an_impostor_that_nobody_has_met_yet_is_refused_by_ssh_itself() {
    let mut steered = Steered::start(OLD, &steering()).await;
    steered
        .until("it is ready", |state, _| state.is_ready())
        .await;
    steered.laptop.daemon.terminate().await.unwrap();
    steered.sshd.swap_host_keys().await.unwrap();
    let complaint = steered.ssh().await.unwrap_err();
    assert!(
        complaint.contains("Host key verification failed"),
        "{complaint}"
    );
}

#[tokio::test]
async fn without_a_daemon_ssh_gets_where_it_would_have_got() {
    let mut steered = Steered::start(OLD, &steering()).await;
    steered.laptop.daemon.terminate().await.unwrap();
    assert_eq!(steered.ssh().await.unwrap(), "here\n");
}

#[tokio::test]
async fn who_goes_by_itself_though_steering_is_on_is_told_and_what_is_printed_mends_it() {
    let steered = Steered::start_with(OLD, "", "[steer]\ngateway = \"127.0.0.1:5999\"\n").await;
    let told = |now: &Snapshot| {
        let mut warnings = now.warnings.iter();
        now.builder_state.is_ready() && warnings.any(|it| it.code == WarningCode::NotSteered)
    };
    steered.laptop.until("it is told", told).await.unwrap();

    let printed = steered
        .laptop
        .offloadctl(&["steer", "--print"])
        .await
        .unwrap();
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    assert!(
        printed
            .stdout
            .contains("extra-substituters = http://127.0.0.1:5999\n")
    );
    let (block, _) = printed.stdout.split_once("\n\n").unwrap();
    let own = fs::read_to_string(steered.ssh_config()).unwrap();
    fs::write(steered.ssh_config(), format!("{block}\n{own}")).unwrap();
    assert_eq!(steered.ssh().await.unwrap(), "here\n");
    steered.laptop.daemon.signal(Signal::HUP).unwrap();
    steered.laptop.offloadctl(&["check"]).await.unwrap();
    let no_more = |now: &Snapshot| now.builder_state.is_ready() && now.warnings.is_empty();
    steered
        .laptop
        .until("it is no more", no_more)
        .await
        .unwrap();
}
