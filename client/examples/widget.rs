//! A widget in twenty lines: it prints what is wrong at each change, whatever becomes of the daemon.

use futures_util::StreamExt;
use offload_client::{reasons, watch::watch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> zbus::Result<()> {
    let mut snapshots = std::pin::pin!(watch(&zbus::Connection::system().await?));
    while let Some(snapshot) = snapshots.next().await {
        let Some(snapshot) = snapshot else {
            println!("no offloadd");
            continue;
        };
        println!("{}", snapshot.state);
        for target in snapshot.targets.iter().filter(|it| !it.state.is_ready()) {
            println!("  {}: {}", target.label(), reasons::title_for(target));
            println!("  → {}", reasons::remedy_for(target));
        }
    }
    Ok(())
}
