//! A desktop that sleeps is woken: the packet as the other side of the cable sees it.
//!
//! It sleeps while it answers no ARP, and what is sent to everybody on the link is heard all the same, as by a network card that
//! waits for it.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use offload_client::{Kind, Snapshot, TargetState};
use offload_tests::{
    Laptop, Namespace, Nginx, NixConf, Sshd,
    daemon::{Launch, program},
    eventually,
    nix_conf::Machine,
    supported,
};
use tempfile::TempDir;
use tokio::{net::UdpSocket, process::Command, time::timeout};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing is checked again within a test unless something happens.
const POLL: &str = "[poll]\ninterval = \"1h\"\nfast_interval = \"1h\"\ndown_max_interval = \"1h\"\ntimeout = \"500ms\"\n\
                    fall = 1\nrise = 1\n";
const ON_DEMAND: &str = "[wake]\non_demand = true\nwait = \"1m\"\n";
const GATEWAY: &str = "127.0.0.1:5001";
const MARK: &[u8] = b"the last";

struct Desk {
    laptop: Laptop,
    network: Namespace,
    /// What everybody on the link is sent.
    heard: UdpSocket,
    nginx: Nginx,
    _sshd: Sshd,
    folder: TempDir,
    launch: Box<dyn Fn() -> Launch>,
    _nix: NixConf,
}

impl Desk {
    /// All of it ready; `None` where this user may not lay a cable.
    async fn start(config: &str) -> Option<Self> {
        Self::start_on(config, |_| ()).await
    }

    /// With a `disk` of its own for what offloadd keeps.
    async fn start_on(config: &str, disk: impl FnOnce(&Path)) -> Option<Self> {
        let network = supported(Namespace::new())?;
        let quiet = ["link set lan addrgenmode none", "-6 addr flush dev lan"];
        for command in quiet {
            network.laptop_ip(command).unwrap();
        }
        let desktop = |port| SocketAddr::new(Namespace::DESKTOP.into(), port);
        let inside = Some(network.desktop());
        let nginx = Nginx::start_inside(desktop(5000), inside).await.unwrap();
        let sshd = Sshd::start_inside(desktop(2222), inside).await.unwrap();
        let nix = NixConf::new().unwrap();
        nix.set_caches(&[(&format!("http://{GATEWAY}"), nginx.public_key())])
            .unwrap();
        let uri = format!("ssh-ng://{}@{}", sshd.user(), Namespace::DESKTOP);
        let machine = Machine {
            uri: uri.clone(),
            ..Machine::of(&sshd).unwrap()
        };
        nix.set_machines(&[machine]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_ssh_config(folder.path(), &sshd);
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        disk(&state);
        let config = format!(
            "{POLL}{config}[nix]\nconf = \"{}\"\n[steer]\ngateway = \"{GATEWAY}\"\n{}[[builder]]\nname = \"desktop\"\nuri = \"{uri}\"\n",
            nix.path().display(),
            nginx.entry("desktop"),
        );
        let environment = vec![
            (
                "NIX_SSHOPTS".into(),
                format!("-F {}", folder.path().join("ssh_config").display()),
            ),
            ("STATE_DIRECTORY".into(), state.display().to_string()),
        ];
        let netns = Some(network.laptop().to_owned());
        let launch = move || Launch {
            config: config.clone(),
            environment: environment.clone(),
            netns: netns.clone(),
            ..Launch::default()
        };
        let everybody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9));
        let heard = Namespace::inside(network.desktop(), || {
            std::net::UdpSocket::bind(everybody).unwrap()
        });
        let heard = heard.unwrap();
        heard.set_nonblocking(true).unwrap();
        let desk = Self {
            laptop: Laptop::start_with(launch()).await.unwrap(),
            network,
            heard: UdpSocket::from_std(heard).unwrap(),
            nginx,
            _sshd: sshd,
            folder,
            launch: Box::new(launch),
            _nix: nix,
        };
        desk.laptop.until_ready().await.unwrap();
        Some(desk)
    }

    /// Returns when the daemon has missed it.
    async fn sleep(&self) {
        self.network.desktop_ip("link set lan arp off").unwrap();
        self.network.laptop_ip("neigh flush dev lan").unwrap();
        let check = self.laptop.offloadctl(&["check"]).await.unwrap();
        assert_eq!(check.code, 3, "{check:?}");
        let are_down = |now: &Snapshot| {
            let mut targets = now.targets.iter();
            targets.all(|target| target.state == TargetState::Down)
        };
        self.laptop.until("all is down", are_down).await.unwrap();
    }

    fn get_up(&self) {
        self.network.desktop_ip("link set lan arp on").unwrap();
    }

    async fn next(&self) -> Vec<u8> {
        let mut bytes = vec![0; 2048];
        let length = timeout(PATIENCE, self.heard.recv(&mut bytes)).await;
        bytes.truncate(length.expect("nothing was sent").unwrap());
        bytes
    }

    /// Nothing was sent to everybody since.
    async fn nothing_is_heard(&self) {
        let send = || {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.send_to(MARK, "192.0.2.255:9").unwrap();
        };
        Namespace::inside(self.network.laptop(), send).unwrap();
        assert_eq!(self.next().await, MARK);
    }

    async fn wake(&self) -> offload_tests::laptop::Run {
        self.laptop.offloadctl(&["wake", "desktop"]).await.unwrap()
    }

    async fn are_waking(&self, waking: bool) -> bool {
        let snapshot = self.laptop.snapshot().await.unwrap();
        assert_eq!(snapshot.targets.len(), 2);
        snapshot
            .targets
            .iter()
            .all(|target| target.waking == waking)
    }

    /// The real ssh, through `offloadctl connect`.
    fn ssh(&self) -> Command {
        let mut command = Command::new("ip");
        let config = self.folder.path().join("ssh_config");
        command
            .args(["netns", "exec", self.network.laptop(), "ssh", "-F"])
            .arg(config)
            .args(["-oBatchMode=yes", "192.0.2.6", "echo here"])
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.laptop.bus.address())
            .kill_on_drop(true);
        command
    }

    /// Asks the gateway for the narinfo of what the desktop has.
    fn fetch(&self) -> Command {
        let path = self.nginx.store_path();
        let name = path.rsplit('/').next().unwrap();
        let url = format!("http://{GATEWAY}/{}.narinfo", &name[..32]);
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.network.laptop(), "curl", "-sS"])
            .args([
                "--noproxy",
                "*",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                &url,
            ])
            .kill_on_drop(true);
        command
    }
}

