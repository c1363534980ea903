//! What `ssh -G` prints: an option and its value a line.

use std::path::PathBuf;

/// The lines of `ssh -G`.
pub(super) struct Answer<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Answer<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let lines = text.lines().map(|line| match line.split_once(' ') {
            Some((option, value)) => (option, value.trim()),
            None => (line, ""),
        });
        Self(lines.collect())
    }

    pub(super) fn all(&self, option: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(option))
            .map(|(_, value)| *value)
    }

    /// The value, where it is set to anything but `none`.
    pub(super) fn get(&self, option: &str) -> Option<&'a str> {
        self.all(option)
            .find(|value| !value.is_empty() && !value.eq_ignore_ascii_case("none"))
    }

    /// Whether a list has lost all that was in it (`-*`).
    pub(super) fn is_emptied(&self, option: &str) -> bool {
        let mut all = self.all(option).peekable();
        all.peek().is_some() && all.all(str::is_empty)
    }

    pub(super) fn is_on(&self, option: &str) -> bool {
        matches!(self.get(option), Some("yes" | "true"))
    }
}

/// The paths of one line, which has them without the quotes that they were written with: what does not
/// begin like a path goes on with the one before.
pub(super) fn paths(value: &str) -> Vec<PathBuf> {
    let mut paths: Vec<String> = Vec::new();
    for word in value.split(' ') {
        match paths.last_mut() {
            Some(path) if !word.starts_with(['/', '~']) => {
                path.push(' ');
                path.push_str(word);
            }
            _ if word.is_empty() => {}
            _ => paths.push(word.to_owned()),
        }
    }
    paths.into_iter().map(PathBuf::from).collect()
}
