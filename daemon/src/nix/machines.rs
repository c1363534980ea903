//! The list of builders: the setting `builders` and the files it names.
//!
//! Source: src/libstore/machines.cc (`expandBuilderLines`, `parseBuilderLine`); the manual's text of
//! the fields is in src/libstore/include/nix/store/worker-settings.hh. What relative paths start
//! from: src/libstore/unix/build/hook-instance.cc (`chdir("/")`).

mod line;

use std::{
    fmt,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use data_encoding::BASE64;

use super::{NixConf, NixVersion, Problem, Source, text};

/// How deep files name files. Nix itself ends with its stack.
const MAX_DEPTH: usize = 32;
/// How many files are read.
const MAX_FILES: usize = 64;
/// How many builders are watched, and how many problems told. Nix has no such limit.
const MAX_ENTRIES: usize = 1024;

/// One builder as Nix would use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Field 1, with `ssh://` where Nix would put it.
    pub uri: String,
    /// Field 2; this machine's own system where it is not given.
    pub systems: Vec<String>,
    /// Field 3.
    pub ssh_key: Option<PathBuf>,
    /// Field 4.
    pub max_jobs: u32,
    /// Field 5; 0 means 1.
    pub speed_factor: f64,
    /// Field 6.
    pub supported_features: Vec<String>,
    /// Field 7.
    pub mandatory_features: Vec<String>,
    /// Field 8, decoded: what Nix writes behind the host's name into a known_hosts of its own.
    pub host_key: Option<String>,
    /// Where it is written: nix.conf or a machines file.
    pub file: PathBuf,
    /// The line there, from 1, where it is known.
    pub line: Option<u32>,
}

/// Whether a field is what belongs into the eighth: `ssh-ed25519 AAAA…` in base64.
pub fn is_host_key(field: &str) -> bool {
    let decoded = BASE64.decode(field.as_bytes()).unwrap_or_default();
    ["ssh-", "ecdsa-sha2-", "sk-"]
        .iter()
        .any(|kind| decoded.starts_with(kind.as_bytes()))
}

impl fmt::Display for Machine {
    /// The line, its eight fields written out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |text: String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text
            }
        };
        // A list of a dash alone, or of no system, is not what "-" stands for.
        let list = |items: &[String]| match items {
            [dash] if dash == "-" => "-,".to_owned(),
            items => field(items.join(",")),
        };
        let systems = match self.systems.as_slice() {
            [] => ",".to_owned(),
            systems => list(systems),
        };
        let key = self.ssh_key.as_ref().map(|key| key.display().to_string());
        let host_key = self.host_key.as_ref();
        write!(
            f,
            "{} {} {} {} {} {} {} {}",
            self.uri,
            systems,
            field(key.unwrap_or_default()),
            self.max_jobs,
            self.speed_factor,
            list(&self.supported_features),
            list(&self.mandatory_features),
            field(host_key.map_or_else(String::new, |key| BASE64.encode(key.as_bytes()))),
        )
    }
}

/// The list, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Machines {
    /// Empty where there is a problem: Nix drops the whole list then.
    pub(super) machines: Vec<Machine>,
    /// The machines files, those that do not exist included.
    pub(super) files: Vec<PathBuf>,
    /// Every bad line, not only the first, at which Nix stops.
    pub(super) problems: Vec<Problem>,
    /// Those beyond what can be watched.
    pub(super) left_out: Option<LeftOut>,
}

/// The builders that are too many to be watched, though Nix uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// How many there are.
    pub count: u64,
    /// The first of them: its URI, and the file and the line, from 1, where it is written.
    pub first: (String, PathBuf, Option<u32>),
}

