//! What `--json` writes, held to `docs/offloadctl.schema.json`.

use std::{fs, path::Path};

use boon::{Compiler, Schemas};
use serde_json::Value;

/// What a command wrote, which is as the schema has it.
pub(crate) fn holds(command: &str, written: &[u8]) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/offloadctl.schema.json");
    let schema = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let place = "http://offloadd.invalid/schema.json";
    compiler.add_resource(place, schema).unwrap();
    let index = compiler.compile(&format!("{place}#/$defs/{command}"), &mut schemas);
    let document = serde_json::from_slice(written).unwrap();
    if let Err(error) = schemas.validate(&document, index.unwrap()) {
        panic!("{error:#}\n{document:#}");
    }
    document
}
