//! The system stage against the real Nix behind a real sshd.

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    super::{Notes, system},
    sshd::Sshd,
    *,
};

/// A builder with a nix.conf of its own.
struct Desk {
    sshd: Sshd,
    dir: TempDir,
    probe: Probe,
    spec: BuilderSpec,
}

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl Desk {
    /// It promises x86_64-linux and kvm.
    async fn with(conf: &str) -> Self {
        Self::behind(conf, PATH, "").await
    }

    /// `extra` are lines of sshd's configuration.
    async fn behind(conf: &str, path: &str, extra: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("nix.conf"), format!("build-users-group =\n{conf}")).unwrap();
        let environment = format!(
            "PATH={path} HOME={home} NIX_CONF_DIR={home} NIX_STORE_DIR={} NIX_STATE_DIR={} NIX_LOG_DIR={}",
            at("store"),
            at("state"),
            at("log"),
            home = dir.path().display(),
        );
        let sshd = Sshd::with(&["ed25519"], &format!("{extra}\nSetEnv {environment}")).await;
        let spec = BuilderSpec {
            ssh_key: Some(sshd.key()),
            host_keys: pinned(&sshd.path("ed25519")),
            ..spec(sshd.port)
        };
        let mut probe = Probe::keeping(spec.clone(), options(sshd.port));
        let report = probe.check().await;
        assert!(report.outcome.is_ok(), "{report:?}");
        Self {
            sshd,
            dir,
            probe,
            spec,
        }
    }

    async fn check(&self) -> (Result<bool, Failure>, Notes) {
        let link = &self.probe.session.kept.as_ref().unwrap().link;
        let mut notes = Notes::default();
        let found = tokio::time::timeout(PATIENCE, system::check(link, &self.spec, &mut notes));
        (found.await.unwrap(), notes)
    }

    /// Nothing is known; why.
    async fn unknown(&self) -> Printable {
        let (found, notes) = self.check().await;
        assert_eq!(found, Ok(false), "{:?}", notes.details);
        match notes.details.get(system::DETAIL_UNKNOWN) {
            Some(Detail::Text(why)) => why.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn promise(&mut self, systems: &[&str], features: &[&str]) {
        let own = |words: &[&str]| words.iter().map(|word| (*word).into()).collect();
        self.spec.systems = own(systems);
        self.spec.features = own(features);
    }
}

fn noted(notes: &Notes, key: &str) -> Detail {
    let detail = notes.details.get(key);
    detail.unwrap_or_else(|| panic!("{key}")).clone()
}

fn words(words: &[&str]) -> Detail {
    Detail::List(words.iter().map(|word| (*word).into()).collect())
}

const SMALL: &str = "system = x86_64-linux\nextra-platforms = i686-linux\n\
                     system-features = benchmark kvm\nbuilders =\n";

#[tokio::test]
async fn a_builder_that_keeps_its_promises_is_proven() {
    let mut desk = Desk::with(SMALL).await;
    desk.promise(&["x86_64-linux", "i686-linux", "builtin"], &["kvm"]);
    let (found, notes) = desk.check().await;
    assert_eq!(found, Ok(true), "{:?}", notes.details);
    for (key, file) in [("boot_id", "random/boot_id"), ("hostname", "hostname")] {
        let own = std::fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap();
        assert_eq!(noted(&notes, key), Detail::Text(own.trim().into()));
    }
    let system = Detail::Text("x86_64-linux".into());
    assert_eq!(noted(&notes, "remote_system"), system);
    assert_eq!(
        noted(&notes, "remote_features"),
        words(&["benchmark", "kvm"])
    );
    assert!(!notes.details.contains_key("missing"));
}

#[tokio::test]
async fn a_system_and_a_feature_promised_in_vain_are_both_named() {
    let mut desk = Desk::with(SMALL).await;
    desk.promise(
        &["x86_64-linux", "aarch64-linux", "riscv64-linux"],
        &["cuda"],
    );
    let (found, notes) = desk.check().await;
    let failure = found.unwrap_err();
    assert_eq!(
        (failure.stage, failure.reason),
        (Stage::System, Reason::SystemMissing)
    );
    assert_eq!(
        failure.detail,
        "missing systems: aarch64-linux, riscv64-linux; missing features: cuda"
    );
    let missing = words(&["aarch64-linux", "riscv64-linux"]);
    assert_eq!(noted(&notes, "missing"), missing);
    let offered = words(&["x86_64-linux", "i686-linux"]);
    assert_eq!(noted(&notes, "offered"), offered);

    desk.promise(&["x86_64-linux"], &["cuda", "kvm"]);
    let (found, notes) = desk.check().await;
    assert_eq!(found.unwrap_err().reason, Reason::FeatureMissing);
    assert_eq!(noted(&notes, "missing"), words(&["cuda"]));
    assert_eq!(noted(&notes, "offered"), words(&["benchmark", "kvm"]));
}

#[tokio::test]
async fn a_builder_that_builds_nothing_is_for_no_system() {
    let desk = Desk::with(&format!("{SMALL}max-jobs = 0\n")).await;
    let (found, notes) = desk.check().await;
    assert_eq!(found.unwrap_err().reason, Reason::SystemMissing);
    assert_eq!(noted(&notes, "missing"), words(&["x86_64-linux"]));
    assert_eq!(noted(&notes, "offered"), words(&["nothing (max-jobs = 0)"]));
}

#[tokio::test]
async fn what_a_builder_could_hand_on_is_missing_all_the_same() {
    let mut desk = Desk::with(&format!("{SMALL}builders = ssh://other aarch64-linux\n")).await;
    let (found, _) = desk.check().await;
    assert_eq!(found, Ok(true), "what it builds itself is known");
    desk.promise(&["aarch64-linux"], &[]);
    let (found, notes) = desk.check().await;
    assert_eq!(found.unwrap_err().reason, Reason::SystemMissing);
    assert_eq!(
        noted(&notes, "own_builders"),
        Detail::Text("nix.conf".into())
    );
}

#[tokio::test]
async fn a_builders_own_machines_file_is_told_only_with_a_machine_in_it() {
    // Nix's default: the file beside nix.conf.
    let mut desk = Desk::with("system-features = kvm\n").await;
    desk.promise(&["riscv128-linux"], &[]);
    let machines = desk.dir.path().join("machines");
    for contents in [None, Some("# ssh://nobody\n\n")] {
        if let Some(contents) = contents {
            std::fs::write(&machines, contents).unwrap();
        }
        let (found, notes) = desk.check().await;
        let failure = found.unwrap_err();
        assert_eq!(failure.reason, Reason::SystemMissing, "{contents:?}");
        assert!(!notes.details.contains_key("own_builders"), "{contents:?}");
    }
    std::fs::write(&machines, "# mine\nssh://other riscv128-linux\n").unwrap();
    let (found, notes) = desk.check().await;
    assert_eq!(found.unwrap_err().reason, Reason::SystemMissing);
    let file = Detail::Text(machines.display().to_string().into());
    assert_eq!(noted(&notes, "own_builders"), file);
}

#[tokio::test]
async fn builds_in_a_store_elsewhere_are_not_judged_by_this_configuration() {
    let mut desk = Desk::with(SMALL).await;
    for (store, is_known) in [
        ("ssh-ng://other", false),
        ("unix:///elsewhere/socket", false),
        ("local?root=/mnt&system-features=kvm", false),
        ("local?root=/mnt", true),
        ("daemon", true),
        ("/mnt", true),
    ] {
        desk.spec.params = [("remote-store".to_owned(), store.to_owned())].into();
        if is_known {
            assert_eq!(desk.check().await.0, Ok(true), "{store}");
        } else {
            let why = desk.unknown().await;
            assert!(why.contains(store), "{why}");
        }
    }
}

#[tokio::test]
async fn without_nix_on_the_path_nothing_is_known() {
    let tools = TempDir::new().unwrap();
    for name in ["cat", "grep"] {
        std::os::unix::fs::symlink(format!("/bin/{name}"), tools.path().join(name)).unwrap();
    }
    let path = tools.path().display().to_string();
    let mut desk = Desk::behind(SMALL, &path, "").await;
    let (found, notes) = desk.check().await;
    assert_eq!(found, Ok(false));
    assert!(notes.details.contains_key("boot_id"), "{:?}", notes.details);
    let why = desk.unknown().await;
    assert!(
        why.contains("exit status 127") && why.contains("not found"),
        "{why}"
    );

    // Nix is where the URL says that its daemon is.
    let program = "/usr/bin/nix-daemon".to_owned();
    desk.spec.params = [("remote-program".to_owned(), program)].into();
    assert_eq!(desk.check().await.0, Ok(true));
}

#[tokio::test]
async fn a_profile_that_prints_does_not_matter_here() {
    let extra = "ForceCommand echo '{welcome}' to you; sh -c \"$SSH_ORIGINAL_COMMAND\"; echo bye";
    let desk = Desk::behind(SMALL, PATH, extra).await;
    let (found, _) = desk.check().await;
    // Its line looks like the beginning of the configuration.
    assert_eq!(found, Ok(false));

    let extra = extra.replace("'{welcome}' to", "welcome to");
    let desk = Desk::behind(SMALL, PATH, &extra).await;
    assert_eq!(desk.check().await.0, Ok(true));
}

#[tokio::test]
async fn a_forced_command_leaves_it_unknown() {
    for (command, words) in [
        (
            "nix-store --serve --write",
            "no configuration in the answer",
        ),
        ("nix-daemon --stdio", "no configuration in the answer"),
        (
            "echo This account is not available",
            "\"This account is not available\"",
        ),
        ("false", "exit status 1"),
        ("yes", "longer than 524288 bytes"),
        ("echo '{}'", "the configuration has no 'system'"),
        ("echo '{\"system\": 7'", "the configuration is not readable"),
    ] {
        let extra = format!("ForceCommand {command}");
        let desk = Desk::behind(SMALL, PATH, &extra).await;
        let why = desk.unknown().await;
        assert!(why.contains(words), "{command}: {why}");
    }
}

#[tokio::test]
async fn a_forced_command_that_never_ends_is_not_waited_for() {
    let desk = Desk::behind(SMALL, PATH, "ForceCommand exec sleep 1000").await;
    let why = desk.unknown().await;
    assert_eq!(why, "no end of the answer within 4 s");
}

#[tokio::test]
async fn a_server_that_runs_nothing_leaves_it_unknown() {
    let desk = Desk::behind(SMALL, PATH, "MaxSessions 0").await;
    let why = desk.unknown().await;
    assert!(why.starts_with("the server opens no session"), "{why}");
}

#[tokio::test]
async fn a_connection_that_ends_is_no_answer() {
    let desk = Desk::behind(SMALL, PATH, "ForceCommand exec sleep 1000").await;
    let ends = async {
        let runs = async || {
            let names = desk.sshd.sessions().into_iter().map(|pid| {
                let pid = pid.as_raw_nonzero();
                std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
            });
            names.into_iter().any(|name| name.trim() == "sleep")
        };
        eventually("the command runs", runs).await;
        desk.sshd.signal(Signal::KILL);
    };
    let ((found, _), ()) = tokio::join!(desk.check(), ends);
    let failure = found.unwrap_err();
    assert_eq!(failure.stage, Stage::System);
    assert_eq!(failure.reason, Reason::ConnectionLost, "{failure:?}");
}

#[tokio::test]
async fn a_connection_gone_silent_is_not_taken_for_a_command_without_end() {
    let desk = Desk::with(SMALL).await;
    desk.sshd.signal(Signal::STOP);
    // Longer than an answer may take: the bound is the caller's, whose check then fails.
    let found = tokio::time::timeout(Duration::from_secs(6), desk.check()).await;
    assert!(found.is_err());
    desk.sshd.signal(Signal::CONT);
}

#[tokio::test]
async fn what_is_asked_is_read_by_any_shell() {
    for shell in ["dash", "bash", "bash --posix"] {
        let extra = format!("ForceCommand {shell} -c \"$SSH_ORIGINAL_COMMAND\"");
        let mut desk = Desk::behind("system-features = kvm\n", PATH, &extra).await;
        assert_eq!(desk.check().await.0, Ok(true), "{shell}");
        desk.promise(&["x86_64-linux"], &["cuda"]);
        let (found, _) = desk.check().await;
        assert_eq!(found.unwrap_err().reason, Reason::FeatureMissing, "{shell}");
    }
}
