//! Raw values take the shape the schema demands: known keys, right types, entries by name.
//!
//! What does not fit is noted and left out, so that one look finds all mistakes.

use figment::value::{Dict, Num, Tag, Value};
use offload_client::Printable;

use super::{
    error::{Location, Problems, printable, quoted},
    keys::{self, Section, Type},
    nearest,
    raw::{Fragment, KeyPath, Locations, Origin},
};

/// What a source says, as it stands there, lists of tables still lists.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) values: Dict,
    pub(super) places: Locations,
}

/// Makes a fragment of it.
pub(super) fn shape(origin: Origin, raw: Raw, problems: &mut Problems) -> Fragment {
    let mut shaping = Shaping {
        fragment: Fragment::new(origin),
        places: raw.places,
        problems,
    };
    for (key, value) in raw.values {
        let path = KeyPath::of(&[&key]);
        match keys::section(&key) {
            Some(section) if section.is_list => shaping.entries(section, value, &path),
            Some(section) => shaping.section(section, value, &path),
            None => shaping.unknown(&path, nearest::nearest_at_top(&key), || {
                "known are [poll], [nix], [discover], [proof], [steer], [wake], [metrics], [[cache]] and [[builder]]".into()
            }),
        }
    }
    shaping.fragment
}

struct Shaping<'a> {
    fragment: Fragment,
    places: Locations,
    problems: &'a mut Problems,
}

impl Shaping<'_> {
    fn section(&mut self, section: &'static Section, value: Value, path: &KeyPath) {
        let Value::Dict(_, table) = value else {
            let found = describe(&value);
            let message = format!("must be a table, not {found}; write {}", section.title());
            self.lost(path, message);
            return;
        };
        self.keep_place(path, path);
        let table = self.keys(section, table, path, path);
        self.fragment
            .values
            .insert(section.name.into(), table.into());
    }

    fn entries(&mut self, section: &'static Section, value: Value, path: &KeyPath) {
        let by_name = matches!(self.fragment.origin, Origin::Env);
        let mut entries = Dict::new();
        match value {
            Value::Array(_, list) => {
                for (index, entry) in list.into_iter().enumerate() {
                    self.entry(section, entry, &path.item(index), index, &mut entries);
                }
            }
            // OFFLOADD_CACHE__DESKTOP__URL: the name is in the variable's.
            Value::Dict(_, table) if by_name => {
                for (name, entry) in table {
                    let at = path.then(&name);
                    let Value::Dict(_, entry) = entry else {
                        let message =
                            "must name an entry and a key, as in OFFLOADD_CACHE__DESKTOP__URL";
                        self.lost(&at, message.into());
                        continue;
                    };
                    if let Err(message) = check_name(&name) {
                        self.lost(&at, message);
                        continue;
                    }
                    self.fragment.note_entry(section.name, &name);
                    let entry = self.keys(section, entry, &at, &at);
                    entries.insert(name, entry.into());
                }
            }
            Value::Dict(..) => {
                let message = format!(
                    "is a list of tables; write {} and below it name = \"…\"",
                    section.title()
                );
                self.lost(path, message);
                return;
            }
            other => {
                let found = describe(&other);
                let example = if by_name {
                    "[{name=\"desktop\", …}]".to_owned()
                } else {
                    section.title()
                };
                let message = format!("must be a list of tables, not {found}; write {example}");
                self.lost(path, message);
                return;
            }
        }
        self.fragment
            .values
            .insert(section.name.into(), entries.into());
    }

    fn entry(
        &mut self,
        section: &'static Section,
        value: Value,
        at: &KeyPath,
        index: usize,
        entries: &mut Dict,
    ) {
        let label = format!("{}[{index}]", section.name);
        let Value::Dict(_, mut table) = value else {
            let found = describe(&value);
            let message = format!("must be a table, not {found}; write {}", section.title());
            let part = KeyPath::of(&[section.name]);
            self.problems
                .lost(self.places.get(at), &part, label, message);
            return;
        };
        let name = match table.remove("name") {
            Some(Value::String(_, name)) => check_name(&name).map(|()| name),
            Some(other) => Err(format!(
                "must be a text in quotes, not {}",
                describe(&other)
            )),
            None => Err("is missing; every entry has one, such as name = \"desktop\"".into()),
        };
        let name = match name {
            Ok(name) => name,
            Err(message) => {
                let place = self.places.get(&at.then("name"));
                let part = KeyPath::of(&[section.name]);
                self.problems
                    .lost(place, &part, format!("{label}.name"), message);
                // Its other mistakes are told as well, under the number it has.
                self.keys(section, table, at, &KeyPath::nameless(&label));
                return;
            }
        };
        let path = KeyPath::of(&[section.name, &name]);
        if entries.contains_key(&name) {
            let first = self.fragment.places.get(&path);
            let message =
                format!("defined twice; put both in one, or rename one (first at {first})");
            self.problems.key(self.places.get(at), &path, message);
            return;
        }
        self.keep_place(at, &path);
        self.fragment.note_entry(section.name, &name);
        let table = self.keys(section, table, at, &path);
        entries.insert(name, table.into());
    }

    /// Keeps what is known and fits. `at` is where the raw table is, `path` what it becomes.
    fn keys(
        &mut self,
        section: &'static Section,
        table: Dict,
        at: &KeyPath,
        path: &KeyPath,
    ) -> Dict {
        let mut kept = Dict::new();
        for (key, value) in table {
            let at = at.then(&key);
            let path = path.then(&key);
            self.keep_place(&at, &path);
            let Some(known) = section.key(&key) else {
                self.unknown(&path, nearest::nearest_in(section, &key), || {
                    let known: Vec<_> = section.values().map(|key| key.name).collect();
                    format!("known are {}", known.join(", "))
                });
                continue;
            };
            if let Value::Array(_, items) = &value {
                for index in 0..items.len() {
                    self.keep_place(&at.item(index), &path.item(index));
                }
            }
            if let Some(value) = self.fit(known.kind, value, &path) {
                kept.insert(key, value);
            }
        }
        kept
    }

    fn fit(&mut self, kind: Type, value: Value, path: &KeyPath) -> Option<Value> {
        let found = describe(&value);
        let message = match (kind, value) {
            (Type::Flag, value @ Value::Bool(..)) => return Some(value),
            (Type::Flag, _) => format!("must be true or false, not {found}"),
            (Type::Count, Value::Num(tag, number)) => match whole(number) {
                Some(number) => match u32::try_from(number) {
                    Ok(number) => return Some(Value::Num(tag, number.into())),
                    Err(_) => format!(
                        "{number} is out of range; write a number from 1 to {}",
                        u32::MAX
                    ),
                },
                None => "must be a whole number".into(),
            },
            (Type::Count, _) => format!("must be a whole number, not {found}"),
            (Type::Duration, Value::Num(_, number)) => {
                let example = whole(number).filter(|number| *number > 0).unwrap_or(30);
                format!(
                    "must be a text with a unit, not a number; write \"{example}s\" for seconds"
                )
            }
            (Type::Duration, value @ Value::String(..)) => return Some(value),
            (Type::Duration, _) => format!("must be a text such as \"30s\", not {found}"),
            (Type::Text(_) | Type::Word(_), value @ Value::String(..)) => return Some(value),
            (Type::TextOrList(_), value @ Value::String(..)) => {
                return Some(Value::Array(Tag::Default, vec![value]));
            }
            (Type::Text(_) | Type::Word(_) | Type::Name, _) => {
                format!("must be a text in quotes, not {found}")
            }
            (Type::List(_) | Type::Set(_) | Type::TextOrList(_), Value::Array(tag, items)) => {
                return self.list(tag, items, path);
            }
            (Type::List(_) | Type::Set(_), _) => {
                format!("must be a list of texts, not {found}; write [\"…\", \"…\"]")
            }
            (Type::TextOrList(_), _) => {
                format!("must be a text in quotes or a list of them, not {found}")
            }
        };
        self.problems
            .key(self.fragment.places.get(path), path, message);
        None
    }

    fn list(&mut self, tag: Tag, items: Vec<Value>, path: &KeyPath) -> Option<Value> {
        let mut fits = true;
        for (index, item) in items.iter().enumerate() {
            if !matches!(item, Value::String(..)) {
                fits = false;
                let path = path.item(index);
                let message = format!("must be a text in quotes, not {}", describe(item));
                self.problems
                    .key(self.fragment.places.get(&path), &path, message);
            }
        }
        fits.then_some(Value::Array(tag, items))
    }

    fn unknown(&mut self, path: &KeyPath, meant: Option<String>, known: impl Fn() -> String) {
        let place = match self.fragment.places.find(path) {
            Some(place) => place.clone(),
            None => self.places.get(path),
        };
        let message = match (meant, &place) {
            (Some(meant), Location::Env(variable)) => {
                format!(
                    "unknown key; did you mean {}?",
                    variable_for(variable, path, &meant)
                )
            }
            (Some(meant), _) => format!("unknown key; did you mean {meant:?}?"),
            (None, _) => format!("unknown key; {}", known()),
        };
        self.problems.key(place, path, message);
    }

    /// Nothing is known of what `path` was to be.
    fn lost(&mut self, path: &KeyPath, message: String) {
        let place = self.places.get(path);
        self.problems.lost(place, path, path.to_string(), message);
    }

    fn keep_place(&mut self, at: &KeyPath, path: &KeyPath) {
        self.fragment.places.set(path.clone(), self.places.get(at));
    }
}

