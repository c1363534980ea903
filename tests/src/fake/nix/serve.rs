//! `nix-store --serve --write` (opServe in src/nix/nix-store/nix-store.cc, serve-protocol.hh).

use super::{End, Fault, Point, Stream};

const CLIENT_MAGIC: u64 = 0x390c_9deb;
const SERVER_MAGIC: u64 = 0x5452_eecb;
/// 2.7.
const PROTOCOL: u64 = 2 << 8 | 7;
/// 1.0: every Nix turns it away.
const OLD: u64 = 1 << 8;

const QUERY_VALID_PATHS: u64 = 1;
const QUERY_PATH_INFOS: u64 = 2;
const BUILD_PATHS: u64 = 6;

pub(super) async fn serve(stream: &mut Stream<'_>, fault: Fault) -> Result<(), End> {
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
    stream.read_number().await?;
    loop {
        let command = stream.read_number().await?;
        match command {
            // Whether to lock them, whether to fetch them.
            QUERY_VALID_PATHS => {
                stream.read_number().await?;
                stream.read_number().await?;
            }
            QUERY_PATH_INFOS => {}
            // No paths; then how.
            BUILD_PATHS => {
                stream.read_strings().await?;
                for _ in 0..6 {
                    stream.read_number().await?;
                }
                stream.write_number(0).await?;
                continue;
            }
            other => {
                let error = format!("error: unknown serve command {other}\n");
                return Err(End::Failed(1, error));
            }
        }
        stream.read_strings().await?;
        // The store is opened when it is needed first.
        if fault == Fault::NixDaemonDown {
            return Err(End::daemon_down());
        }
        stream.reached(Point::Handshake).await?;
        // No path of them is here: an empty list, or the empty path that ends one.
        stream.write_number(0).await?;
    }
}
