//! `offloadctl explain`, of a desktop that is there and a builder that is not.

use std::{net::SocketAddr, path::Path, process::Command};

use offload_client::explain::{Explanation, Fate, Obstacle};
use offload_tests::{
    Ground, Laptop, NixConf, Sshd,
    ground::{HERE, SSH_PORT},
    nix_conf::Machine,
};

use crate::schema;

/// The desktop, after a builder of the same kind that is off.
struct Two {
    laptop: Laptop,
    _nix: NixConf,
    _sshd: Sshd,
    _ground: Ground,
}

impl Two {
    async fn start() -> Self {
        let ground = Ground::take().await.unwrap();
        let sshd = Sshd::start(SocketAddr::new(HERE, SSH_PORT)).await.unwrap();
        let nix = NixConf::new().unwrap();
        let desktop = Machine::of(&sshd).unwrap();
        let attic = Machine {
            uri: format!("ssh-ng://{}@{HERE}:1", sshd.user()),
            ..Machine::of(&sshd).unwrap()
        };
        nix.set_machines(&[attic, desktop]).unwrap();
        let laptop = Laptop::start(&nix, "").await.unwrap();
        laptop
            .until("both judged", |now| {
                let mut targets = now.targets.iter();
                targets.all(|target| target.last_check_timestamp > 0)
            })
            .await
            .unwrap();
        Self {
            laptop,
            _nix: nix,
            _sshd: sshd,
            _ground: ground,
        }
    }

    async fn explain(&self, arguments: &[&str], code: i32) -> Explanation {
        let arguments = [&["explain", "--json"], arguments].concat();
        let run = self.laptop.offloadctl(&arguments).await.unwrap();
        assert_eq!(run.code, code, "{run:?}");
        let json = schema::holds("explain", run.stdout.as_bytes());
        serde_json::from_value(json).unwrap()
    }
}

#[tokio::test]
async fn a_build_is_explained_by_whom_nix_would_reach() {
    let two = Two::start().await;
    let said = two.explain(&["--system", "x86_64-linux"], 0).await;
    assert_eq!(
        (said.fate, said.builder),
        (Fate::Builder, Some(1)),
        "{said:?}"
    );
    assert_eq!(
        (said.builders[0].order, said.builders[1].order),
        (Some(1), Some(2))
    );
    let page = two
        .laptop
        .offloadctl(&["explain", "-s", "x86_64-linux"])
        .await
        .unwrap();
    assert!(
        page.stdout
            .starts_with("A build for x86_64-linux goes to builder/"),
        "{page:?}"
    );

    let said = two.explain(&["-s", "riscv64-linux", "-f", "gpu"], 3).await;
    assert_eq!(said.fate, Fate::Nowhere);
    let of_desktop = said.builders[1].obstacles.iter().map(|it| it.obstacle);
    assert_eq!(
        of_desktop.collect::<Vec<_>>(),
        [Obstacle::System, Obstacle::Feature]
    );
}

#[tokio::test]
async fn a_derivation_of_real_nix_is_read() {
    let two = Two::start().await;
    let store = tempfile::tempdir().unwrap();
    for structured in ["false", "true"] {
        let Some(path) = instantiate(structured, store.path()) else {
            return;
        };
        let said = two.explain(&[&path], 0).await;
        assert_eq!(said.system, *"x86_64-linux");
        assert_eq!(said.features, ["benchmark", "big-parallel"], "{structured}");
        assert!(said.prefer_local_build, "{structured}");
        assert_eq!(said.fate, Fate::Here);
    }
    let run = two
        .laptop
        .offloadctl(&["explain", "/etc/hostname"])
        .await
        .unwrap();
    assert_eq!(run.code, 64, "{run:?}");
    assert!(
        run.stderr.contains("/etc/hostname is no derivation"),
        "{run:?}"
    );
}

/// A derivation's file; nothing where this machine has no Nix.
fn instantiate(structured: &str, store: &Path) -> Option<String> {
    let expression = format!(
        "derivation {{ name = \"a\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; __structuredAttrs = {structured};\
         preferLocalBuild = true; requiredSystemFeatures = [ \"benchmark\" \"big-parallel\" ]; }}"
    );
    let made = Command::new("nix-instantiate")
        .args(["--option", "build-users-group", "", "-E", &expression])
        .env("NIX_REMOTE", format!("local?root={}", store.display()))
        .output();
    let Ok(made) = made else {
        offload_tests::skip::skipped("no nix-instantiate");
        return None;
    };
    assert!(made.status.success(), "{made:?}");
    let path = String::from_utf8(made.stdout).unwrap();
    Some(format!("{}{}", store.display(), path.trim()))
}
