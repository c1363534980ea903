//! Whoever answers as the cache sends offloadd nowhere, unless somebody asks how Nix would fare.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use offload_client::{Kind, Reason, TargetState, snapshot::Target};
use offload_tests::{
    Laptop,
    daemon::Launch,
    eventually, fake,
    ground::{HERE, MOVED},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: &str = "[poll]\ninterval = \"1s\"\nfast_interval = \"1s\"\ndown_max_interval = \"1s\"\n\
     timeout = \"1s\"\n[nix]\nimport = false\n";

/// A server that sends everybody to one place.
struct Front {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Front {
    async fn sending_to(location: String) -> Self {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let answer = format!(
                    "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            address,
            asked,
            server,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn config(&self) -> String {
        format!(
            "{POLL}[[cache]]\nname = \"desktop\"\nurl = \"http://{}\"\n",
            self.address
        )
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn start(config: String) -> Laptop {
    let launch = Launch {
        config,
        ..Launch::default()
    };
    Laptop::start_with(launch).await.unwrap()
}

async fn desktop(laptop: &Laptop) -> Target {
    let snapshot = laptop.snapshot().await.unwrap();
    let mut targets = snapshot.targets.into_iter();
    let desktop = targets.find(|target| target.kind == Kind::Cache && target.name == "desktop");
    desktop.unwrap()
}

async fn becomes(laptop: &Laptop, state: TargetState, reason: Reason) {
    let what = format!("{state} {reason}");
    let found = eventually(PATIENCE, &what, async || {
        let desktop = desktop(laptop).await;
        ((desktop.state, desktop.reason) == (state, reason)).then_some(())
    });
    found.await.unwrap();
}

#[tokio::test]
async fn nobody_is_asked_anything_by_a_redirect_until_somebody_asks() {
    let other = fake::Cache::start(SocketAddr::new(MOVED, 0)).await.unwrap();
    let front = Front::sending_to(format!("{}/nix-cache-info?any=thing", other.url())).await;
    let laptop = start(front.config()).await;
    becomes(&laptop, TargetState::Unknown, Reason::Redirected).await;
    let before = front.asked();
    eventually(PATIENCE, "three more checks", async || {
        (front.asked() >= before + 3).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(other.connections(), 0);
    let page = laptop.offloadctl(&["status"]).await.unwrap().stdout;
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("sends on to another host"), "{words}");
    let remedy = format!("`{}` in `substituters`", other.url());
    assert!(words.contains(&remedy), "{words}");

    // As Nix would, for who asks.
    let run = laptop.offloadctl(&["check", "desktop"]).await.unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    becomes(&laptop, TargetState::Ready, Reason::None).await;
    let asked = other.connections();
    assert!(asked > 0);
    let before = front.asked();
    eventually(PATIENCE, "three cheap checks", async || {
        (front.asked() >= before + 3).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(desktop(&laptop).await.state, TargetState::Ready);
    assert_eq!(other.connections(), asked);
}

#[tokio::test]
async fn a_redirect_to_another_cache_of_ours_is_followed() {
    let other = fake::Cache::start(SocketAddr::new(MOVED, 0)).await.unwrap();
    let front = Front::sending_to(format!("{}/nix-cache-info", other.url())).await;
    let config = front.config();
    let laptop = start(format!(
        "{config}[[cache]]\nname = \"other\"\nurl = \"{}\"\n",
        other.url()
    ))
    .await;
    becomes(&laptop, TargetState::Ready, Reason::None).await;
}
