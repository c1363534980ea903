//! A block for whatever reads i3bar's protocol (`status_command` of i3 and sway, as i3status-rust): what to mend first, in a colour, at
//! each change.

use futures_util::StreamExt;
use offload_client::{Client, NoDaemon, OverallState, Snapshot};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), NoDaemon> {
    println!("{{\"version\":1}}\n[");
    let mut updates = Client::connect().await?.watch();
    while let Some(now) = updates.next().await {
        println!("[{}],", block(now.as_ref()));
    }
    Ok(())
}

fn block(now: Option<&Snapshot>) -> Value {
    let Some(now) = now else {
        return json!({ "name": "offloadd", "full_text": "no offloadd", "color": "#888888" });
    };
    let color = match now.state {
        OverallState::Ready => "#8ec07c",
        OverallState::Degraded => "#fabd2f",
        OverallState::Offline => "#fb4934",
        _ => "#888888",
    };
    let state = now.state.to_string();
    let told = now.cause();
    let told = told.map(|cause| format!("{state}: {}. {}", cause.title, cause.remedy));
    json!({
        "name": "offloadd",
        "full_text": told.as_ref().unwrap_or(&state),
        "short_text": state,
        "color": color,
    })
}
