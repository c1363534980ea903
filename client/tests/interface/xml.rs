//! `dbus/*.xml`, read.

use std::collections::BTreeMap;

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

const XML: [&str; 5] = [
    include_str!("../../../dbus/org.offloadd.Offload1.Manager.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Target.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Cache.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Builder.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Job.xml"),
];

#[derive(Default)]
pub(super) struct Interface {
    pub(super) methods: BTreeMap<String, Method>,
    pub(super) signals: BTreeMap<String, String>,
    pub(super) properties: BTreeMap<String, Property>,
}

#[derive(Default)]
pub(super) struct Method {
    pub(super) input: String,
    pub(super) output: String,
}

#[derive(Default)]
pub(super) struct Property {
    pub(super) signature: String,
    pub(super) emits: String,
}

impl Interface {
    pub(super) fn method(&mut self, name: &str) -> &mut Method {
        self.methods.get_mut(name).unwrap()
    }
}

/// Reads the interfaces out of the XML.
pub(super) fn interfaces() -> BTreeMap<String, Interface> {
    let mut interfaces = BTreeMap::new();
    for xml in XML {
        let mut reader = Reader::from_str(xml);
        let (mut name, mut member) = (String::new(), String::new());
        loop {
            let event = reader.read_event().unwrap();
            let element = match &event {
                Event::Start(element) | Event::Empty(element) => element,
                Event::Eof => break,
                _ => continue,
            };
            let own_name = attribute(element, "name");
            if element.name().as_ref() == "interface" {
                name = own_name.clone().unwrap();
            }
            if name.is_empty() {
                continue;
            }
            let interface: &mut Interface = interfaces.entry(name.clone()).or_default();
            match element.name().as_ref() {
                "interface" => {}
                "method" => {
                    member = own_name.unwrap();
                    interface.methods.insert(member.clone(), Method::default());
                }
                "signal" => {
                    member = own_name.unwrap();
                    interface.signals.insert(member.clone(), String::new());
                }
                "property" => {
                    member = own_name.unwrap();
                    assert_eq!(attribute(element, "access").as_deref(), Some("read"));
                    let property = Property {
                        signature: attribute(element, "type").unwrap(),
                        ..Property::default()
                    };
                    interface.properties.insert(member.clone(), property);
                }
                "arg" => {
                    let signature = attribute(element, "type").unwrap();
                    match attribute(element, "direction").as_deref() {
                        Some("in") => interface.method(&member).input.push_str(&signature),
                        Some("out") => interface.method(&member).output.push_str(&signature),
                        _ => *interface.signals.get_mut(&member).unwrap() += &signature,
                    }
                }
                "annotation" => {
                    assert_eq!(
                        own_name.as_deref(),
                        Some("org.freedesktop.DBus.Property.EmitsChangedSignal")
                    );
                    interface.properties.get_mut(&member).unwrap().emits =
                        attribute(element, "value").unwrap();
                }
                other => panic!("{other}"),
            }
        }
    }
    interfaces
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).unwrap()?;
    Some(found.value.into_owned())
}
