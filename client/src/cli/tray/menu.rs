//! The menu: `com.canonical.dbusmenu`, version 3, as libdbusmenu's `dbus-menu.xml` has it.

use std::{collections::HashMap, iter};

use zbus::{OwnedVariant, Variant, fdo, interface, object_server::SignalEmitter};

use super::{
    Action, Face,
    shown::{Entry, Shown},
};
use crate::language::tr;

pub(super) const PATH: &str = "/MenuBar";
/// What all entries are in.
pub(super) const ROOT: i32 = 0;
/// What is only to be read is numbered from here: an action has its own number, whatever stands above it.
const LINES: i32 = 10;

type Properties = HashMap<&'static str, Variant<'static>>;
/// Its number, its properties, and what is in it, each such a triple.
type Layout = (i32, Properties, Vec<Variant<'static>>);

pub(super) struct Menu(pub(super) Face);

#[interface(name = "com.canonical.dbusmenu", introspection_docs = false)]
impl Menu {
    #[zbus(out_args("revision", "layout"))]
    fn get_layout(
        &self,
        parent_id: i32,
        recursion_depth: i32,
        property_names: Vec<String>,
    ) -> fdo::Result<(u32, Layout)> {
        let shown = self.0.shown.borrow();
        let properties = find(&shown, parent_id)?;
        let mut within = Vec::new();
        if parent_id == ROOT && recursion_depth != 0 {
            within.extend(items(&shown).skip(1).map(|(id, properties)| {
                let properties = of(properties, &property_names);
                Variant::from((id, properties, Vec::<Variant<'static>>::new()))
            }));
        }
        let properties = of(properties, &property_names);
        Ok((shown.revision, (parent_id, properties, within)))
    }

    #[zbus(out_args("properties"))]
    fn get_group_properties(
        &self,
        ids: Vec<i32>,
        property_names: Vec<String>,
    ) -> Vec<(i32, Properties)> {
        let shown = self.0.shown.borrow();
        let asked = items(&shown).filter(|(id, _)| ids.is_empty() || ids.contains(id));
        asked
            .map(|(id, properties)| (id, of(properties, &property_names)))
            .collect()
    }

    #[zbus(out_args("value"))]
    fn get_property(&self, id: i32, name: String) -> fdo::Result<Variant<'static>> {
        let value = find(&self.0.shown.borrow(), id)?.remove(&*name);
        value.ok_or_else(|| fdo::Error::InvalidArgs("no such property".to_owned()))
    }

    fn event(&self, id: i32, event_id: String, _data: OwnedVariant, _timestamp: u32) {
        let actions = [Action::Check, Action::Pause, Action::Resume];
        let action = actions.into_iter().find(|action| *action as i32 == id);
        if let (Some(action), "clicked") = (action, &*event_id) {
            self.0.ask(action);
        }
    }

    #[zbus(out_args("id_errors"))]
    fn event_group(&self, events: Vec<(i32, String, OwnedVariant, u32)>) -> Vec<i32> {
        for (id, event_id, data, timestamp) in events {
            self.event(id, event_id, data, timestamp);
        }
        Vec::new()
    }

    /// It is up to date at any time.
    #[zbus(out_args("need_update"))]
    fn about_to_show(&self, _id: i32) -> bool {
        false
    }

    #[zbus(out_args("updates_needed", "id_errors"))]
    fn about_to_show_group(&self, _ids: Vec<i32>) -> (Vec<i32>, Vec<i32>) {
        (Vec::new(), Vec::new())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> u32 {
        3
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn text_direction(&self) -> String {
        "ltr".to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn status(&self) -> String {
        "normal".to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn icon_theme_path(&self) -> Vec<String> {
        Vec::new()
    }

    #[zbus(signal)]
    pub(super) async fn layout_updated(
        emitter: &SignalEmitter<'_>,
        revision: u32,
        parent: i32,
    ) -> zbus::Result<()>;
}

/// What they are in, then the entries.
fn items(shown: &Shown) -> impl Iterator<Item = (i32, Properties)> {
    let root = Properties::from([("children-display", "submenu".into())]);
    let entries = (LINES..).zip(&shown.menu).map(|(number, entry)| {
        let properties = match entry {
            Entry::Separator => Properties::from([("type", "separator".into())]),
            Entry::Line(text) => labelled(text, false),
            Entry::Action(action) => labelled(label(*action), true),
        };
        match entry {
            Entry::Action(action) => (*action as i32, properties),
            _ => (number, properties),
        }
    });
    iter::once((ROOT, root)).chain(entries)
}

fn labelled(text: &str, enabled: bool) -> Properties {
    // One underscore would mark the letter after it.
    let label = text.replace('_', "__");
    Properties::from([("label", label.into()), ("enabled", enabled.into())])
}

fn label(action: Action) -> &'static str {
    match action {
        Action::Check => tr("Check now"),
        Action::Pause => tr("Pause the checks"),
        Action::Resume => tr("Resume the checks"),
    }
}

fn find(shown: &Shown, id: i32) -> fdo::Result<Properties> {
    let found = items(shown).find(|(number, _)| *number == id);
    let found = found.map(|(_, properties)| properties);
    found.ok_or_else(|| fdo::Error::InvalidArgs("no such entry".to_owned()))
}

/// Those that were asked for; all of them where none was named.
fn of(mut properties: Properties, names: &[String]) -> Properties {
    properties.retain(|name, _| names.is_empty() || names.iter().any(|it| it == name));
    properties
}
