//! The IP addresses that a configuration has as literals, and what they are addresses of, as far as its text says so by itself.
//!
//! Nothing is evaluated: what is put together of parts is not seen.

use std::net::IpAddr;

use crate::template::Authority;

/// How far before an address its attribute's name is looked for.
const NEAR: usize = 4096;

/// An address that stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) address: IpAddr,
    pub(super) role: Role,
    /// Where its word begins.
    pub(super) at: usize,
}

/// What an address is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A URL of the web.
    Web {
        tls: bool,
        port: u16,
        /// It stands in a list of substituters.
        substituter: bool,
    },
    /// Of who is logged in to by ssh: a URI or `user@host`, or the `hostName` of `nix.buildMachines`.
    Ssh {
        user: Option<String>,
        port: Option<u16>,
    },
    /// Anything.
    Unknown,
}

/// All of them, in order.
pub(super) fn all(text: &str) -> Vec<Literal> {
    let mut rest = text;
    let mut found = Vec::new();
    while let Some(start) = rest.find(|c| !is_gap(c)) {
        let tail = rest.get(start..).unwrap_or_default();
        let end = tail.find(is_gap).unwrap_or(tail.len());
        let (word, after) = tail.split_at_checked(end).unwrap_or((tail, ""));
        let at = text.len() - tail.len();
        found.extend(of_word(text, at, word));
        rest = after;
    }
    found
}

/// What ends a word: of a URI nothing that can be in its authority.
fn is_gap(c: char) -> bool {
    c.is_whitespace() || "\"';=(){}<>,|`$\\".contains(c)
}

fn of_word(text: &str, at: usize, word: &str) -> Option<Literal> {
    let role = match word.split_once("://") {
        Some(("http" | "https", _)) => {
            let tls = word.starts_with("https");
            let authority = Authority::of(word);
            let port = authority.port.map_or(Ok(default_port(tls)), str::parse);
            Role::Web {
                tls,
                port: port.ok()?,
                substituter: is_substituter(text.get(..at)?),
            }
        }
        Some(("ssh" | "ssh-ng", _)) => ssh(word),
        Some(_) => return None,
        None if word.contains('@') || is_host_name(text.get(..at)?) => ssh(word),
        None => Role::Unknown,
    };
    let host = match role {
        // It may be a network, or a whole address of IPv6.
        Role::Unknown => word.split('/').next().unwrap_or(word),
        Role::Web { .. } | Role::Ssh { .. } => "",
    };
    let address = match host.parse() {
        Ok(address) => address,
        Err(_) => Authority::of(word).host.parse().ok()?,
    };
    Some(Literal { address, role, at })
}

fn ssh(word: &str) -> Role {
    let authority = Authority::of(word);
    Role::Ssh {
        user: authority.user.map(str::to_owned),
        port: authority.port.and_then(|port| port.parse().ok()),
    }
}

/// The port of a URL that names none.
pub(super) const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Whether what comes next is a value of `hostName`, as in `nix.buildMachines`, in Nix, TOML or JSON.
fn is_host_name(before: &str) -> bool {
    let before = before.trim_end_matches(['"', '\'']).trim_end();
    let Some(name) = before.strip_suffix(['=', ':']) else {
        return false;
    };
    let name = name.trim_end().trim_end_matches('"');
    name.ends_with("hostName")
}

/// Whether what comes next is of a list called `substituters`, `extra-substituters` or alike.
fn is_substituter(before: &str) -> bool {
    let mut start = before.len().saturating_sub(NEAR);
    while !before.is_char_boundary(start) {
        start += 1;
    }
    let near = before.get(start..).unwrap_or_default();
    let own = near.rsplit([';', '{', '}', ']']).next();
    own.is_some_and(|own| own.contains("substituters"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn roles(text: &str) -> Vec<(String, Role)> {
        let found = all(text).into_iter();
        found
            .map(|found| (found.address.to_string(), found.role))
            .collect()
    }

    fn web(tls: bool, port: u16, substituter: bool) -> Role {
        Role::Web {
            tls,
            port,
            substituter,
        }
    }

    fn ssh(user: Option<&str>, port: Option<u16>) -> Role {
        Role::Ssh {
            user: user.map(str::to_owned),
            port,
        }
    }

    #[test]
    fn an_address_is_of_what_its_text_says() {
        for (text, address, role) in [
            (
                "nix.settings.substituters = [\n\"http://192.0.2.7:5000\" ];",
                "192.0.2.7",
                web(false, 5000, true),
            ),
            (
                "let cache = \"https://192.0.2.7/x\"; in",
                "192.0.2.7",
                web(true, 443, false),
            ),
            (
                "{ \"substituters\": [\"http://[2001:db8::7]:5000?priority=10\"] }",
                "2001:db8::7",
                web(false, 5000, true),
            ),
            ("hostName = \"192.0.2.7\";", "192.0.2.7", ssh(None, None)),
            ("\"hostName\": \"192.0.2.7\"", "192.0.2.7", ssh(None, None)),
            (
                "builders = ssh-ng://nix-builder@192.0.2.7:2222?max=1 x86_64-linux",
                "192.0.2.7",
                ssh(Some("nix-builder"), Some(2222)),
            ),
            (
                "'' nix-builder@192.0.2.7 x86_64-linux ''",
                "192.0.2.7",
                ssh(Some("nix-builder"), None),
            ),
            ("ip = \"192.0.2.7\";", "192.0.2.7", Role::Unknown),
            ("allow 192.0.2.7/32", "192.0.2.7", Role::Unknown),
            ("192.0.2.7:5000", "192.0.2.7", Role::Unknown),
            ("ip = \"2001:db8::7\";", "2001:db8::7", Role::Unknown),
        ] {
            assert_eq!(roles(text), [(address.to_owned(), role)], "{text}");
        }
    }

    #[test]
    fn what_is_no_literal_address_is_none() {
        for text in [
            "http://${ip}:5000",
            "http://desktop.local:5000",
            "version = \"1.2.3\";",
            "git+https://192.0.2.7/x",
            "http://192.0.2.7:port",
            "192.0.2.71.5",
        ] {
            assert_eq!(roles(text), [], "{text}");
        }
    }

    #[test]
    fn a_list_that_ended_is_not_the_next_one_s() {
        let text =
            "substituters = [ \"http://192.0.2.6:5000\" ];\nx = [ \"http://192.0.2.7:80\" ];";
        let found = roles(text);
        assert_eq!(found[0].1, web(false, 5000, true));
        assert_eq!(found[1].1, web(false, 80, false));
    }

    proptest! {
        #[test]
        fn literals_of_any_text_are_where_they_stand(text in "(http://|[a-f:@/é\\[\\]\"= ]|192\\.0\\.2\\.7){0,40}") {
            for found in all(&text) {
                prop_assert!(text.is_char_boundary(found.at));
            }
        }
    }
}
