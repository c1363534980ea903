//! Which addresses are wrong, and which are right, by what the daemon warns of.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{Snapshot, WarningCode, snapshot::Warning, template};

/// An address to look for, and what should stand in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Correction {
    /// A host, or `host:port` where only the port differs.
    pub(super) wrong: String,
    /// The same of where it really is; empty where warnings do not agree on that.
    pub(super) right: String,
}

/// What to look for in the configuration tree: each address once, whichever warnings name it.
pub(super) fn all(snapshot: &Snapshot) -> Vec<Correction> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for Correction { wrong, right } in snapshot.warnings.iter().filter_map(of) {
        found
            .entry(wrong)
            .and_modify(|known| {
                if *known != right {
                    known.clear();
                }
            })
            .or_insert(right);
    }
    found
        .into_iter()
        .map(|(wrong, right)| Correction { wrong, right })
        .collect()
}

fn of(warning: &Warning) -> Option<Correction> {
    let detail = |key| template::detail(&warning.details, key).filter(|text| !text.is_empty());
    let expected = detail("expected");
    let (wrong, right) = match warning.code {
        WarningCode::AddressMismatch if detail("wrong").as_deref() == Some("declared") => {
            (expected?, detail("observed").or_else(|| detail("actual"))?)
        }
        WarningCode::AddressMoved => match detail("wrong").as_deref() {
            // What is declared is right, and only not in force.
            Some("deployed") => return None,
            Some("both") => (detail("declared")?, detail("actual")?),
            _ => (expected?, detail("actual")?),
        },
        _ => return None,
    };
    let ((host, port), (right_host, right_port)) = (split(&wrong)?, split(&right)?);
    if !host.eq_ignore_ascii_case(right_host) {
        let right = if may_replace(host, right_host) {
            right_host
        } else {
            ""
        };
        return Some(Correction {
            wrong: host.to_owned(),
            right: right.to_owned(),
        });
    }
    let (port, right_port) = (port?, right_port?);
    (port != right_port).then(|| Correction {
        wrong: joined(host, port),
        right: joined(right_host, right_port),
    })
}

/// Whether `right` may be written where `wrong` stands: not what holds until the next boot only (a
/// link-local address, whose zone is a number of this machine's), nor one that Nix was never
/// configured to speak to (IPv6 in the place of IPv4).
fn may_replace(wrong: &str, right: &str) -> bool {
    let address = |host: &str| host.split('%').next().and_then(|ip| ip.parse().ok());
    match (address(wrong), address(right)) {
        (_, Some(IpAddr::V6(right))) if right.is_unicast_link_local() => false,
        (Some(IpAddr::V4(_)), Some(IpAddr::V6(_))) => false,
        (_, Some(_) | None) => !right.contains('%'),
    }
}

/// Host and port; nothing for what is neither, so that nothing else gets into a patch.
fn split(address: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']')?;
            (host, tail.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (address, None),
        },
    };
    // RFC 1035: a name has 253 characters at the most.
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:-_%".contains(c);
    let is_host = (1..=253).contains(&host.len()) && host.chars().all(plain);
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    (is_host && port.is_none_or(is_port)).then_some((host, port))
}

fn joined(host: &str, port: &str) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(code: WarningCode, details: &[(&str, &str)]) -> Warning {
        Warning {
            code,
            details: (details.iter())
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
            ..Warning::default()
        }
    }

    fn searched(warnings: Vec<Warning>) -> Vec<(String, String)> {
        let snapshot = Snapshot {
            warnings,
            ..Snapshot::default()
        };
        (all(&snapshot).into_iter())
            .map(|found| (found.wrong, found.right))
            .collect()
    }

    fn mismatch(details: &[(&str, &str)]) -> Warning {
        warning(WarningCode::AddressMismatch, details)
    }

    #[test]
    fn a_wrong_declaration_is_looked_for() {
        let found = searched(vec![
            mismatch(&[
                ("expected", "127.0.15.7:5000"),
                ("actual", "desktop:5000"),
                ("observed", "127.0.15.6:5000"),
                ("wrong", "declared"),
            ]),
            mismatch(&[
                ("expected", "127.0.15.7:22"),
                ("actual", "127.0.15.6:22"),
                ("wrong", "declared"),
            ]),
        ]);
        assert_eq!(found, [("127.0.15.7".into(), "127.0.15.6".into())]);
    }

    #[test]
    fn what_is_declared_rightly_is_not() {
        for details in [
            &[("expected", "a"), ("actual", "b"), ("wrong", "deployed")][..],
            &[("expected", "a"), ("actual", "b"), ("wrong", "")],
            &[("expected", "a"), ("actual", "b")],
            &[("expected", "a"), ("wrong", "declared")],
            &[("wrong", "declared")],
            &[],
        ] {
            assert_eq!(searched(vec![mismatch(details)]), [], "{details:?}");
        }
    }

    #[test]
    fn a_desktop_that_moved_is_looked_for_where_it_was() {
        let moved = |actual| {
            let details = [("expected", "[2001:db8::6]:5000"), ("actual", actual)];
            searched(vec![warning(WarningCode::AddressMoved, &details)])
        };
        let moved_to = moved("[2001:db8::7]:5000");
        assert_eq!(moved_to, [("2001:db8::6".into(), "2001:db8::7".into())]);
        let third = [
            ("expected", "127.0.15.6:5000"),
            ("declared", "127.0.15.7:5000"),
            ("actual", "127.0.15.9:5000"),
        ];
        let wrong = |of: &str| {
            let details = third.into_iter().chain([("wrong", of)]);
            let details: Vec<_> = details.collect();
            searched(vec![warning(WarningCode::AddressMoved, &details)])
        };
        assert_eq!(wrong("both"), [("127.0.15.7".into(), "127.0.15.9".into())]);
        assert_eq!(wrong("deployed"), []);
        let port = moved("[2001:db8::6]:5001");
        let ports = ("[2001:db8::6]:5000".into(), "[2001:db8::6]:5001".into());
        assert_eq!(port, [ports]);
    }

    #[test]
    fn an_address_that_does_not_last_is_not_proposed() {
        for (expected, actual, right) in [
            ("192.0.2.6:5000", "[fe80::6%2]:5000", ""),
            ("desktop.local:5000", "[fe80::6%2]:5000", ""),
            ("192.0.2.6:5000", "[2001:db8::6]:5000", ""),
            ("192.0.2.6:5000", "192.0.2.7:5000", "192.0.2.7"),
            ("[2001:db8::6]:5000", "192.0.2.7:5000", "192.0.2.7"),
        ] {
            let details = [("expected", expected), ("actual", actual)];
            let found = searched(vec![warning(WarningCode::AddressMoved, &details)]);
            assert_eq!(found.len(), 1, "{actual}");
            assert_eq!(found[0].1, right, "{actual}");
        }
    }

    #[test]
    fn warnings_that_do_not_agree_propose_nothing() {
        let to = |actual| {
            let details = [("expected", "192.0.2.7"), ("actual", actual)];
            warning(WarningCode::AddressMoved, &details)
        };
        let found = searched(vec![to("192.0.2.6"), to("192.0.2.8")]);
        assert_eq!(found, [("192.0.2.7".into(), String::new())]);
    }

    #[test]
    fn what_is_no_address_never_gets_into_a_patch() {
        for actual in ["\"; evil = \"", "a b", "", "${x}", "a\nb", "host:port"] {
            let details = [("expected", "192.0.2.7"), ("actual", actual)];
            let found = searched(vec![warning(WarningCode::AddressMoved, &details)]);
            assert_eq!(found, [], "{actual:?}");
        }
    }
}