fn write_ssh_config(folder: &Path, sshd: &Sshd) {
    let host = Namespace::DESKTOP;
    let known_hosts = folder.join("known_hosts");
    fs::write(&known_hosts, format!("{host} {}", sshd.host_key().unwrap())).unwrap();
    let ssh_config = format!(
        "Host {host}\n  Port 2222\n  User {}\n  HostKeyAlias {host}\n  ControlPath none\n  ConnectTimeout 3\n  \
         ProxyCommand {} connect %h %p\n  ProxyUseFdpass yes\nIdentityFile {}\nUserKnownHostsFile {}\n\
         GlobalKnownHostsFile none\n",
        sshd.user(),
        program("offloadctl").unwrap().display(),
        sshd.user_key().display(),
        known_hosts.display(),
    );
    fs::write(folder.join("ssh_config"), ssh_config).unwrap();
}

async fn said(mut command: Command) -> String {
    let output = timeout(PATIENCE * 3, command.output()).await;
    let output = output.expect("it does not end").unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_desktop_that_sleeps_is_woken_when_somebody_says_so_and_is_ready_again() {
    let Some(desk) = Desk::start("").await else {
        return;
    };
    let awake = desk.wake().await;
    assert_eq!(awake.code, 0, "{awake:?}");
    assert!(
        awake.stdout.contains("builder/desktop is awake"),
        "{awake:?}"
    );
    desk.sleep().await;
    // Nobody is to wake it by using it.
    assert_eq!(said(desk.fetch()).await, "404");
    let refused = desk.ssh().output().await.unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    desk.nothing_is_heard().await;
    assert!(desk.are_waking(false).await);

    let woken = desk.wake().await;
    assert_eq!(woken.code, 0, "{woken:?}");
    assert_eq!(desk.next().await, desk.network.magic_packet().unwrap());
    assert!(desk.are_waking(true).await);
    let page = desk.laptop.offloadctl(&[]).await.unwrap();
    assert_eq!(page.stdout.matches(" waking ").count(), 2, "{page:?}");
    // Who asks again a moment later shares that.
    assert_eq!(desk.wake().await.code, 0);
    desk.nothing_is_heard().await;

    desk.get_up();
    desk.laptop.until_ready().await.unwrap();
    assert!(desk.are_waking(false).await);
}

#[tokio::test]
async fn a_build_and_a_path_wake_it_and_wait_where_that_is_configured() {
    let Some(desk) = Desk::start(ON_DEMAND).await else {
        return;
    };
    // Not while it is there.
    assert_eq!(said(desk.fetch()).await, "200");
    assert_eq!(said(desk.ssh()).await, "here\n");
    desk.nothing_is_heard().await;
    desk.sleep().await;
    let both = async { tokio::join!(said(desk.fetch()), said(desk.ssh())) };
    let wake = async {
        assert_eq!(desk.next().await, desk.network.magic_packet().unwrap());
        desk.get_up();
    };
    let ((status, here), ()) = tokio::join!(both, wake);
    assert_eq!((status.as_str(), here.as_str()), ("200", "here\n"));
}

#[tokio::test]
async fn a_build_alone_wakes_it_and_goes_on_here_at_once() {
    let Some(desk) = Desk::start("[wake]\non_demand = true\n").await else {
        return;
    };
    desk.sleep().await;
    let refused = desk.ssh().output().await.unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("Nix goes on without it"), "{told}");
    assert_eq!(desk.next().await, desk.network.magic_packet().unwrap());
    assert_eq!(
        desk.laptop.the(Kind::Builder).await.unwrap().state,
        TargetState::Down
    );
}

