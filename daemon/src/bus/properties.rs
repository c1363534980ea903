//! Our interfaces' properties, a row each, as systemd's own have them (`sd_bus_vtable`, sd_bus_add_object_vtable(3)):
//! reading one or all of them, what introspection says, and what a change tells follow from the row. zbus's macro has
//! the methods and the signals.

use std::{collections::HashMap, fmt::Write};

use async_trait::async_trait;
use serde::{Serialize, Serializer};
use zbus::{
    BoxDBusError, Connection, ObjectServer, OwnedVariant, Variant, fdo,
    message::{Header, Message},
    names::{InterfaceName, MemberName},
    object_server::{DispatchResult, Interface, SignalEmitter},
};

/// One property, read of an `S`.
pub(super) struct Property<S: 'static> {
    pub(super) name: &'static str,
    /// Its type, as D-Bus writes it.
    signature: &'static str,
    emits: Emits<S>,
    get: for<'a> fn(&'a S) -> Variant<'a>,
}

/// What is told of a change (D-Bus specification, `EmitsChangedSignal`).
enum Emits<S: 'static> {
    /// It never changes.
    Const,
    /// Nothing: who wants it asks.
    False,
    /// The new value, where it is another.
    True,
    /// The same, where comparing the values themselves would take long.
    Unless(fn(&S, &S) -> bool),
}

impl<S> Property<S> {
    /// One that never changes.
    pub(super) const fn constant(
        name: &'static str,
        signature: &'static str,
        get: for<'a> fn(&'a S) -> Variant<'a>,
    ) -> Self {
        Self::new(name, signature, Emits::Const, get)
    }

    /// One of whose changes nothing is told.
    pub(super) const fn silent(
        name: &'static str,
        signature: &'static str,
        get: for<'a> fn(&'a S) -> Variant<'a>,
    ) -> Self {
        Self::new(name, signature, Emits::False, get)
    }

    /// One whose changes are told.
    pub(super) const fn told(
        name: &'static str,
        signature: &'static str,
        get: for<'a> fn(&'a S) -> Variant<'a>,
    ) -> Self {
        Self::new(name, signature, Emits::True, get)
    }

    /// One whose changes are told unless `is_same` of what it is read of.
    pub(super) const fn told_unless(
        name: &'static str,
        signature: &'static str,
        is_same: fn(&S, &S) -> bool,
        get: for<'a> fn(&'a S) -> Variant<'a>,
    ) -> Self {
        Self::new(name, signature, Emits::Unless(is_same), get)
    }

    const fn new(
        name: &'static str,
        signature: &'static str,
        emits: Emits<S>,
        get: for<'a> fn(&'a S) -> Variant<'a>,
    ) -> Self {
        Self {
            name,
            signature,
            emits,
            get,
        }
    }

    /// Its value in `new`, where a change from `old` is told.
    fn change<'a>(&self, old: &S, new: &'a S) -> Option<Variant<'a>> {
        match self.emits {
            Emits::Const | Emits::False => None,
            Emits::True => Some((self.get)(new)).filter(|value| *value != (self.get)(old)),
            Emits::Unless(is_same) => (!is_same(old, new)).then(|| (self.get)(new)),
        }
    }

    fn introspect(&self, writer: &mut dyn Write, level: usize) -> std::fmt::Result {
        let (name, signature) = (self.name, self.signature);
        let start = format!("<property name=\"{name}\" type=\"{signature}\" access=\"read\"");
        let emits = match self.emits {
            // What is not annotated tells its changes.
            Emits::True | Emits::Unless(_) => {
                return writeln!(writer, "{:level$}{start}/>", "");
            }
            Emits::Const => "const",
            Emits::False => "false",
        };
        let annotation = "org.freedesktop.DBus.Property.EmitsChangedSignal";
        writeln!(
            writer,
            "{0:level$}{start}>\n{0:inner$}<annotation name=\"{annotation}\" value=\"{emits}\"/>\n{0:level$}</property>",
            "",
            inner = level + 2
        )
    }
}

