//! What Nix is configured with on both sides.

use super::*;

/// The environment of the laptop's Nix.
pub(super) fn laptops(dir: &TempDir) -> Vec<(&'static str, String)> {
    let at = |name: &str| dir.path().join(name).display().to_string();
    vec![
        ("NIX_REMOTE", "daemon".to_owned()),
        ("NIX_DAEMON_SOCKET_PATH", at("socket")),
        ("NIX_STORE_DIR", at("store")),
        ("NIX_STATE_DIR", at("state")),
        ("NIX_LOG_DIR", at("log")),
        ("NIX_CONF_DIR", at("conf")),
        ("HOME", at("home")),
    ]
}

/// The builder's nix.conf. Its store is not where its paths say, so its builds need a sandbox.
pub(super) fn desktops(dir: &TempDir, builder: Builder) -> String {
    let at = |name: &str| dir.path().join(name).display().to_string();
    let shell = match builder {
        Builder::Sound
        | Builder::Unknown
        | Builder::Ignored
        | Builder::Diverted
        | Builder::Promises(..) => "/bin/sh".to_owned(),
        Builder::WithoutShell => String::new(),
        Builder::Waits => {
            let script = format!(
                "#!/bin/dash\necho {WAITS}\nread go < {}\nexec /bin/dash \"$@\"\n",
                at("gate")
            );
            fs::write(at("waiting-shell"), script).unwrap();
            let made = Command::new("chmod")
                .args(["755", &at("waiting-shell")])
                .status();
            assert!(made.unwrap().success());
            let made = Command::new("mkfifo")
                .args(["-m", "666", &at("gate")])
                .status();
            assert!(made.unwrap().success());
            format!("/bin/sh={} /bin/dash {}", at("waiting-shell"), at("gate"))
        }
    };
    format!(
        "build-users-group =\nsandbox = true\nsubstituters =\n\
         sandbox-paths = {shell} /lib /lib64 /usr/lib /usr/lib64\n"
    )
}

/// What the laptop's Nix has of its builder.
pub(super) fn dispatch(dir: &TempDir) -> Dispatch {
    let at = |name: &str| dir.path().join(name).display().to_string();
    let uri = format!("ssh-ng://root@{HOST}?remote-store={}", remote_store(dir));
    let host_key = BASE64.encode(&fs::read(at("host.pub")).unwrap());
    Dispatch {
        system: "x86_64-linux".into(),
        is_native: true,
        is_nixs: true,
        systems: vec!["x86_64-linux".into()],
        features: Vec::new(),
        mandatory_features: Vec::new(),
        max_jobs: 1,
        slots: vec![at("slot-").into()],
        line: format!("{uri} x86_64-linux {} 1 1 - - {host_key}", at("user")),
        store_uri: uri,
    }
}

fn promising(dispatch: Dispatch, systems: &str, features: &str) -> Dispatch {
    let line = dispatch
        .line
        .replace(" x86_64-linux ", &format!(" {systems} "));
    let split = |list: &str| list.split(',').map(str::to_owned).collect();
    Dispatch {
        line: line.replace(" - - ", &format!(" {features} - ")),
        systems: split(systems),
        features: split(features),
        ..dispatch
    }
}

fn remote_store(dir: &TempDir) -> String {
    let at = |name: &str| dir.path().join(name).display().to_string();
    format!("local?root={}%26store={}", at("desktop"), at("store"))
}

pub(super) fn spec(dir: &TempDir, builder: Builder) -> TargetSpec {
    let dispatch = dispatch(dir);
    TargetSpec {
        id: id(),
        uri: dispatch.store_uri.clone().into(),
        addresses: vec![Address {
            host: HOST.into(),
            port: None,
        }],
        kind: SpecKind::Builder(BuilderSpec {
            protocol: Protocol::SshNg,
            host: HOST.into(),
            user: Some("root".into()),
            port: None,
            params: BTreeMap::from([("remote-store".to_owned(), remote_store(dir))]),
            ssh_options: String::new(),
            has_agent: false,
            ssh_key: Some(dir.path().join("user")),
            host_keys: HostKeyRule::KnownHosts,
            systems: vec!["x86_64-linux".into()],
            features: Vec::new(),
            mandatory_features: Vec::new(),
            max_jobs: 1,
            speed_factor: 1.0,
            dispatch: match builder {
                Builder::Unknown => Vec::new(),
                Builder::Promises(systems, features) => {
                    vec![promising(dispatch, systems, features)]
                }
                _ => vec![dispatch],
            },
        }),
    }
}

/// A directory with a `nix-build` that is the real one, and has the last word on who builds.
pub(super) fn stubborn(dir: &TempDir, options: &str) -> PathBuf {
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!("#!/bin/sh\nexec nix-build \"$@\" {options}\n");
    fs::write(bin.join("nix-build"), script).unwrap();
    let made = Command::new("chmod")
        .arg("755")
        .arg(bin.join("nix-build"))
        .status();
    assert!(made.unwrap().success());
    bin
}
