//! What ssh_config has ssh do beside or instead of what Nix asks of it.

use std::net::IpAddr;

use super::answer::Answer;

/// Options, each as `option value`, under which ssh does not do what Nix starts it for; and what it is to
/// listen on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demands {
    /// With it ssh refuses a command of its caller's, or has nothing to propose, and connects to nobody.
    pub bars_connection: Option<String>,
    /// With it only ssh knows whom it connects to, or what becomes of the connection.
    pub is_beyond_us: Option<String>,
    /// The interface whose address ssh connects from, where it dials by itself.
    pub bind_interface: Option<String>,
    /// With it ssh logs in, and does not run the command.
    pub bars_command: Option<String>,
    /// With it the command runs, and Nix can't talk with it.
    pub bars_conversation: Option<String>,
    /// What ssh must be able to listen on, or else ends (`ExitOnForwardFailure`).
    pub listens: Vec<Listen>,
    /// Whether it also ends where the server does not listen in its stead, or there is no tunnel.
    pub has_remote_forwards: bool,
}

/// One end of a forwarding, here.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// The whole option: `localforward [127.0.0.1]:80 [desk]:80`.
    pub option: String,
    /// The host, where one is named, and the port.
    pub host: Option<String>,
    /// The port; `None` for a path of a socket, which is then the host.
    pub port: Option<u16>,
}

/// Sources: `main` and `ssh_session2` in ssh.c, `client_loop` of a session without input.
pub(super) fn demands(answer: &Answer<'_>) -> Demands {
    let told = |option: &str, value: &str| format!("{option} {value}");
    let is = |option: &'static str, values: &[&str]| {
        let mut found = answer.all(option);
        found
            .find(|value| values.contains(value))
            .map(|value| told(option, value))
    };
    let must_listen = answer.is_on("exitonforwardfailure") && !answer.is_on("clearallforwardings");
    let mut listens = Vec::new();
    for option in ["localforward", "dynamicforward"] {
        if must_listen {
            listens.extend(answer.all(option).map(|value| listen(option, value)));
        }
    }
    let is_direct = answer
        .get("proxycommand")
        .or(answer.get("proxyjump"))
        .is_none();
    Demands {
        bind_interface: answer
            .get("bindinterface")
            .filter(|_| is_direct && answer.get("bindaddress").is_none())
            .map(str::to_owned),
        bars_connection: answer
            .get("remotecommand")
            .map(|command| told("remotecommand", command))
            .or_else(|| {
                let lists = ["kexalgorithms", "hostkeyalgorithms", "ciphers"];
                let mut emptied = lists.into_iter().filter(|list| answer.is_emptied(list));
                emptied.next().map(|list| format!("{list} -*"))
            }),
        is_beyond_us: is("forkafterauthentication", &["yes", "true"])
            .or_else(|| {
                let command = answer.get("knownhostscommand")?;
                Some(told("knownhostscommand", command))
            })
            .or_else(|| {
                // Which of the name's addresses, it finds by trying. A proxy is not bound.
                let is_name = |address: &&str| address.parse::<IpAddr>().is_err();
                let name = answer.get("bindaddress").filter(is_name)?;
                is_direct.then(|| told("bindaddress", name))
            }),
        bars_command: is("sessiontype", &["none", "subsystem"]),
        bars_conversation: is("stdinnull", &["yes", "true"])
            .or_else(|| is("requesttty", &["force"])),
        listens,
        has_remote_forwards: must_listen
            && (answer.all("remoteforward").next().is_some()
                || answer
                    .get("tunnel")
                    .is_some_and(|tunnel| !matches!(tunnel, "no" | "false"))),
    }
}

/// `[host]:port`, `port` or a path, as `dump_cfg_forwards` in readconf.c writes them.
fn listen(option: &str, value: &str) -> Listen {
    let place = value.split(' ').next().unwrap_or(value);
    let (host, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.rsplit_once("]:"))
    {
        Some((host, port)) => (Some(host), port.parse().ok()),
        None => match place.parse() {
            Ok(port) => (None, Some(port)),
            Err(_) => (Some(place), None),
        },
    };
    Listen {
        option: format!("{option} {value}"),
        host: host.map(str::to_owned),
        port,
    }
}