/// The properties whose change is told, between two states of what they are read of.
pub(super) fn changed<'a, S>(
    rows: &[Property<S>],
    old: &S,
    new: &'a S,
) -> HashMap<&'static str, Variant<'a>> {
    rows.iter()
        .filter_map(|row| Some((row.name, row.change(old, new)?)))
        .collect()
}

/// Those `rows` of one object as `a{sv}`.
pub(super) struct Values<'a, S: 'static>(pub(super) &'static [Property<S>], pub(super) &'a S);

impl<S> Serialize for Values<'_, S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        serializer.collect_map(self.0.iter().map(|row| (row.name, (row.get)(self.1))))
    }
}

/// An interface whose properties are rows.
pub(super) trait Rows: Interface {
    /// What they are read of.
    type Of: 'static;

    /// Every property, as `dbus/*.xml` has them.
    const ROWS: &'static [Property<Self::Of>];

    /// Reads it; nothing where it is gone, which its object is about to be too.
    fn read<T>(&self, read: impl FnOnce(&Self::Of) -> T) -> Option<T>;
}

/// An interface with the properties of its [`Rows`] beside the methods that zbus's macro made.
pub(super) struct WithRows<I>(pub(super) I);

#[async_trait]
impl<I: Rows> Interface for WithRows<I> {
    fn name() -> InterfaceName<'static> {
        I::name()
    }

    async fn get(
        &self,
        name: &str,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<OwnedVariant, BoxDBusError>> {
        let row = I::ROWS.iter().find(|row| row.name == name)?;
        let value = self.0.read(|of| (row.get)(of).try_to_owned());
        let gone = || fdo::Error::UnknownObject("it is gone".to_owned());
        Some(match value.ok_or_else(gone) {
            Ok(value) => value.map_err(BoxDBusError::from),
            Err(gone) => Err(gone.into()),
        })
    }

    async fn get_all(
        &self,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        let all = self.0.read(|of| {
            let rows = I::ROWS.iter();
            rows.map(|row| Ok((row.name.to_owned(), (row.get)(of).try_to_owned()?)))
                .collect()
        });
        all.unwrap_or_else(|| Ok(HashMap::new()))
    }

    async fn set_mut(
        &mut self,
        _: &str,
        _: &Variant<'_>,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<(), BoxDBusError>> {
        None
    }

    fn call<'call>(
        &'call self,
        server: &'call ObjectServer,
        connection: &'call Connection,
        message: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        self.0.call(server, connection, message, name)
    }

    fn call_mut<'call>(
        &'call mut self,
        server: &'call ObjectServer,
        connection: &'call Connection,
        message: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        self.0.call_mut(server, connection, message, name)
    }

    fn introspect_to_writer(&self, writer: &mut dyn Write, level: usize) {
        const END: &str = "</interface>";
        let mut xml = String::new();
        self.0.introspect_to_writer(&mut xml, level);
        let members = xml.trim_end().trim_end_matches(END).trim_end();
        // Whatever is asked to be introspected is written into a string, which takes it.
        let _ = writeln!(writer, "{members}");
        for row in I::ROWS {
            let _ = row.introspect(writer, level + 2);
        }
        let _ = writeln!(writer, "{:level$}{END}", "");
    }
}

#[cfg(test)]
mod tests {
    use offload_client::{
        Snapshot,
        snapshot::{BuilderFacts, CacheFacts, Target},
    };

    use super::*;
    use crate::bus::{
        manager::Manager,
        target::{BuilderObject, CacheObject, TargetObject},
    };

    fn has_types<S>(rows: &[Property<S>], of: &S) {
        for row in rows {
            let value = (row.get)(of);
            assert_eq!(*value.value_signature(), row.signature, "{}", row.name);
        }
    }

    #[test]
    fn each_value_is_of_the_type_that_its_row_says() {
        has_types(Manager::ROWS, &Snapshot::default());
        has_types(TargetObject::ROWS, &Target::default());
        has_types(CacheObject::ROWS, &CacheFacts::default());
        has_types(BuilderObject::ROWS, &BuilderFacts::default());
    }
}
