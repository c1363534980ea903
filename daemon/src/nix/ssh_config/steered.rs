//! The `ProxyCommand` of steering: `offloadctl connect`. It asks this very daemon where the builder is, so that its
//! way is the daemon's own: a check that ran it would ask itself.

use std::path::Path;

/// Without this option ssh would wait for what `offloadctl connect` does not do.
pub(super) const HANDS_OVER: &str = "proxyusefdpass";

/// Whether `command` is `offloadctl [OPTIONS] connect HOST PORT`, wherever the program lies.
pub(super) fn is_ours(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let program = words.find(|word| *word != "exec").map(Path::new);
    let is_program = program
        .and_then(Path::file_name)
        .is_some_and(|name| name == "offloadctl");
    is_program && words.any(|word| word == "connect")
}

/// Whether an option, with its value, means nothing on that way.
pub(super) fn is_moot(option: &str) -> bool {
    let keyword = option.split(' ').next().unwrap_or(option);
    [HANDS_OVER, "bindaddress", "bindinterface"].contains(&keyword)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_program_is_known() {
        for (command, is) in [
            ("offloadctl connect 192.0.2.6 22", true),
            (
                "/run/current-system/sw/bin/offloadctl connect desktop 22",
                true,
            ),
            (
                "exec /usr/bin/offloadctl --bus session connect desktop 22",
                true,
            ),
            ("offloadctl status", false),
            ("nc desktop 22 # offloadctl connect", false),
            ("", false),
        ] {
            assert_eq!(is_ours(command), is, "{command}");
        }
    }
}
