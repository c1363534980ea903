//! `offloadctl steer --print`: what ssh_config and nix.conf need for Nix to follow the desktop.

use std::{collections::BTreeSet, env, path::Path};

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    output::Output,
    session::Session,
};
use crate::{Kind, Printable, Snapshot, snapshot::Target, template::Authority};

/// The port to which ssh_config and known_hosts give no number.
const SSH: &str = "22";

/// Writes it for the builders and caches that are watched.
pub(super) async fn steer(cli: &Cli, output: Output) -> Result<Outcome, Failure> {
    let document = Session::open(cli).await?.document(None).await?;
    let snapshot: Snapshot =
        serde_json::from_value(document).map_err(|error| Failure::Nonsense(error.to_string()))?;
    // By its path: what nix-daemon has for PATH may lack it.
    let program = env::current_exe().unwrap_or_else(|_| "offloadctl".into());
    output.print(&lines(&snapshot, &program))?;
    Ok(Outcome::Ready)
}

fn lines(snapshot: &Snapshot, program: &Path) -> String {
    format!("{}\n{}", ssh_config(snapshot, program), nix_conf(snapshot))
}

fn ssh_config(snapshot: &Snapshot, program: &Path) -> String {
    let mut text = "# ssh_config of root, before all else that speaks of these hosts:\n\
                    # /etc/ssh/ssh_config.d/offloadd.conf\n"
        .to_owned();
    let mut known = BTreeSet::new();
    for builder in of(snapshot, Kind::Builder) {
        let uri = Authority::of(&builder.uri);
        if !is_host(uri.host) || !known.insert(uri.host) {
            continue;
        }
        let host = uri.host;
        text += &format!(
            "Host {host}\n  ProxyCommand {} connect %h %p\n  ProxyUseFdpass yes\n",
            Printable::from(program)
        );
        // Where known_hosts may name the port, ssh is to look for it.
        if uri.port.is_none_or(|port| port == SSH) {
            text += &format!("  HostKeyAlias {host}\n");
        }
        text += "  ControlPath none\n  ConnectTimeout 3\n";
    }
    if known.is_empty() {
        text += "# (no builder is watched)\n";
    }
    text
}

fn nix_conf(snapshot: &Snapshot) -> String {
    let urls: Vec<&str> = of(snapshot, Kind::Cache).map(|cache| &*cache.uri).collect();
    if snapshot.gateway.is_empty() {
        return "# nix.conf: nothing, while [steer] gateway is not set in /etc/offloadd/config.toml:\n\
                # [steer]\n# gateway = \"127.0.0.1:5001\"\n"
            .to_owned();
    }
    let instead = match &urls[..] {
        [] => String::new(),
        urls => format!(
            "# In the place of {}, which stand as [[cache]] in /etc/offloadd/config.toml:\n",
            urls.join(" and ")
        ),
    };
    format!(
        "# /etc/nix/nix.conf; then `sudo systemctl restart nix-daemon`\n\
         {instead}extra-substituters = http://{}\n\
         # A desktop that leaves in the middle of a fetch costs 7 s, and not 300.\n\
         stalled-download-timeout = 5\n\
         connect-timeout = 5\n",
        snapshot.gateway
    )
}

fn of(snapshot: &Snapshot, kind: Kind) -> impl Iterator<Item = &Target> {
    let targets = snapshot.targets.iter();
    targets.filter(move |target| target.kind == kind)
}

/// Whether it means nothing else to ssh_config.
fn is_host(host: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    !host.is_empty() && host.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: Kind, uri: &str) -> Target {
        Target {
            kind,
            uri: uri.into(),
            ..Target::default()
        }
    }

    #[test]
    fn it_is_what_ssh_and_nix_read() {
        let snapshot = Snapshot {
            gateway: "127.0.0.1:5001".into(),
            targets: vec![
                target(Kind::Cache, "http://192.0.2.6:5000"),
                target(Kind::Builder, "ssh-ng://nix-builder@192.0.2.6"),
                target(Kind::Builder, "ssh://other@192.0.2.6"),
                target(Kind::Builder, "ssh-ng://tower:2222"),
                target(Kind::Builder, "ssh-ng://*"),
            ]
            .into(),
            ..Snapshot::default()
        };
        let expected = "\
# ssh_config of root, before all else that speaks of these hosts:
# /etc/ssh/ssh_config.d/offloadd.conf
Host 192.0.2.6
  ProxyCommand /usr/bin/offloadctl connect %h %p
  ProxyUseFdpass yes
  HostKeyAlias 192.0.2.6
  ControlPath none
  ConnectTimeout 3
Host tower
  ProxyCommand /usr/bin/offloadctl connect %h %p
  ProxyUseFdpass yes
  ControlPath none
  ConnectTimeout 3

# /etc/nix/nix.conf; then `sudo systemctl restart nix-daemon`
# In the place of http://192.0.2.6:5000, which stand as [[cache]] in /etc/offloadd/config.toml:
extra-substituters = http://127.0.0.1:5001
# A desktop that leaves in the middle of a fetch costs 7 s, and not 300.
stalled-download-timeout = 5
connect-timeout = 5
";
        assert_eq!(lines(&snapshot, Path::new("/usr/bin/offloadctl")), expected);
    }

    #[test]
    fn without_a_gateway_it_says_how_to_have_one() {
        let text = lines(&Snapshot::default(), Path::new("offloadctl"));
        assert!(text.contains("gateway = \"127.0.0.1:5001\""), "{text}");
        assert!(!text.contains("substituters"), "{text}");
    }
}
