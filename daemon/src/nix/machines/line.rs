//! One line of a machines file.

use std::path::PathBuf;

use thiserror::Error;

use super::Machine;
use crate::nix::{NixVersion, keys, text, uri};

/// A field that Nix can't read. The text names the field as the manual counts it, from 1 (Nix's own
/// message says `column #` and counts from 0).
#[derive(Debug, Error)]
#[error("{what}")]
pub(super) struct BadField {
    pub(super) field: u32,
    what: String,
}

/// Reads one line; fields beyond the eighth mean nothing, as for Nix.
pub(super) fn parse(line: &str, system: &str, version: NixVersion) -> Result<Machine, BadField> {
    let words: Vec<&str> = text::tokens(line).collect();
    let field = |number: usize| words.get(number - 1).copied().filter(|word| *word != "-");
    let bad = |field: u32, what: String| BadField { field, what };

    let uri = field(1).ok_or_else(|| bad(1, "no store URL".into()))?;
    let uri = uri::complete_machine(uri);
    if version.parses_stores_of_machines() && !uri::is_reference(&uri, version) {
        let shown = uri::redacted(&uri);
        return Err(bad(
            1,
            format!("Nix {version} can't parse the store '{shown}'"),
        ));
    }
    let max_jobs = match field(4) {
        Some(word) => word
            .parse()
            .map_err(|_| bad(4, format!("maximum of jobs '{word}' is not a number")))?,
        None => 1,
    };
    let speed_factor = match field(5) {
        Some(word) => speed(word, version).map_err(|what| bad(5, what))?,
        None => 1.0,
    };
    let host_key = match field(8) {
        Some(word) => {
            let bytes = keys::decode_base64(word)
                .map_err(|error| bad(8, format!("public host key: {error}")))?;
            // What decodes to nothing is no key (`SSHMaster::addCommonSSHOpts`, src/libstore/ssh.cc).
            Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|key| !key.is_empty())
        }
        None => None,
    };
    Ok(Machine {
        uri,
        systems: match field(2) {
            Some(word) => set(word),
            None => vec![system.to_owned()],
        },
        ssh_key: field(3).map(PathBuf::from),
        max_jobs,
        speed_factor,
        supported_features: field(6).map(set).unwrap_or_default(),
        mandatory_features: field(7).map(set).unwrap_or_default(),
        host_key,
        file: PathBuf::new(),
        line: None,
    })
}

/// A `float` of C++, which takes what is not a number as well; that comes to 1 here, since no order is
/// to be had from it. Before 2.20 it was a whole number.
fn speed(word: &str, version: NixVersion) -> Result<f64, String> {
    if !version.takes_fractions_of_speed() {
        let whole: Result<u32, _> = word.parse();
        let whole = whole.map_err(|_| format!("speed factor '{word}' is not a whole number"))?;
        return Ok(f64::from(whole.max(1)));
    }
    match word.parse::<f32>() {
        Ok(speed) if speed < 0.0 => Err(format!("speed factor '{word}' is below 0")),
        Ok(0.0) => Ok(1.0),
        Ok(speed) if speed.is_nan() => Ok(1.0),
        // By its digits, so that 1.1 stays 1.1.
        Ok(speed) if speed.is_finite() => Ok(word.parse().unwrap_or(f64::from(speed))),
        _ => Err(format!("speed factor '{word}' is not a number")),
    }
}

/// A list without order: sorted, none twice, as the `StringSet` it is for Nix.
fn set(word: &str) -> Vec<String> {
    let mut items: Vec<String> = word
        .split(',')
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect();
    items.sort_unstable();
    items.dedup();
    items
}