/// Names become object paths and words on command lines: `cache/desktop`.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty; write a name such as \"desktop\"".into());
    }
    if name.contains('/') || name.contains(char::is_whitespace) {
        return Err(format!(
            "{} must have no white space and no '/'",
            quoted(name)
        ));
    }
    if !Printable::passes(name) {
        return Err(format!(
            "{} must have no character that can't be seen",
            quoted(name)
        ));
    }
    if name.len() > MAX_NAME {
        return Err(format!("{} is longer than {MAX_NAME} bytes", quoted(name)));
    }
    Ok(())
}

/// No host's name is longer (RFC 1035), and names end up in object paths and on status bars.
const MAX_NAME: usize = 255;

/// What a person would call the value; never the value itself.
fn describe(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a text",
        Value::Bool(..) => "true or false",
        Value::Num(..) => "a number",
        Value::Array(..) => "a list",
        Value::Dict(..) => "a table",
        Value::Empty(..) => "a date or time",
    }
}

fn whole(number: Num) -> Option<i128> {
    let unsigned = || i128::try_from(number.to_u128()?).ok();
    number.to_i128().or_else(unsigned)
}

/// The variable that was meant: the unknown key replaced by the known one.
fn variable_for(variable: &str, path: &KeyPath, meant: &str) -> String {
    let meant = meant.replace('.', "__").to_uppercase();
    match variable.rsplit_once("__") {
        Some((head, _)) if !path.is_top() => format!("{head}__{meant}"),
        _ => format!("OFFLOADD_{}", printable(&meant)),
    }
}
