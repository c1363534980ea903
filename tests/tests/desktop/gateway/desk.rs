//! A laptop whose Nix asks the gateway, and how it asks.

use offload_tests::Namespace;

use super::*;

/// A laptop whose Nix asks the gateway, and nothing else.
pub(super) struct Desk {
    pub(super) laptop: Laptop,
    pub(super) gateway: SocketAddr,
    netns: Option<String>,
    pub(super) _nix: NixConf,
}

impl Desk {
    /// With the caches of `entries` behind it, which are signed with `keys`.
    pub(super) async fn start(entries: &str, keys: &[&str]) -> Self {
        Self::start_at(POLL, entries, keys).await
    }

    pub(super) async fn start_at(poll: &str, entries: &str, keys: &[&str]) -> Self {
        Self::start_inside(NixConf::new().unwrap(), None, poll, entries, keys).await
    }

    /// Inside a network namespace, where there is one.
    pub(super) async fn start_inside(
        nix: NixConf,
        netns: Option<String>,
        poll: &str,
        entries: &str,
        keys: &[&str],
    ) -> Self {
        let gateway = free_address().unwrap();
        let url = format!("http://{gateway}");
        nix.set_caches(&[(&url, &keys.join(" "))]).unwrap();
        let config = format!(
            "{poll}[nix]\nconf = \"{}\"\n[steer]\ngateway = \"{gateway}\"\n{entries}",
            nix.path().display()
        );
        let laptop = Laptop::start_with(Launch {
            config,
            netns: netns.clone(),
            ..Launch::default()
        });
        Self {
            laptop: laptop.await.unwrap(),
            gateway,
            netns,
            _nix: nix,
        }
    }

    pub(super) async fn of(nginx: &Nginx, more: &str) -> Self {
        let desk = Self::start(&(nginx.entry("desktop") + more), &[nginx.public_key()]).await;
        desk.laptop.until_ready().await.unwrap();
        desk
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    pub(super) async fn ask(&self, method: &str, path: &str) -> Answer {
        let host = self.gateway.to_string();
        self.ask_as(&host, method, path).await
    }

    pub(super) async fn ask_as(&self, host: &str, method: &str, path: &str) -> Answer {
        let asked = async {
            let mut stream = self.connect();
            let head =
                format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.unwrap();
            Answer::read(&String::from_utf8_lossy(&text))
        };
        timeout(PATIENCE, asked).await.expect("it does not answer")
    }

    fn connect(&self) -> TcpStream {
        let connect = || std::net::TcpStream::connect(self.gateway);
        let stream = match &self.netns {
            Some(side) => Namespace::inside(side, connect).unwrap(),
            None => connect(),
        };
        let stream = stream.unwrap();
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    }

    pub(super) async fn until(&self, name: &str, state: TargetState) {
        let what = format!("{name} is {state}");
        let fits = |now: &Snapshot| {
            let mut caches = now.targets.iter().filter(|it| it.kind == Kind::Cache);
            caches.any(|it| *it.name == *name && it.state == state)
        };
        self.laptop.until(&what, fits).await.unwrap();
    }

    /// The real Nix copies `path` from the gateway into a store of its own below `root`.
    pub(super) async fn fetch(&self, path: &str, key: &str, root: &Path) -> Result<(), String> {
        let nix = system_program("nix", "nix-bin").unwrap();
        let mut command = match &self.netns {
            Some(side) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", side]).arg(nix);
                command
            }
            None => Command::new(nix),
        };
        command
            .env("HOME", root)
            .env("NIX_CONF_DIR", "/nonexistent")
            .env("NIX_USER_CONF_FILES", "")
            .env_remove("NIX_REMOTE")
            .env_remove("NIX_CONFIG")
            .args(["--extra-experimental-features", "nix-command", "copy"])
            .args(["--option", "trusted-public-keys", key])
            .args(["--from", &format!("http://{}", self.gateway)])
            .arg("--to")
            .arg(format!("local?root={}", root.join("root").display()))
            .arg(path)
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await;
        let output = output.expect("Nix does not end").unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect(text);
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}
