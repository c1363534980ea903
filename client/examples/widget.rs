//! A widget in twenty lines: what is wrong and what to do, at each change, whatever becomes of daemon and bus.

use futures_util::StreamExt;
use offload_client::{Client, NoDaemon};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), NoDaemon> {
    let mut updates = Client::connect().await?.watch();
    while let Some(now) = updates.next().await {
        let Some(now) = now else {
            println!("no offloadd");
            continue;
        };
        println!("{}", now.state);
        if let Some(cause) = now.cause() {
            println!("  {}: {}", cause.target, cause.title);
            println!("  → {}", cause.remedy);
        }
    }
    Ok(())
}
