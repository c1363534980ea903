//! Which room may know which, and how long a file may be: held by reading the source, so that no circle comes in unseen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each room and all that it imports. A room names only rooms that stand above it, or that import
/// nothing themselves.
const ROOMS: &[(&str, &str)] = &[
    ("program", "clock limits"),
    ("notify", "clock"),
    ("helper", "clock file program"),
    ("files", "credential file helper"),
    ("nix", "clock credential file files helper nonce program"),
    ("target", "nix"),
    ("report", "net target"),
    ("config", "exit file nix target"),
    ("cli", "config exit"),
    ("health", "clock config net reason target"),
    (
        "probe",
        "clock config credential files health helper net nix program reason report target",
    ),
    ("discover", "net probe report target"),
    (
        "whereabouts",
        "clock config discover health net report target",
    ),
    ("drift", "nix reason report target"),
    ("proof", "config target"),
    ("state", "file net proof target"),
    ("plan", "config drift nix target"),
    (
        "monitor",
        "clock config discover drift health limits net notify plan probe report target whereabouts",
    ),
    ("explain", "nix plan"),
    (
        "build",
        "clock file helper monitor nix nonce probe program proof reason report target",
    ),
    ("forget", "helper target"),
    (
        "bus",
        "build clock explain forget log monitor nix nonce target",
    ),
    (
        "gateway",
        "clock forget http monitor nix probe reason target",
    ),
    ("metrics", "clock gateway health http monitor target"),
    ("service", "clock health monitor notify"),
    (
        "reload",
        "config files monitor nix notify plan service target",
    ),
    ("check_config", "config plan reload target"),
    (
        "privileged",
        "build clock exit file files helper nix nonce probe program target",
    ),
    ("page", "clock"),
    (
        "run",
        "build bus cli config exit gateway http log metrics monitor net notify page proof reload service state target",
    ),
    ("once", "config exit monitor net page reload run"),
];

type Imports = BTreeMap<String, BTreeSet<String>>;

/// What every room imports, its tests and fuzz targets left out.
fn imports() -> Imports {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Imports::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if ["tests", "fuzz", "fixtures", "imports", "lib", "main"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|kind| kind != "rs") {
                continue;
            }
            let room = room(&source, &path);
            let used = used(&fs::read_to_string(&path).unwrap());
            let others = used.into_iter().filter(|used| *used != room);
            found.entry(room.clone()).or_default().extend(others);
        }
    }
    found.retain(|_, used| !used.is_empty());
    found
}

/// The room of a file: the first part of its path.
fn room(source: &Path, file: &Path) -> String {
    let inner: PathBuf = file.strip_prefix(source).unwrap().with_extension("");
    let first = inner.components().next().unwrap();
    first.as_os_str().to_string_lossy().into_owned()
}

/// The rooms that `text` names as `crate::room` or `crate::{room, …}`.
fn used(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        let mut depth = 0_usize;
        let mut item = 0;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    used.insert(word(&list[item..at]));
                    item = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    // A type of the crate's root, or nothing after the last comma.
    used.retain(|room| room.starts_with(|c: char| c.is_ascii_lowercase()));
    used
}

/// All source files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|it| it.is_dir());
    let is_source = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "rs");
    let files = files.into_iter().filter(is_source);
    files
        .chain(folders.iter().flat_map(|it| sources(it)))
        .collect()
}

fn word(text: &str) -> String {
    let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    text.trim_start().chars().take_while(is_part).collect()
}

#[test]
fn every_room_imports_what_the_table_says() {
    let listed = |list: &str| list.split(' ').map(str::to_owned).collect();
    let table = ROOMS
        .iter()
        .map(|(room, list)| ((*room).to_owned(), listed(list)));
    assert_eq!(imports(), table.collect::<Imports>());
}

#[test]
fn no_file_has_more_than_four_hundred_lines() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for crates in ["client", "daemon", "tests"] {
        for file in sources(&workspace.join(crates)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= 400, "{} has {lines}", file.display());
        }
    }
}

#[test]
fn the_table_has_no_circle() {
    for (row, (room, list)) in ROOMS.iter().enumerate() {
        let below: Vec<&str> = ROOMS[row..].iter().map(|(room, _)| *room).collect();
        for used in list.split(' ') {
            assert!(
                !below.contains(&used),
                "{room} imports {used}, which stands below it"
            );
        }
    }
}
