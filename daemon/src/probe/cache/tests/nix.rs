//! Caches that Nix itself wrote, from a store of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A store with a few paths, and binary caches of it.
pub(super) struct Store {
    dir: TempDir,
    /// Its directory.
    pub(super) store_dir: String,
    /// A path with two references, made by a build.
    pub(super) path: String,
    /// One of those.
    pub(super) reference: String,
    /// A path that follows from its content.
    pub(super) content_addressed: String,
}

/// `"${one} ${two}"` makes them references of what is built.
const EXPRESSION: &str = r#"
let
  write = name: text: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "echo ${text} > $out" ];
  };
  one = write "one" "1";
in { inherit one; both = write "both" "${one} ${write "two" "2"}"; }
"#;

impl Store {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let build = |attribute: &str| {
            let build = ["--no-out-link", "-A", attribute, "-E", EXPRESSION];
            run(nix(&root, "nix-build").args(build))
        };
        fs::write(root.join("hello"), "hello\n").unwrap();
        Self {
            store_dir: root.join("store").display().to_string(),
            path: build("both"),
            reference: build("one"),
            content_addressed: run(nix(&root, "nix-store").arg("--add").arg(root.join("hello"))),
            dir,
        }
    }

    /// A cache of it all, signed with a new key of this name where there is one; with its public
    /// key.
    pub(super) fn cache(&self, key_name: Option<&str>) -> Cache {
        let root = self.dir.path().canonicalize().unwrap();
        let dir = root.join(format!("cache-{}", key_name.unwrap_or("unsigned")));
        let (secret, public) = (root.join("secret"), root.join("public"));
        let mut target = format!("file://{}", dir.display());
        let mut key = String::new();
        if let Some(name) = key_name {
            for old in [&secret, &public] {
                let _ = fs::remove_file(old);
            }
            let generate = ["--generate-binary-cache-key", name];
            run(nix(&root, "nix-store")
                .args(generate)
                .args([&secret, &public]));
            key = fs::read_to_string(&public).unwrap().trim().to_owned();
            target = format!("{target}?secret-key={}", secret.display());
        }
        let paths = [&self.path, &self.content_addressed];
        run(nix(&root, "nix")
            .args(["copy", "--to", &target])
            .args(paths));
        Cache { dir, key }
    }
}

/// A binary cache in a folder.
pub(super) struct Cache {
    dir: PathBuf,
    /// `name:base64` of the key that signed it.
    pub(super) key: String,
}

impl Cache {
    /// A file of it: what is asked for without the `/`.
    pub(super) fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(name)).ok()
    }

    /// The size of a file of it in bytes.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        Some(fs::metadata(self.dir.join(name)).ok()?.len())
    }

    /// The narinfo of a path.
    pub(super) fn narinfo(&self, path: &str) -> String {
        self.file(&narinfo_name(path)).unwrap()
    }
}

/// What the narinfo of a path is called.
pub(super) fn narinfo_name(path: &str) -> String {
    let (_, base) = path.rsplit_once('/').unwrap();
    format!("{}.narinfo", &base[..32])
}

/// Nix with nothing of this machine's: no daemon, no configuration, no network.
fn nix(root: &Path, name: &str) -> Command {
    let mut command = Command::new(name);
    let config = "experimental-features = nix-command\nbuild-users-group =\n\
                  sandbox = false\nsubstituters =\n";
    command.env("NIX_CONFIG", config).env("HOME", root);
    command
        .env("NIX_USER_CONF_FILES", "")
        .env_remove("NIX_REMOTE");
    for (variable, folder) in [
        ("NIX_STORE_DIR", "store"),
        ("NIX_STATE_DIR", "state"),
        ("NIX_LOG_DIR", "log"),
        ("NIX_CONF_DIR", "no-conf"),
        ("XDG_CACHE_HOME", "nix-cache"),
    ] {
        command.env(variable, root.join(folder));
    }
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("a program of the package nix-bin");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
