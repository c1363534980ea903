//! What every `--json` writes is what `docs/offloadctl.schema.json` says.

use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use offload_client::{Kind, Reason, TargetState, snapshot::HistoryEntry};
use serde_json::Value;

use crate::common::{
    Bus,
    fake::{Fake, builder_down, ready},
    job::Job,
    program::{Run, command, finish, offloadctl},
};

/// The schema of one command's document.
struct Schema(Schemas, SchemaIndex);

impl Schema {
    fn of(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/offloadctl.schema.json");
        let schema: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let place = "http://offloadd.invalid/schema.json";
        compiler.add_resource(place, schema).unwrap();
        let index = compiler.compile(&format!("{place}#/$defs/{name}"), &mut schemas);
        Self(schemas, index.unwrap())
    }

    /// Each line of the output is such a document; the last.
    fn holds_for(&self, output: &str) -> Value {
        let mut last = Value::Null;
        for line in output.lines() {
            last = serde_json::from_str(line).unwrap();
            if let Err(error) = self.0.validate(&last, self.1) {
                panic!("{error:#}\n{last:#}");
            }
        }
        assert!(!output.is_empty());
        last
    }
}

#[tokio::test]
async fn each_command_writes_what_the_schema_says() {
    let bus = Bus::start().await;
    let fake = Fake::building(&bus, builder_down(), Job::default()).await;
    let entry = HistoryEntry {
        timestamp: 1,
        state: TargetState::Down,
        reason: Reason::Refused,
        latency_usec: 0,
    };
    fake.script.send_modify(|script| {
        script.history = vec![entry];
        script.after_discover = Some((
            ready(),
            vec!["/org/offloadd/Offload1/builder/desktop".into()],
        ));
    });
    let tree = tempfile::tempdir().unwrap();
    let tree = tree.path().to_str().unwrap();
    for args in [
        &["status"][..],
        &["check"],
        &["is-ready"],
        &["pause"],
        &["resume"],
        &["history"],
        &["doctor", "--config-dir", tree],
        &["wait", "cache/desktop"],
        &["test-build"],
        &["discover"],
    ] {
        let run = offloadctl(&bus, &[args, &["--json"]].concat()).await;
        assert!([0, 3].contains(&run.code), "{args:?}: {run:?}");
        Schema::of(args[0]).holds_for(&run.stdout);
    }
}

#[tokio::test]
async fn a_target_has_one_shape_everywhere_and_the_words_that_a_person_is_shown() {
    let bus = Bus::start().await;
    let _fake = Fake::building(&bus, builder_down(), Job::default()).await;
    let written = async |args: &[&str]| -> Value {
        let run = offloadctl(&bus, &[args, &["--json"]].concat()).await;
        serde_json::from_str(&run.stdout).unwrap()
    };
    let status = written(&["status", "builder/desktop"]).await;
    let target = &status["targets"][0];
    assert_eq!(target["words"]["title"], "connection refused");
    let remedy = target["words"]["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("Start the service"), "{remedy}");
    assert_eq!(status["root_cause"]["words"], target["words"]);
    let history = written(&["history", "builder/desktop"]).await;
    assert_eq!(history["targets"][0]["target"], *target);
    let built = written(&["test-build"]).await;
    assert_eq!(built["target"], *target);
    let ready = written(&["status", "cache/desktop"]).await;
    assert_eq!(ready["targets"][0]["words"], Value::Null);
    assert_eq!(ready["targets"][0]["kind"], Kind::Cache.as_str());
}

#[tokio::test]
async fn an_error_is_a_line_of_json_too_and_its_sentence_stays_where_it_was() {
    let bus = Bus::start().await;
    let schema = Schema::of("error");
    let expect = |run: Run, status: i32, code: &str| {
        assert_eq!(
            (run.code, run.stdout.lines().count()),
            (status, 1),
            "{run:?}"
        );
        let error = &schema.holds_for(&run.stdout)["error"];
        assert_eq!(
            (&error["exit_status"], &error["code"]),
            (&status.into(), &code.into())
        );
        let message = error["message"].as_str().unwrap();
        let first = message.lines().next().unwrap();
        assert!(run.stderr.contains(first), "{run:?}");
    };
    expect(offloadctl(&bus, &["--json"]).await, 4, "no-daemon");
    expect(
        finish(command(&["--json", "frobnicate"])).await,
        64,
        "usage",
    );
    expect(finish(command(&["hold", "--json"])).await, 64, "usage");
    let fake = Fake::start(&bus, ready()).await;
    expect(
        offloadctl(&bus, &["--json", "status", "laptop"]).await,
        64,
        "usage",
    );
    for (error, status, code) in [
        ("Busy", 75, "try-again"),
        ("NotAuthorized", 77, "not-allowed"),
    ] {
        fake.script.send_modify(|script| script.error = Some(error));
        expect(offloadctl(&bus, &["check", "--json"]).await, status, code);
    }
    // Who asks for no JSON gets none.
    let run = offloadctl(&bus, &["status", "laptop"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (64, ""));
}
