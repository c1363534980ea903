//! `nix-daemon --stdio` (src/libstore/daemon.cc, worker-protocol.hh of Nix 2.24, protocol 1.37).

use super::{End, Fault, Point, Stream, VERSION};

const CLIENT_MAGIC: u64 = 0x6e69_7863;
const SERVER_MAGIC: u64 = 0x6478_696f;
/// 1.37: the last before the exchange of features.
const PROTOCOL: u64 = version(1, 37);
/// 1.9: every Nix of the last ten years turns it away.
const OLD: u64 = version(1, 9);

const LAST: u64 = 0x616c_7473;
const NEXT: u64 = 0x6f6c_6d67;

const IS_VALID_PATH: u64 = 1;
const SET_OPTIONS: u64 = 19;
const QUERY_VALID_PATHS: u64 = 31;

pub(super) async fn serve(stream: &mut Stream<'_>, fault: Fault) -> Result<(), End> {
    if fault == Fault::NixDaemonDown {
        return Err(End::daemon_down());
    }
    let trusted = fault != Fault::Untrusted;
    let client = handshake(stream, fault, trusted).await?;
    loop {
        match stream.read_number().await? {
            SET_OPTIONS => {
                let settings = set_options(stream).await?;
                stream.reached(Point::Handshake).await?;
                if !trusted {
                    refuse_settings(stream, &settings).await?;
                }
                stream.write_number(LAST).await?;
            }
            IS_VALID_PATH => {
                stream.read_string().await?;
                stream.reached(Point::Handshake).await?;
                stream.write_number(LAST).await?;
                stream.write_number(0).await?;
            }
            QUERY_VALID_PATHS => {
                stream.read_strings().await?;
                if client >= version(1, 27) {
                    stream.read_number().await?;
                }
                stream.reached(Point::Handshake).await?;
                stream.write_number(LAST).await?;
                stream.write_number(0).await?;
            }
            other => {
                let error = format!("error: invalid operation {other}\n");
                return Err(End::Failed(1, error));
            }
        }
    }
}

/// Returns the version that both speak.
async fn handshake(stream: &mut Stream<'_>, fault: Fault, trusted: bool) -> Result<u64, End> {
    if stream.read_number().await? != CLIENT_MAGIC {
        return Err(End::Failed(1, "error: protocol mismatch\n".into()));
    }
    stream.write_number(SERVER_MAGIC).await?;
    stream.reached(Point::Magic).await?;
    let own = if fault == Fault::OldNix {
        OLD
    } else {
        PROTOCOL
    };
    stream.write_number(own).await?;
    stream.reached(Point::Version).await?;
    let client = stream.read_number().await?.min(own);
    // What is obsolete: the processor to run on, and room to reserve.
    if client >= version(1, 14) && stream.read_number().await? != 0 {
        stream.read_number().await?;
    }
    if client >= version(1, 11) {
        stream.read_number().await?;
    }
    if client >= version(1, 33) {
        stream.write_string(VERSION).await?;
        stream.reached(Point::NixVersion).await?;
    }
    if client >= version(1, 35) {
        // TrustedFlag: 0 unknown, 1 trusted, 2 not (src/libstore/worker-protocol.cc).
        stream.write_number(if trusted { 1 } else { 2 }).await?;
        stream.reached(Point::Trust).await?;
    }
    stream.write_number(LAST).await?;
    Ok(client)
}

/// Returns the names of the settings that the client wants to override.
async fn set_options(stream: &mut Stream<'_>) -> Result<Vec<String>, End> {
    // keepFailed to useSubstitutes.
    for _ in 0..12 {
        stream.read_number().await?;
    }
    let mut names = Vec::new();
    for _ in 0..stream.read_number().await? {
        names.push(stream.read_string().await?);
        stream.read_string().await?;
    }
    Ok(names)
}

/// What ClientSettings::apply says of what only a trusted user may set.
async fn refuse_settings(stream: &mut Stream<'_>, names: &[String]) -> Result<(), End> {
    const ANYBODYS: [&str; 5] = [
        "timeout",
        "max-silent-time",
        "build-poll-interval",
        "connect-timeout",
        "experimental-features",
    ];
    for name in names {
        if !ANYBODYS.contains(&name.as_str()) {
            stream.write_number(NEXT).await?;
            let warning = format!(
                "warning: ignoring the client-specified setting '{name}', because it is a \
                 restricted setting and you are not a trusted user\n"
            );
            stream.write_string(&warning).await?;
        }
    }
    Ok(())
}

const fn version(major: u64, minor: u64) -> u64 {
    major << 8 | minor
}
