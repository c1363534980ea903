//! The example of a widget, as somebody would run it: it says what is, through the daemon's end and its next life.

use std::{fs, net::SocketAddr, time::Duration};

use offload_tests::{
    Bus, Daemon,
    daemon::{Launch, program},
    eventually,
    fake::{Desktop, Fault},
    ground::HERE,
    process::Process,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_example_of_a_widget_follows_the_daemon_through_its_lives() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let program = program("examples/widget").unwrap();
    let _widget = Process::start(&program, None, &log, |command| {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
    })
    .unwrap();
    let says = async |end: &str| {
        let said = eventually(PATIENCE, end, async || {
            let said = fs::read_to_string(&log).unwrap();
            let last = said
                .trim_end()
                .rsplit_once('\n')
                .map_or(said.as_str(), |(_, last)| last);
            last.contains(end).then_some(())
        });
        said.await
            .unwrap_or_else(|error| panic!("{error}: {}", fs::read_to_string(&log).unwrap()));
    };
    says("no offloadd").await;
    for _life in 0..2 {
        let launch = Launch {
            config: format!(
                "[poll]\ninterval = \"1s\"\nfast_interval = \"300ms\"\ntimeout = \"1s\"\n[nix]\nimport = false\n[[cache]]\nname = \"desktop\"\nurl = \"{}\"\n",
                desktop.cache.url()
            ),
            bus: bus.address(),
            ..Launch::default()
        };
        let mut daemon = Daemon::start(launch).await.unwrap();
        daemon.wait_ready().await.unwrap();
        says("ready").await;
        desktop.set(Fault::Refuse).await.unwrap();
        says("compare its port with the one in ").await;
        desktop.set(Fault::Healthy).await.unwrap();
        says("ready").await;
        daemon.terminate().await.unwrap();
        says("no offloadd").await;
    }
}
