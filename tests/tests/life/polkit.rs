//! Whom a real polkit lets check, start a test build, search and pause, by the policy as it is installed.
//!
//! `polkitd` reads actions and rules in fixed places: it runs in a mount namespace of its own, in
//! which the test's lie there. That, and being several users, needs root.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use offload_tests::{
    daemon::program,
    eventually,
    process::{Process, run_command, system_program},
    skip::is_root,
};
use tempfile::TempDir;

const POLICY: &str = include_str!("../../../dbus/org.offloadd.Offload1.policy");
const BUS_POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../dbus/org.offloadd.Offload1.conf"
);
const POLKITD: &str = "/usr/lib/polkit-1/polkitd";
const PATIENCE: Duration = Duration::from_secs(15);

/// The user that the daemon runs as: `daemon`, since dbus-daemon wants a user with a name.
const OWNER: u32 = 1;
/// Somebody on no seat: `nobody`.
const STRANGER: u32 = 65_534;

const NOT_AUTHORIZED: &str = "uid 65534 may not do that: polkit";
/// What whoever may is told as well, while the last one is under way.
const BUSY: &str = "a test build of this builder is under way";

/// A bus with polkit on it, and offloadd under a user of its own. In the order in which they end.
struct Desk {
    _daemon: Process,
    _polkit: Process,
    _bus: Process,
    dir: TempDir,
}

impl Desk {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Three users read what is in it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bus = start_bus(&dir).await;
        let polkit = start_polkit(&dir).await;
        let daemon = start_daemon(&dir);
        let desk = Self {
            _daemon: daemon,
            _polkit: polkit,
            _bus: bus,
            dir,
        };
        let on_the_bus = eventually(PATIENCE, "offloadd is on the bus", async || {
            desk.ask(0, "", "Manager", "Describe", &[]).ok()
        });
        if let Err(error) = on_the_bus.await {
            let log = fs::read_to_string(desk.dir.path().join("log"));
            panic!("{error}: {log:?}");
        }
        desk
    }

    /// Lets a user start a test build, which comes to nothing: there is no nix-daemon.
    fn test_build(&self, uid: u32) -> Result<(), String> {
        let object = "/builder/desktop";
        let asked = self.ask(uid, object, "Builder", "TestBuild", &["a{sv}", "0"]);
        match asked {
            Ok(job) => {
                assert!(job.contains("/org/offloadd/Offload1/job/"), "{job}");
                Ok(())
            }
            Err(error) if error.contains(BUSY) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn pause(&self, uid: u32) -> Result<String, String> {
        self.ask(uid, "", "Manager", "Pause", &["t", "0"])
    }

    fn check(&self, uid: u32) -> Result<String, String> {
        self.ask(uid, "", "Manager", "Check", &[])
    }

    fn discover(&self, uid: u32) -> Result<String, String> {
        self.ask(uid, "", "Manager", "Discover", &[])
    }

    /// For somebody, or for whoever would use it.
    fn wake(&self, uid: u32, options: &[&str]) -> Result<String, String> {
        let arguments = [&["a{sv}"], options].concat();
        self.ask(uid, "/builder/desktop", "Target", "Wake", &arguments)
    }

    fn ask(
        &self,
        uid: u32,
        object: &str,
        interface: &str,
        member: &str,
        arguments: &[&str],
    ) -> Result<String, String> {
        let mut command = as_user(uid, &system_program("busctl", "systemd").unwrap());
        command
            .args([&format!("--address={}", address(&self.dir)), "call"])
            .args([
                "org.offloadd.Offload1",
                &format!("/org/offloadd/Offload1{object}"),
            ])
            .args([&format!("org.offloadd.Offload1.{interface}"), member])
            .args(arguments);
        run_command(&mut command).map_err(|error| error.to_string())
    }

    /// Puts polkit's rule file there; polkit reads it within a moment.
    fn rule(&self, rule: &str) {
        let text = format!("polkit.addRule(function(action, subject) {{ {rule} }});\n");
        // At once: half of one is no rule.
        let (new, place) = ("rules/new", "rules/10-offloadd.rules");
        fs::write(self.dir.path().join(new), text).unwrap();
        fs::rename(self.dir.path().join(new), self.dir.path().join(place)).unwrap();
    }
}

#[tokio::test]
async fn who_is_not_root_may_what_polkit_says() {
    if !is_root("becoming another user") {
        return;
    }
    let desk = Desk::start().await;
    // On no seat a password is needed, and there is no agent that would ask for one.
    let refused = desk.test_build(STRANGER).unwrap_err();
    let asks = format!("{NOT_AUTHORIZED} would ask for a password, and has nobody to ask");
    assert!(refused.contains(&asks), "{refused}");
    let refused = desk.pause(STRANGER).unwrap_err();
    assert!(refused.contains(&asks), "{refused}");
    let refused = desk.discover(STRANGER).unwrap_err();
    assert!(refused.contains(&asks), "{refused}");
    let refused = desk.wake(STRANGER, &["0"]).unwrap_err();
    assert!(refused.contains(&asks), "{refused}");
    // What only the configuration decides, everybody may ask for; there it says no.
    let on_demand = ["1", "on-demand", "b", "true"];
    let answer = desk.wake(STRANGER, &on_demand).unwrap();
    assert!(answer.contains("\"not-wanted\" 0"), "{answer}");
    // A program that would rather not be asked learns that it may come again and allow it.
    let silently = ["--allow-interactive-authorization=no"];
    let refused = desk
        .ask(STRANGER, "", "Manager", "Resume", &silently)
        .unwrap_err();
    let wants = "after a password alone, and the call does not let polkit ask";
    assert!(refused.contains(wants), "{refused}");
    for owner in [0, OWNER] {
        desk.test_build(owner).unwrap();
    }
    // For everybody, with one answer for all who ask at once.
    desk.check(STRANGER).unwrap();

    desk.rule(
        "if (action.id == 'org.offloadd.Offload1.test-build') return polkit.Result.YES;
         return polkit.Result.NO;",
    );
    eventually(PATIENCE, "the rule lets them", async || {
        desk.test_build(STRANGER).ok()
    })
    .await
    .unwrap();
    let refused = desk.pause(STRANGER).unwrap_err();
    let refuses = format!("{NOT_AUTHORIZED} refuses it");
    assert!(refused.contains(&refuses), "{refused}");
    let refused = desk.discover(STRANGER).unwrap_err();
    assert!(refused.contains(&refuses), "{refused}");
    let refused = desk.check(STRANGER).unwrap_err();
    assert!(refused.contains(&refuses), "{refused}");
    desk.discover(OWNER).unwrap();
    // Root is not asked about.
    desk.pause(0).unwrap();
}

/// The policy as it is installed, but for its owner, which is no user here.
fn policy() -> String {
    let owner = "unix-user:offloadd<";
    let actions = POLICY.matches("<action id=").count();
    assert_eq!(POLICY.matches(owner).count(), actions, "each has its owner");
    POLICY.replace(owner, &format!("unix-user:{OWNER}<"))
}

fn address(dir: &TempDir) -> String {
    format!("unix:path={}", dir.path().join("bus").display())
}

fn as_user(uid: u32, program: &std::path::Path) -> Command {
    let mut command = Command::new("setpriv");
    let uid = uid.to_string();
    command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]);
    command.arg(program);
    command
}