/// Reads `builders` and the files it names, through `read`, as the Nix of `version` does.
pub(super) fn read(
    conf: &NixConf,
    version: NixVersion,
    read: impl FnMut(&Path) -> io::Result<String>,
) -> Machines {
    let mut expansion = Expansion {
        read,
        version,
        system: &conf.system,
        stack: Vec::new(),
        opened: 0,
        room: text::Room::new(),
        result: Machines::default(),
    };
    let (file, line) = &conf.builders_at;
    expansion.line(&conf.builders, file, *line);
    let mut result = expansion.result;
    let is_refused = |problem: &Problem| problem.source == Source::Machines;
    if result.problems.iter().any(is_refused) {
        result.machines.clear();
        result.left_out = None;
    }
    result
}

struct Expansion<'a, R> {
    read: R,
    version: NixVersion,
    system: &'a str,
    stack: Vec<PathBuf>,
    opened: usize,
    room: text::Room,
    result: Machines,
}

impl<R: FnMut(&Path) -> io::Result<String>> Expansion<'_, R> {
    fn text(&mut self, text: &str, file: &Path) {
        for (number, line) in text::lines(text) {
            self.line(line, file, Some(number));
        }
    }

    fn line(&mut self, line: &str, file: &Path, number: Option<u32>) {
        if self.version.splits_before_comments() {
            // `tokenizeString` drops what is empty; what is blank stays, and is a line without a store.
            for entry in line.split(';').map(without_comment) {
                if !entry.is_empty() {
                    self.entry(entry, file, number);
                }
            }
        } else {
            let entries = without_comment(line).split(';');
            for entry in entries.map(|entry| entry.trim_matches(text::is_space)) {
                if !entry.is_empty() {
                    self.entry(entry, file, number);
                }
            }
        }
    }

    fn entry(&mut self, entry: &str, file: &Path, number: Option<u32>) {
        if let Some(path) = entry.strip_prefix('@') {
            self.file(path.trim_matches(text::is_space), file, number);
        } else {
            self.machine(entry, file, number);
        }
    }

    fn machine(&mut self, entry: &str, file: &Path, number: Option<u32>) {
        let is_full = self.result.machines.len() >= MAX_ENTRIES;
        match line::parse(entry, self.system, self.version) {
            Ok(machine) if is_full => {
                let first = || (machine.uri, file.to_owned(), number);
                let left_out = self.result.left_out.get_or_insert_with(|| LeftOut {
                    count: 0,
                    first: first(),
                });
                left_out.count += 1;
            }
            Ok(machine) => self.result.machines.push(Machine {
                file: file.to_owned(),
                line: number,
                ..machine
            }),
            Err(bad) => self.problem(file, number, Some(bad.field), bad.to_string()),
        }
    }

    /// Only a file that does not exist is no builder at all; for anything else Nix gives up.
    fn file(&mut self, named: &str, file: &Path, number: Option<u32>) {
        let path = Path::new("/").join(named);
        let shown = path.display();
        if self.stack.contains(&path) {
            let text = format!("{shown} names itself");
            return self.problem(file, number, None, text);
        }
        if self.stack.len() >= MAX_DEPTH || self.opened >= MAX_FILES {
            let text = format!("too many machines files: {shown} left out");
            return self.problem(file, number, None, text);
        }
        self.opened += 1;
        if !self.result.files.contains(&path) {
            self.result.files.push(path.clone());
        }
        match self.room.read(|| (self.read)(&path)) {
            Ok(contents) => {
                self.stack.push(path.clone());
                self.text(&contents, &path);
                self.stack.pop();
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                self.tell(Problem {
                    source: Source::NotVisible,
                    file: path,
                    line: None,
                    field: None,
                    text: error.to_string(),
                });
            }
            Err(error) => self.problem(&path, None, None, format!("can't be read: {error}")),
        }
    }

    fn problem(&mut self, file: &Path, line: Option<u32>, field: Option<u32>, text: String) {
        self.tell(Problem {
            source: Source::Machines,
            file: file.to_owned(),
            line,
            field,
            text,
        });
    }

    fn tell(&mut self, problem: Problem) {
        if self.result.problems.len() < MAX_ENTRIES {
            self.result.problems.push(problem);
        }
    }
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