#[tokio::test]
async fn who_it_is_outlives_a_restart_of_the_daemon() {
    let Some(mut desk) = Desk::start("").await else {
        return;
    };
    let state = desk.folder.path().join("state/state.json");
    let is_kept = async || {
        let kept = fs::read_to_string(&state).unwrap_or_default();
        kept.contains("\"192.0.2.0/24\"").then_some(())
    };
    eventually(PATIENCE, "it is kept", is_kept).await.unwrap();
    desk.network.desktop_ip("link set lan arp off").unwrap();
    desk.network.laptop_ip("neigh flush dev lan").unwrap();
    desk.laptop = Laptop::start_with((desk.launch)()).await.unwrap();
    let down = |now: &Snapshot| now.targets.iter().all(|it| it.state == TargetState::Down);
    desk.laptop.until("all is down", down).await.unwrap();
    assert_eq!(desk.wake().await.code, 0);
    assert_eq!(desk.next().await, desk.network.magic_packet().unwrap());
}

#[tokio::test]
async fn nothing_is_sent_on_another_network_than_its_own() {
    let Some(desk) = Desk::start(ON_DEMAND).await else {
        return;
    };
    // The same link, as it happens, with other addresses; and a router that leads home.
    desk.network
        .laptop_ip("addr add 198.51.100.2/24 dev lan")
        .unwrap();
    desk.network
        .laptop_ip("addr del 192.0.2.2/24 dev lan")
        .unwrap();
    desk.network
        .desktop_ip("addr add 198.51.100.6/24 dev lan")
        .unwrap();
    desk.network
        .laptop_ip("route add 192.0.2.0/24 via 198.51.100.9")
        .unwrap();
    let gone = |now: &Snapshot| now.targets.iter().all(|it| !it.state.is_ready());
    desk.laptop.until("nothing is ready", gone).await.unwrap();
    let refused = desk.wake().await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("192.0.2.0/24"), "{refused:?}");
    assert_eq!(said(desk.fetch()).await, "404");
    let send = || {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.send_to(MARK, "198.51.100.255:9").unwrap();
    };
    Namespace::inside(desk.network.laptop(), send).unwrap();
    assert_eq!(desk.next().await, MARK);
}

/// A disk of its own, without any room left; it goes with the test's own mounts.
fn full(disk: &Path) {
    let mount = ["-t", "tmpfs", "-o", "size=16k", "full"];
    let mounted = std::process::Command::new("mount")
        .args(mount)
        .arg(disk)
        .status();
    assert!(mounted.unwrap().success());
    let mut file = fs::File::create(disk.join("filler")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

#[tokio::test]
async fn on_a_full_disk_all_goes_on_but_what_is_to_outlive_a_restart() {
    let Some(desk) = Desk::start_on("", full).await else {
        return;
    };
    let told = async || {
        let log = desk.laptop.daemon.log();
        log.contains("what was learnt can't be kept: No space left")
            .then_some(())
    };
    eventually(PATIENCE, "it is told", told).await.unwrap();
    let left: Vec<_> = fs::read_dir(desk.folder.path().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["filler"]);
    assert_eq!(said(desk.fetch()).await, "200");
    assert_eq!(said(desk.ssh()).await, "here\n");
    desk.sleep().await;
    assert_eq!(said(desk.fetch()).await, "404");
    assert_eq!(desk.wake().await.code, 0);
    assert_eq!(desk.next().await, desk.network.magic_packet().unwrap());
}

#[tokio::test]
async fn a_cache_that_vanished_a_moment_after_it_answered_is_not_waited_for_as_one_that_is_slow() {
    let Some(desk) = Desk::start("").await else {
        return;
    };
    assert_eq!(said(desk.fetch()).await, "200");
    desk.network.black_hole(Namespace::DESKTOP).unwrap();
    assert_eq!(said(desk.fetch()).await, "404");
    let log = desk.laptop.daemon.log();
    assert!(log.contains("nobody accepts a connection"), "{log}");
    assert!(!log.contains("no answer within"), "{log}");
}
