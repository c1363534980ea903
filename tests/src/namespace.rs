//! A network of its own, in which addresses can stop to answer without a word.

use std::{
    fs::File,
    io,
    net::Ipv4Addr,
    os::fd::AsFd,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    Error, Result,
    error::Context,
    process::{run, run_command},
};

/// A MAC address that no interface has: what is sent to it is never heard of again.
const NOBODY: &str = "02:00:00:00:00:fe";
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Two network namespaces, laptop and desktop, with one cable between them: 192.0.2.2 and
/// 192.0.2.6 (RFC 5737's documentation network). Nothing in them reaches this machine's network.
#[derive(Debug)]
pub struct Namespace {
    laptop: String,
    desktop: String,
}

impl Namespace {
    /// The laptop's address.
    pub const LAPTOP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    /// The desktop's address.
    pub const DESKTOP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 6);

    /// Makes both.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the user may not, which is everybody but root; otherwise what
    /// ip(8) said.
    pub fn new() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Unsupported(
                "network namespaces need root: run as root".into(),
            ));
        }
        let id = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let namespace = Self {
            laptop: format!("offload-laptop-{id}"),
            desktop: format!("offload-desktop-{id}"),
        };
        let Self { laptop, desktop } = &namespace;
        ip(&["netns", "add", laptop])?;
        ip(&["netns", "add", desktop])?;
        ip(&[
            "-n", laptop, "link", "add", "name", "lan", "type", "veth", "peer", "name", "lan",
            "netns", desktop,
        ])?;
        for (side, address) in [(laptop, Self::LAPTOP), (desktop, Self::DESKTOP)] {
            ip(&["-n", side, "link", "set", "lo", "up"])?;
            ip(&[
                "-n",
                side,
                "addr",
                "add",
                &format!("{address}/24"),
                "dev",
                "lan",
            ])?;
            ip(&["-n", side, "link", "set", "lan", "up"])?;
        }
        Ok(namespace)
    }

    /// The laptop's side, for fixtures that can start inside of one.
    pub fn laptop(&self) -> &str {
        &self.laptop
    }

    /// The desktop's side.
    pub fn desktop(&self) -> &str {
        &self.desktop
    }

    /// What `work` comes to on one of the sides; a socket that it opens stays there.
    ///
    /// # Errors
    /// When the side can't be entered.
    pub fn inside<T: Send>(side: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = Path::new("/run/netns").join(side);
        let namespace = File::open(&path).context(path.display())?;
        let enter =
            || move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
        let worked = std::thread::scope(|scope| {
            // A thread of its own: it stays where it went.
            let working = scope.spawn(|| enter().map(|()| work()));
            working.join()
        });
        let worked = worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        worked.map_err(io::Error::from).context(path.display())
    }

    /// A command that will run on the laptop.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.laptop]).arg(program);
        command
    }

    /// Runs a program on the laptop and returns what it printed.
    ///
    /// # Errors
    /// When its exit status is not 0.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run_command(self.command(Path::new(program)).args(arguments))
    }

    /// From now on, what the laptop sends to `address` is dropped: no answer, no error, as with a
    /// desktop on a network that this is not.
    ///
    /// # Errors
    /// What ip(8) said.
    pub fn black_hole(&self, address: Ipv4Addr) -> Result<()> {
        let address = address.to_string();
        let entry = ["lladdr", NOBODY, "dev", "lan", "nud", "permanent"];
        ip(&[
            &["-n", &self.laptop, "neigh", "replace", &address][..],
            &entry,
        ]
        .concat())
    }

    /// Lets packets to `address` through again.
    ///
    /// # Errors
    /// What ip(8) said.
    pub fn restore(&self, address: Ipv4Addr) -> Result<()> {
        ip(&[
            "-n",
            &self.laptop,
            "neigh",
            "del",
            &address.to_string(),
            "dev",
            "lan",
        ])
    }

    /// Runs an ip(8) command on the laptop: `route add 198.51.100.0/24 via 192.0.2.6`.
    ///
    /// # Errors
    /// What ip(8) said.
    pub fn laptop_ip(&self, command: &str) -> Result<String> {
        ip_in(&self.laptop, command)
    }

    /// Runs an ip(8) command on the desktop.
    ///
    /// # Errors
    /// What ip(8) said.
    pub fn desktop_ip(&self, command: &str) -> Result<String> {
        ip_in(&self.desktop, command)
    }

    /// The desktop speaks: it sends the laptop a datagram that nobody reads, and asks who that is
    /// (ARP), as a machine does that comes up.
    ///
    /// # Errors
    /// When it could not be sent.
    pub fn desktop_speaks(&self) -> Result<()> {
        ip_in(&self.desktop, "neigh flush dev lan")?;
        let datagram = format!("echo > /dev/udp/{}/9", Self::LAPTOP);
        let shell = ["netns", "exec", &self.desktop, "bash", "-c", &datagram];
        ip(&shell)
    }

    /// The packet that wakes the desktop's own network card.
    ///
    /// # Errors
    /// What ip(8) said.
    pub fn magic_packet(&self) -> Result<Vec<u8>> {
        let link = self.desktop_ip("link show lan")?;
        let mut words = link.split_whitespace();
        let mac = words.by_ref().skip_while(|word| *word != "link/ether");
        let mac = mac.skip(1).take(1).flat_map(|mac| mac.split(':'));
        let mac: Vec<u8> = mac
            .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect();
        if mac.len() != 6 {
            return Err(Error::Unsupported(format!(
                "lan has no MAC address: {link}"
            )));
        }
        Ok([vec![0xff; 6], mac.repeat(16)].concat())
    }

    /// Pulls the laptop's cable, or plugs it in.
    ///
    /// # Errors
    /// What ip(8) said.
    pub fn set_link(&self, up: bool) -> Result<()> {
        ip(&[
            "-n",
            &self.laptop,
            "link",
            "set",
            "lan",
            if up { "up" } else { "down" },
        ])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for side in [&self.laptop, &self.desktop] {
            // What never came to be can't be deleted, and nobody is left to be told.
            let _ = ip(&["netns", "del", side]);
        }
    }
}

fn ip_in(side: &str, command: &str) -> Result<String> {
    let mut arguments = vec!["-n", side];
    arguments.extend(command.split_whitespace());
    run("ip", &arguments)
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments).map(drop)
}
