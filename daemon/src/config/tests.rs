//! The configuration as its user meets it: files in a folder, an environment, flags.

mod broken;
mod layers;
mod properties;

use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A folder with a `config.toml`, and what else it is given.
struct Machine {
    folder: TempDir,
    sources: Sources,
}

impl Machine {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            file: Some(folder.path().join("config.toml")),
            ..Sources::default()
        };
        let machine = Self { folder, sources };
        machine.file("config.toml", config)
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    fn env(mut self, variable: &str, value: &str) -> Self {
        self.sources.env.push((variable.into(), value.into()));
        self
    }

    fn cache(mut self, url: &str) -> Self {
        self.sources.overrides.caches.push(url.into());
        self
    }

    fn builder(mut self, uri: &str) -> Self {
        self.sources.overrides.builders.push(uri.into());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Settings {
        load(&self.sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The problems as they are shown, the folder left out.
    fn problems(&self) -> Vec<String> {
        let errors = load(&self.sources).expect_err("the configuration was accepted");
        let problems = errors.problems().iter().map(ToString::to_string);
        problems.map(|line| self.without_folder(&line)).collect()
    }

    fn without_folder(&self, text: &str) -> String {
        let folder = format!("{}/", self.folder.path().display());
        text.replace(&folder, "")
    }
}

/// The only cache.
fn cache(settings: &Settings) -> &CacheEntry {
    match settings.caches.as_slice() {
        [cache] => cache,
        other => panic!("{other:?}"),
    }
}

/// What `systemd/config.example.toml` holds.
const EXAMPLE: &str = include_str!("../../../systemd/config.example.toml");

#[test]
fn the_example_is_made_of_the_keys() {
    if std::env::var_os("OFFLOAD_WRITE_MAN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/config.example.toml");
        std::fs::write(path, example()).unwrap();
        return;
    }
    assert_eq!(EXAMPLE, example(), "OFFLOAD_WRITE_MAN=1 makes it anew");
}

#[test]
fn the_example_is_the_defaults() {
    let mut settings = Machine::new(EXAMPLE).load();
    settings.files = Files::default();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.poll.interval, std::time::Duration::from_secs(30));
}

#[test]
fn the_examples_of_the_example_are_accepted() {
    // `#key = …` is an example to take over, `# Words` are a comment.
    let example: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let settings = Machine::new(&example).load();
    assert_eq!(cache(&settings).name, "desktop");
    assert_eq!(settings.builders[0].name, "desktop");
    assert_eq!(settings.builders[0].host_keys.len(), 1);
}

#[test]
fn the_check_shows_what_holds_and_where_it_is_from() {
    let machine = Machine::new("[poll]\ninterval = \"20s\"\n\n[[cache]]\nname = \"desktop\"\nurl = \"http://desktop:5000\"\n")
        .file("config.d/10-more.toml", "[[cache]]\nname = \"desktop\"\naddresses = [\"192.0.2.6\", \"[2001:db8::6]:5001\"]\n")
        .env("OFFLOADD_POLL__FALL", "5")
        .builder("ssh-ng://nix-builder@desktop");
    let text = machine.without_folder(&describe(&machine.sources).unwrap().1.text);
    assert_eq!(
        text,
        r#"# configuration is valid
# read: config.toml
# read: config.d/10-more.toml

[poll]
interval = "20s"  # config.toml:2
fast_interval = "3s"  # default
down_max_interval = "5m"  # default
fall = 5  # OFFLOADD_POLL__FALL
rise = 2  # default
timeout = "2s"  # default
deep_timeout = "10s"  # default
deep_interval = "10m"  # default
connection = "keep"  # default

[nix]
import = true  # default
conf = "/etc/nix/nix.conf"  # default
exclude = ["https://cache.nixos.org", "https://*.cachix.org"]  # default

[discover]
mdns = false  # default
sweep = []  # default

[proof]
builds = "changes"  # default

[steer]
gateway = ""  # default

[wake]
on_demand = false  # default
wait = "0s"  # default

[metrics]
textfile = ""  # default
listen = ""  # default

[[cache]]
name = "desktop"  # config.toml:4
url = "http://desktop:5000"  # config.toml:6
addresses = ["192.0.2.6", "[2001:db8::6]:5001"]  # config.d/10-more.toml:3

[[builder]]
name = "desktop"  # --builder
uri = "ssh-ng://nix-builder@desktop"  # --builder
"#
    );
}

#[test]
fn each_value_is_told_with_its_source_to_programs_too() {
    let machine = Machine::new("[poll]\nfall = 5\n[[cache]]\nname = \"d\"\nurl = \"http://d\"\n");
    let (_, report) = describe(&machine.sources).unwrap();
    let of = |key: &str| report.values.iter().find(|held| held.key == key).unwrap();
    assert_eq!(of("poll.fall").value, 5);
    assert!(of("poll.fall").source.ends_with("config.toml:2"));
    assert_eq!(of("poll.rise").source, "default");
    assert!(
        report.values.iter().all(|held| !held.value.is_null()),
        "{report:?}"
    );
}
