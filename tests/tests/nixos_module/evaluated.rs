//! One evaluation of everything, for all tests.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use offload_tests::skip::skipped;
use serde_json::Value;

use crate::output;

/// What nixos-module/tests/eval.nix says; `None` where there is no library, which it tells.
pub(crate) fn evaluated() -> Option<Value> {
    let Some(library) = library() else {
        skipped(
            "the NixOS modules are evaluated only where NIXPKGS_LIB names a copy of Nixpkgs' lib",
        );
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    let example = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let readme = Readme::read();
    let laptop = example("laptop.nix", &readme.laptop);
    let desktop = example("desktop.nix", &readme.desktop);
    let settings = example("settings.nix", &readme.settings);
    let library = format!("import {}", library.display());
    let json = output(
        Command::new("nix-instantiate")
            .args(["--eval", "--strict", "--json"])
            .arg("nixos-module/tests/eval.nix")
            .args(["--arg", "lib", &library])
            .args(["--arg", "laptop", &laptop])
            .args(["--arg", "desktop", &desktop])
            .args(["--arg", "settings", &settings]),
    );
    Some(serde_json::from_str(&json).unwrap())
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap()
}

/// The examples of Nix: the README's, in their order, and the one of docs/nixos.md.
pub(crate) struct Readme {
    pub(crate) desktop: String,
    pub(crate) laptop: String,
    pub(crate) settings: String,
}

impl Readme {
    pub(crate) fn read() -> Self {
        let read = |name| fs::read_to_string(root().join(name)).unwrap();
        let text = read("README.md") + &read("docs/nixos.md");
        let blocks = text.split("```nix\n").skip(1);
        let blocks: Vec<&str> = blocks
            .map(|rest| rest.split("```").next().unwrap().trim_end())
            .collect();
        let [desktop, laptop, settings] = blocks.as_slice() else {
            panic!("{} examples of Nix", blocks.len());
        };
        Self {
            desktop: (*desktop).to_owned(),
            laptop: (*laptop).to_owned(),
            settings: (*settings).to_owned(),
        }
    }
}

fn library() -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os("NIXPKGS_LIB").filter(|path| !path.is_empty())?);
    let inner = path.join("lib");
    let found = if inner.is_dir() { inner } else { path };
    assert!(
        found.join("modules.nix").is_file(),
        "NIXPKGS_LIB names {}, which is no library of Nixpkgs",
        found.display()
    );
    Some(found)
}
