//! The schema of what `--json` writes, made of its types: `OFFLOAD_WRITE_MAN=1 cargo nextest run -p offload-client --lib schema`.

use std::{borrow::Cow, fs};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{Build, Built, Diagnosis, Document, Failed, Forgotten, History, Told, Woken, Words};
use crate::{
    Snapshot,
    cli::{explain, json::Discovery},
    snapshot::Target,
};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/offloadctl.schema.json"
);

/// Beside what a type has, what is added to it on its way: in the daemon's document too.
const WITH_WORDS: [&str; 4] = ["Target", "Warning", "RootCause", "Builder"];

macro_rules! is {
    ($($type:ty => $other:ty),*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                <$other>::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                <$other>::schema_name()
            }

            // They are one type, with one definition.
            fn schema_id() -> Cow<'static, str> {
                <$other>::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$other>::json_schema(generator)
            }
        }
    )*};
}
is!(Told => Target, Document => Snapshot);

fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    generator.subschema_for::<Words>();
    let documents = json!({
        "status": generator.subschema_for::<Snapshot>(),
        "check": generator.subschema_for::<Snapshot>(),
        "is-ready": generator.subschema_for::<Snapshot>(),
        "wait": generator.subschema_for::<Snapshot>(),
        "pause": generator.subschema_for::<Snapshot>(),
        "resume": generator.subschema_for::<Snapshot>(),
        "watch": generator.subschema_for::<Option<Snapshot>>(),
        "discover": generator.subschema_for::<Discovery>(),
        "history": generator.subschema_for::<History>(),
        "test-build": generator.subschema_for::<Built>(),
        "forget-misses": generator.subschema_for::<Forgotten>(),
        "wake": generator.subschema_for::<Woken>(),
        "doctor": generator.subschema_for::<Diagnosis>(),
        "explain": { "anyOf": [
            generator.subschema_for::<Build>(),
            generator.subschema_for::<explain::Explained>(),
        ]},
        "error": generator.subschema_for::<Failed>(),
    });
    let mut types = generator.take_definitions(true);
    for name in WITH_WORDS {
        let it = &mut types[name];
        it["properties"]["words"] = json!({
            "description": "What a person is shown of it; null where nothing is wrong.",
            "anyOf": [{ "$ref": "#/$defs/Words" }, { "type": "null" }],
        });
        it["required"].as_array_mut().unwrap().push("words".into());
    }
    types.extend(documents.as_object().unwrap().clone());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "offloadctl --json",
        "description": "What each command writes is under its name in $defs, and what any of them writes instead under error.",
        "$defs": types,
    })
}

#[test]
fn the_schema_is_the_one_of_the_types() {
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("OFFLOAD_WRITE_MAN").is_some() {
        fs::write(FILE, &made).unwrap();
    }
    let kept = fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        kept == made,
        "docs/offloadctl.schema.json is older than the types: see the head of {}",
        file!()
    );
}
