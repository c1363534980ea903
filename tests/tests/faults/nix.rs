//! The Nix of the fake desktop breaks at each message in exactly the way it was told to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use offload_tests::{
    fake::{Cache, Desktop, Fault, Point},
    ground::HERE,
};
use russh::{
    ChannelMsg,
    client::{self, Handle},
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
/// Longer than anything on loopback takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(200);
/// What is read of what has no end.
const ENOUGH: usize = 100_000;

const WORKER: &str = "nix-daemon --stdio";
const SERVE: &str = "nix-store --serve --write";
const CONFIG: &str = "cat /proc/sys/kernel/random/boot_id; nix config show --json";

/// How a program's output came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It exited with this status; of an answer: it was over.
    Exit(u32),
    /// It said nothing more.
    Silent,
    /// It never does.
    Never,
    /// It was not even started.
    Refused,
}

struct AnyKey;

impl client::Handler for AnyKey {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

async fn log_in(desktop: &Desktop) -> Handle<AnyKey> {
    let stream = TcpStream::connect(desktop.ssh.address()).await.unwrap();
    let mut session = client::connect_stream(Arc::default(), stream, AnyKey)
        .await
        .unwrap();
    let key = load_secret_key(desktop.user_key(), None).unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let auth = session.authenticate_publickey("nix", key).await.unwrap();
    assert!(auth.success());
    session
}

/// Runs `command` with `input` and nothing more; returns what it printed, its complaint and how it
/// ended. Where it falls `Silent` that is after `least` bytes.
async fn run(
    desktop: &Desktop,
    command: &str,
    input: &[u8],
    least: usize,
) -> (Vec<u8>, String, Ended) {
    let session = log_in(desktop).await;
    let mut channel = session.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    channel.data_bytes(input.to_vec()).await.unwrap();
    channel.eof().await.unwrap();
    let (mut output, mut complaint, mut exit) = (Vec::new(), Vec::new(), None);
    let stalls = matches!(desktop.ssh.fault(), Fault::StallAfter(_));
    loop {
        let silent = stalls && output.len() >= least;
        let patience = if silent { SILENCE } else { PATIENCE };
        let Ok(heard) = timeout(patience, channel.wait()).await else {
            return (output, text(&complaint), Ended::Silent);
        };
        match heard {
            Some(ChannelMsg::Data { data }) => output.extend_from_slice(&data),
            Some(ChannelMsg::ExtendedData { data, .. }) => complaint.extend_from_slice(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => exit = Some(exit_status),
            Some(ChannelMsg::Failure) => return (output, text(&complaint), Ended::Refused),
            None => return (output, text(&complaint), Ended::Exit(exit.unwrap())),
            Some(_) => {}
        }
        if output.len() > ENOUGH {
            return (output, text(&complaint), Ended::Never);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// What a client of protocol 1.37 says, then one question: no settings are overridden.
fn worker_client() -> Vec<u8> {
    let mut said = vec![0x6e69_7863, 0x125, 0, 0];
    said.push(19);
    said.extend([0; 13]);
    numbers(&said)
}

/// What a client of protocol 2.7 says: which of no paths are valid?
fn serve_client() -> Vec<u8> {
    numbers(&[0x390c_9deb, 0x207, 1, 0, 0, 0])
}

/// What a healthy server says to that, cut after each point.
fn worker_server() -> Vec<(Point, Vec<u8>)> {
    let mut said = Vec::new();
    let mut answers = vec![(Point::Auth, said.clone())];
    let version = [&numbers(&[6])[..], b"2.26.3\0\0"].concat();
    for (point, part) in [
        (Point::Magic, numbers(&[0x6478_696f])),
        (Point::Version, numbers(&[0x125])),
        (Point::NixVersion, version),
        (Point::Trust, numbers(&[1])),
        (Point::Handshake, numbers(&[0x616c_7473])),
    ] {
        said.extend(part);
        answers.push((point, said.clone()));
    }
    answers
}

fn serve_server() -> Vec<(Point, Vec<u8>)> {
    let (magic, both) = (numbers(&[0x5452_eecb]), numbers(&[0x5452_eecb, 0x207]));
    vec![
        (Point::Auth, Vec::new()),
        (Point::Magic, magic),
        (Point::Version, both.clone()),
        (Point::Handshake, both),
    ]
}

#[tokio::test]
async fn each_message_of_both_protocols_can_be_the_last() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    for (command, input, answers) in [
        (WORKER, worker_client(), worker_server()),
        (SERVE, serve_client(), serve_server()),
        (CONFIG, Vec::new(), vec![(Point::Handshake, Vec::new())]),
    ] {
        for (point, expected) in answers {
            for (fault, end) in [
                (Fault::StallAfter(point), Ended::Silent),
                (Fault::EndAfter(point), Ended::Exit(0)),
                (Fault::GarbageAfter(point), Ended::Exit(0)),
                (Fault::EndlessAfter(point), Ended::Never),
            ] {
                desktop.set(fault).await.unwrap();
                let (output, _, ended) = run(&desktop, command, &input, expected.len()).await;
                assert_eq!(ended, end, "{command}: {fault:?}");
                let rest = output.strip_prefix(&expected[..]);
                let rest = rest.unwrap_or_else(|| panic!("{fault:?}: {output:?}"));
                let more = matches!(fault, Fault::GarbageAfter(_) | Fault::EndlessAfter(_));
                assert_eq!(rest.is_empty(), !more, "{command}: {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_healthy_builder_answers_both_protocols_and_what_it_is_configured_to() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let (output, _, _) = run(&desktop, WORKER, &worker_client(), 0).await;
    let all = worker_server().pop().unwrap().1;
    assert_eq!(output, [all, numbers(&[0x616c_7473])].concat());
    let (output, _, _) = run(&desktop, SERVE, &serve_client(), 0).await;
    assert_eq!(output, numbers(&[0x5452_eecb, 0x207, 0]));
    // `remote-store` of the URI.
    let (output, _, _) = run(
        &desktop,
        "nix-daemon --stdio --store auto",
        &worker_client(),
        0,
    )
    .await;
    assert!(output.starts_with(&numbers(&[0x6478_696f])));

    let (output, _, ended) = run(&desktop, CONFIG, b"", 0).await;
    assert_eq!(ended, Ended::Exit(0));
    let output = text(&output);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!((lines.len(), lines[0].len()), (3, 36), "{output}");
    let settings: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(settings["system"]["value"], "x86_64-linux");
}

#[tokio::test]
async fn each_fault_of_the_builders_nix_has_its_own_words() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let refused = "cannot connect to socket";
    for (fault, command, printed, complaint, ended) in [
        (
            Fault::NoNix,
            WORKER,
            "",
            "command not found",
            Ended::Exit(127),
        ),
        (
            Fault::NoNix,
            SERVE,
            "",
            "command not found",
            Ended::Exit(127),
        ),
        (
            Fault::NoNix,
            CONFIG,
            "6c0c8ff0-",
            "nix: command not found",
            Ended::Exit(127),
        ),
        (Fault::NixDaemonDown, WORKER, "", refused, Ended::Exit(1)),
        (
            Fault::NixDaemonDown,
            SERVE,
            "\u{fffd}\u{fffd}RT",
            refused,
            Ended::Exit(1),
        ),
        (
            Fault::ProfileOutput,
            WORKER,
            "Welcome to the desktop.\noixd",
            "",
            Ended::Exit(0),
        ),
        (
            Fault::ProfileOutput,
            CONFIG,
            "Welcome to the desktop.\n6c0c",
            "",
            Ended::Exit(0),
        ),
        (Fault::NotNix, WORKER, "hello\n", "", Ended::Exit(0)),
        (Fault::NotNix, CONFIG, "hello\n", "", Ended::Exit(0)),
        (Fault::NoPrograms, WORKER, "", "", Ended::Refused),
        (
            Fault::OldNix,
            WORKER,
            "oixd\0\0\0\0\u{9}\u{1}",
            // What a newer client says next is none of its operations.
            "invalid operation",
            Ended::Exit(1),
        ),
        (
            Fault::Healthy,
            "nix-instantiate --eval",
            "",
            "command not found",
            Ended::Exit(127),
        ),
    ] {
        desktop.set(fault).await.unwrap();
        let input = if command == SERVE {
            serve_client()
        } else {
            worker_client()
        };
        let (output, said, end) = run(&desktop, command, &input, 0).await;
        assert_eq!(end, ended, "{fault:?}: {command}");
        assert!(text(&output).starts_with(printed), "{fault:?}: {output:?}");
        assert!(said.contains(complaint), "{fault:?}: {said}");
    }
}

#[tokio::test]
async fn an_untrusted_user_is_told_so_twice() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    desktop.set(Fault::Untrusted).await.unwrap();
    // One setting is overridden, which only a trusted user may.
    let mut input = worker_client();
    input.truncate(input.len() - 8);
    input.extend(numbers(&[1, 7]));
    input.extend(b"sandbox\0");
    input.extend(numbers(&[4]));
    input.extend(b"true\0\0\0\0");
    let (output, _, _) = run(&desktop, WORKER, &input, 0).await;
    let trust = [numbers(&[2, 0x616c_7473]), numbers(&[0x6f6c_6d67])].concat();
    let told = output.windows(trust.len()).any(|part| part == trust);
    assert!(told, "{output:?}");
    assert!(text(&output).contains("'sandbox', because it is a restricted setting"));
}

#[tokio::test]
async fn what_the_builder_lacks_shows_in_its_configuration() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    for (fault, system, kvm) in [
        (Fault::Healthy, "x86_64-linux", true),
        (Fault::SystemMissing, "aarch64-linux", true),
        (Fault::FeatureMissing, "x86_64-linux", false),
    ] {
        desktop.set(fault).await.unwrap();
        let (output, _, _) = run(&desktop, CONFIG, b"", 0).await;
        let line = text(&output).lines().last().unwrap().to_owned();
        let settings: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(settings["system"]["value"], system);
        let features = settings["system-features"]["value"].as_array().unwrap();
        assert_eq!(features.iter().any(|feature| feature == "kvm"), kvm);
    }
}

#[tokio::test]
async fn a_narinfo_can_be_missing_endless_or_noise_while_the_cache_is_well() {
    let cache = Cache::start(ANY).await.unwrap();
    let hash = cache.store_path();
    let hash = &hash["/nix/store/".len()..][..32];
    let narinfo = format!("/{hash}.narinfo");
    for (fault, expected, ended) in [
        (Fault::Healthy, "StorePath: /nix/store/", Ended::Exit(0)),
        (Fault::StallAfter(Point::CacheInfo), "", Ended::Silent),
        (
            Fault::GarbageAfter(Point::CacheInfo),
            "noise",
            Ended::Exit(0),
        ),
        (
            Fault::EndAfter(Point::CacheInfo),
            "content-length: 0",
            Ended::Exit(0),
        ),
        (
            Fault::EndlessAfter(Point::CacheInfo),
            "References: and",
            Ended::Never,
        ),
    ] {
        cache.set(fault).await.unwrap();
        let (info, _) = get(&cache, "/nix-cache-info").await;
        assert!(info.contains("StoreDir: /nix/store\n"), "{fault:?}: {info}");
        let (answer, end) = get(&cache, &narinfo).await;
        assert_eq!(end, ended, "{fault:?}");
        assert!(answer.contains(expected), "{fault:?}: {answer}");
    }
    cache.set(Fault::Healthy).await.unwrap();
    let (missing, _) = get(&cache, "/00000000000000000000000000000000.narinfo").await;
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
}

/// One request on a new connection, up to its end.
async fn get(cache: &Cache, path: &str) -> (String, Ended) {
    let stream = TcpStream::connect(cache.address());
    let mut stream = timeout(PATIENCE, stream).await.unwrap().unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: desktop\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let stalls = matches!(cache.fault(), Fault::StallAfter(_)) && path.ends_with(".narinfo");
    let patience = if stalls { SILENCE } else { PATIENCE };
    while let Ok(read) = timeout(patience, stream.read(&mut buffer)).await {
        match read.unwrap() {
            0 => return (text(&answer), Ended::Exit(0)),
            read => answer.extend_from_slice(&buffer[..read]),
        }
        if answer.len() > ENOUGH {
            return (text(&answer), Ended::Never);
        }
    }
    (text(&answer), Ended::Silent)
}
