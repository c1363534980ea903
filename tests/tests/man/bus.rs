//! org.offloadd.Offload1(5), from the interfaces as they are committed (`dbus/*.xml`).

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use crate::{page::Page, words::Words};

const XML: [&str; 5] = [
    include_str!("../../../dbus/org.offloadd.Offload1.Manager.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Target.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Cache.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Builder.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Job.xml"),
];
const EXAMPLES: &str = "\
busctl get-property org.offloadd.Offload1 /org/offloadd/Offload1 org.offloadd.Offload1.Manager State
busctl call org.offloadd.Offload1 /org/offloadd/Offload1 org.offloadd.Offload1.Manager GetTarget ss builder desktop
busctl monitor --match \"type='signal',path_namespace='/org/offloadd/Offload1'\"
systemctl service-log-level offloadd debug";

pub(crate) fn page(words: &Words) -> String {
    let mut page = Page::new(
        words,
        "org.offloadd.Offload1",
        "5",
        "what offloadd publishes on the bus",
    );
    page.section("DESCRIPTION");
    page.prose(
        "`offloadd`(8) owns the name `org.offloadd.Offload1` on the system bus. Everybody may read, and ask for a check; \
         polkit is asked about the rest. The object `/org/offloadd/Offload1` has the Manager and lists the others \
         (org.freedesktop.DBus.ObjectManager): `/org/offloadd/Offload1/cache/NAME` and `/org/offloadd/Offload1/builder/NAME` \
         have a Target each, beside a Cache or a Builder, and `/org/offloadd/Offload1/job/N` is a Job.",
    );
    page.paragraph(
        "Behind each property stands what its changes do: they come in a signal with the value, or there is no signal, \
         or it never changes (const). `/org/freedesktop/LogControl1` has org.freedesktop.LogControl1(5).",
    );
    for xml in XML {
        interface(&mut page, xml);
    }
    page.section("EXAMPLES");
    page.literal(EXAMPLES);
    page.see_also(&[
        "offloadd(8)",
        "offloadctl(1)",
        "busctl(1)",
        "org.freedesktop.LogControl1(5)",
    ])
}

/// A section for the one interface in `xml`: what stands above it, and what stands above each member.
fn interface(page: &mut Page<'_>, xml: &str) {
    let mut reader = Reader::from_str(xml);
    let (mut comment, mut about) = (String::new(), String::new());
    let mut member: Option<Member> = None;
    loop {
        let event = reader.read_event().unwrap();
        match &event {
            Event::Eof => return,
            Event::Comment(text) => comment = flowing(text),
            Event::End(element) if is_member(element.name().as_ref()) => {
                member.take().unwrap().write(page);
            }
            Event::Start(element) | Event::Empty(element) => {
                let name = element.name();
                match name.as_ref() {
                    "node" => about = std::mem::take(&mut comment),
                    "interface" => {
                        page.section(&attribute(element, "name"));
                        for paragraph in about.split("\n\n") {
                            page.paragraph(paragraph);
                        }
                    }
                    "arg" => member.as_mut().unwrap().argue(element),
                    "annotation" => member.as_mut().unwrap().emits = attribute(element, "value"),
                    kind if is_member(kind) => {
                        let new = Member::new(element, std::mem::take(&mut comment));
                        match event {
                            Event::Empty(_) => new.write(page),
                            _ => member = Some(new),
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// A property, a method or a signal.
struct Member {
    kind: String,
    name: String,
    signature: String,
    emits: String,
    given: Vec<String>,
    answered: Vec<String>,
    comment: String,
}

impl Member {
    fn new(element: &BytesStart<'_>, comment: String) -> Self {
        Self {
            kind: element.name().as_ref().to_owned(),
            name: attribute(element, "name"),
            signature: attribute(element, "type"),
            emits: String::new(),
            given: Vec::new(),
            answered: Vec::new(),
            comment,
        }
    }

    fn argue(&mut self, element: &BytesStart<'_>) {
        let argument = format!(
            "{} {}",
            attribute(element, "type"),
            attribute(element, "name")
        );
        match attribute(element, "direction").as_str() {
            "out" => self.answered.push(argument),
            _ => self.given.push(argument),
        }
    }

    fn write(self, page: &mut Page<'_>) {
        let (name, given) = (&self.name, self.given.join(", "));
        let emits = match self.emits.as_str() {
            "true" => "",
            "false" => &format!(", {}", page.say("no signal")),
            word => &format!(", {word}"),
        };
        let (property, signal) = (page.say("property"), page.say("signal"));
        let term = match (self.kind.as_str(), &self.answered[..]) {
            ("property", _) => format!("{name} {} ({property}{emits})", self.signature),
            ("signal", _) => format!("{name}({given}) ({signal})"),
            (_, []) => format!("{name}({given})"),
            (_, answered) => format!("{name}({given}) → {}", answered.join(", ")),
        };
        page.item(&term, &self.comment);
    }
}

fn is_member(kind: &str) -> bool {
    matches!(kind, "property" | "method" | "signal")
}

fn attribute(element: &BytesStart<'_>, name: &str) -> String {
    let found = element.try_get_attribute(name).unwrap();
    found.map_or_else(String::new, |found| found.value.into_owned())
}

/// Its lines as they would be without their indentation, paragraphs apart.
fn flowing(comment: &str) -> String {
    let lines: Vec<&str> = comment.trim().lines().map(str::trim).collect();
    lines.join("\n")
}