/// As [`offload_tests::Bus`], with polkit allowed on it.
async fn start_bus(dir: &TempDir) -> Process {
    let path = |name: &str| dir.path().join(name);
    let configuration = format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
  <include>{BUS_POLICY}</include>
</busconfig>
"#,
        address = address(dir),
    );
    fs::write(path("bus.conf"), configuration).unwrap();
    let program = system_program("dbus-daemon", "dbus").unwrap();
    let bus = Process::start(&program, None, &path("bus.log"), |command| {
        command.args(["--nofork", "--nopidfile", "--config-file"]);
        command.arg(path("bus.conf"));
    });
    let socket = path("bus");
    eventually(PATIENCE, "dbus-daemon takes connections", async || {
        UnixStream::connect(&socket).ok()
    })
    .await
    .unwrap();
    bus.unwrap()
}

async fn start_polkit(dir: &TempDir) -> Process {
    let path = |name: &str| dir.path().join(name);
    for name in ["actions", "rules", "no-rules"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("actions/org.offloadd.Offload1.policy"), policy()).unwrap();
    let program = system_program("unshare", "util-linux").unwrap();
    let polkit = Process::start(&program, None, &path("polkit.log"), |command| {
        command
            .args(["--mount", "--", "sh", "-c"])
            .arg(
                "mount --bind \"$1\" /usr/share/polkit-1/actions &&
                 mount --bind \"$2\" /etc/polkit-1/rules.d &&
                 mount --bind \"$3\" /usr/share/polkit-1/rules.d && exec \"$4\"",
            )
            .arg("sh")
            .args(["actions", "rules", "no-rules"].map(path))
            .arg(POLKITD)
            .env("DBUS_SYSTEM_BUS_ADDRESS", address(dir));
    });
    let log = path("polkit.log");
    let said = eventually(
        PATIENCE,
        "polkitd is on the bus (package polkitd)",
        async || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            said.contains("Acquired the name").then_some(said)
        },
    )
    .await;
    said.unwrap_or_else(|error| panic!("{error}: {:?}", fs::read_to_string(&log)));
    polkit.unwrap()
}

/// The real one, which only the owner may run: its own place in the tree may be closed to them.
fn start_daemon(dir: &TempDir) -> Process {
    let path = |name: &str| dir.path().join(name);
    let copy: PathBuf = path("offloadd");
    fs::copy(program("offloadd").unwrap(), &copy).unwrap();
    // Nobody listens there; what its checks find is nothing to this.
    let config = "[nix]\nimport = false\n[[builder]]\nname = \"desktop\"\n\
                  uri = \"ssh-ng://root@127.0.15.6:1\"\n";
    fs::write(path("config.toml"), config).unwrap();
    let setpriv = system_program("setpriv", "util-linux").unwrap();
    let daemon = Process::start(&setpriv, None, &path("log"), |command| {
        let owner = OWNER.to_string();
        command
            .args(["--reuid", &owner, "--regid", &owner, "--clear-groups", "--"])
            .arg(&copy)
            .arg("--config")
            .arg(path("config.toml"))
            .args(["--bus", &address(dir)])
            // This machine's own Nix is none of its business.
            .env("NIX_DAEMON_SOCKET_PATH", path("no-nix-daemon"))
            .env("NIX_CONF_DIR", path("no-conf"))
            .env("HOME", dir.path())
            .env_remove("NIX_REMOTE")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM");
    });
    daemon.unwrap()
}
