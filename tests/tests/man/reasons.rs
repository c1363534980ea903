//! `docs/reasons/`: a page for each reason and each warning, made of the words that the page on the terminal has.

use std::fmt::Write;

use offload_client::{
    Kind, Reason, Stage, WarningCode, reasons,
    snapshot::{Target, Warning},
    warnings,
};

const FOLDER: &str = "docs/reasons";
/// What the words are about on each page: the desktop that the documentation has everywhere.
const CACHE: &str = "http://192.0.2.6:5000";
const BUILDER: &str = "ssh-ng://nix-builder@192.0.2.6";

/// Two addresses that differ.
const MOVED: &[(&str, &str)] = &[
    ("expected", "192.0.2.6"),
    ("expected_host", "192.0.2.6"),
    ("actual", "192.0.2.7"),
];

/// Every page with its path, the list of them first.
pub(crate) fn pages() -> Vec<(String, String)> {
    let reasons = Reason::ALL.iter().copied();
    let reasons: Vec<Reason> = reasons.filter(|it| *it != Reason::None).collect();
    let codes = WarningCode::ALL.iter().copied();
    let codes: Vec<WarningCode> = codes.filter(|it| is_page_of_its_own(*it)).collect();
    let mut pages = vec![(format!("{FOLDER}/README.md"), list(&reasons, &codes))];
    pages.extend(reasons.iter().map(|it| (path(it.as_str()), reason(*it))));
    pages.extend(codes.iter().map(|it| (path(it.as_str()), warning(*it))));
    pages
}

fn path(word: &str) -> String {
    format!("{FOLDER}/{word}.md")
}

/// A warning that keeps Nix away is the reason of that name, and one of another reason's name has no second page.
fn is_page_of_its_own(code: WarningCode) -> bool {
    let word = code.as_str();
    code != WarningCode::Unknown && !Reason::ALL.iter().any(|reason| reason.as_str() == word)
}

fn list(reasons: &[Reason], codes: &[WarningCode]) -> String {
    let mut text = String::from(
        "# Reasons and warnings\n\n\
         A target that is not ready has a reason, a stable code. `offloadctl` says what it means and what to do, filled with \
         what is known of the target; these pages say the same of an example. They are made of the program's own words.\n\n\
         | Reason | Means | Arises at |\n|---|---|---|\n",
    );
    for reason in reasons {
        let title = reasons::text(*reason).title;
        let _ = writeln!(
            text,
            "| [`{reason}`]({reason}.md) | {title} | {} |",
            stages(*reason)
        );
    }
    text += "\nWhat differs and keeps Nix from nothing is a warning ([what differs](../differences.md)):\n\n\
             | Warning | Means |\n|---|---|\n";
    for code in codes {
        let title = warnings::title_for(&example_of(*code));
        let _ = writeln!(text, "| [`{code}`]({code}.md) | {title} |");
    }
    text
}

fn reason(reason: Reason) -> String {
    let mut text = format!("# {}\n\n`{reason}`", reasons::text(reason).title);
    let stages = stages(reason);
    if !stages.is_empty() {
        let _ = write!(text, ", seen at {stages}");
    }
    text += "\n";
    let mut told: Vec<String> = Vec::new();
    for (kind, stage, details) in seen(reason) {
        let target = example(reason, *kind, *stage, details);
        let title = reasons::title_for(&target);
        let words = said(
            &reasons::explanation_for(&target),
            &reasons::remedy_for(&target),
        );
        // What differs in the example's address alone is said once.
        let alike = words
            .replace("192.0.2.6:5000", "192.0.2.6:22")
            .replace(CACHE, BUILDER);
        if told.contains(&alike) {
            continue;
        }
        if !told.is_empty() {
            let at = match ticked(*stage) {
                at if at.is_empty() => format!("Of a {kind}"),
                at => format!("Of a {kind} at {at}"),
            };
            let _ = write!(text, "\n## {at}: {title}\n");
        }
        let _ = write!(text, "\n{words}");
        told.push(alike);
    }
    text + BACK
}

fn warning(code: WarningCode) -> String {
    let warning = example_of(code);
    let words = said(
        &warnings::explanation_for(&warning),
        &warnings::remedy_for(&warning),
    );
    let title = warnings::title_for(&warning);
    format!("# {title}\n\n`{code}`, a warning\n\n{words}{BACK}")
}

const BACK: &str = "\n[All reasons](README.md)\n";

fn said(explanation: &str, remedy: &str) -> String {
    format!("{explanation}\n\n**What to do.** {remedy}\n")
}

fn ticked(stage: Stage) -> String {
    match stage {
        Stage::None => String::new(),
        stage => format!("`{stage}`"),
    }
}

/// At which stages it is seen, of which kind where only one has that.
fn stages(reason: Reason) -> String {
    let mut stages: Vec<String> = Vec::new();
    for (_, stage, _) in seen(reason) {
        let stage = ticked(*stage);
        if !stage.is_empty() && !stages.contains(&stage) {
            stages.push(stage);
        }
    }
    stages.join(", ")
}

fn example(reason: Reason, kind: Kind, stage: Stage, details: &[(&str, &str)]) -> Target {
    let (uri, address) = match kind {
        Kind::Cache => (CACHE, "192.0.2.6:5000"),
        Kind::Builder => (BUILDER, "192.0.2.6:22"),
    };
    let details = details
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    Target {
        name: "desktop".into(),
        kind,
        uri: uri.into(),
        address: address.into(),
        reason,
        stage,
        details: details.collect(),
        ..Target::default()
    }
}

fn example_of(code: WarningCode) -> Warning {
    let addresses: &[_] = match code {
        WarningCode::AddressMismatch | WarningCode::SshConfigMismatch => MOVED,
        _ => &[],
    };
    Warning {
        code,
        target: Some((Kind::Builder, "desktop".into())),
        details: addresses
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
    }
}

/// What a check found, where that has words of its own.
type Details = &'static [(&'static str, &'static str)];

/// Of which kind a reason is seen, at which stage, and what a check found where that has words of its own. The first is
/// what it usually is.
const fn seen(reason: Reason) -> &'static [(Kind, Stage, Details)] {
    use Kind::{Builder, Cache};
    use Stage::{
        Auth, Banner, Build, CacheInfo, Connect, Handshake, HostKey, Http, Resolve, Signature,
        System, Tls, Trust,
    };
    match reason {
        Reason::None => &[],
        Reason::NotConfigured | Reason::Paused => &[(Cache, Stage::None, &[])],
        Reason::DnsFailed => &[(Builder, Resolve, &[]), (Cache, Resolve, &[])],
        Reason::Refused | Reason::NoRoute | Reason::HostUnreachable => {
            &[(Builder, Connect, &[]), (Cache, Connect, &[])]
        }
        Reason::TimedOut => &[
            (Builder, Connect, &[]),
            (Cache, Connect, &[]),
            (Builder, Banner, &[]),
            (Cache, Http, &[]),
            (
                Builder,
                Auth,
                &[(
                    "auth_banner",
                    "To authenticate, visit https://login.example/a/1",
                )],
            ),
            (Builder, Handshake, &[]),
            (Builder, System, &[]),
            (Cache, Signature, &[]),
        ],
        Reason::ConnectionLost => &[
            (Builder, HostKey, &[]),
            (Builder, Banner, &[]),
            (Builder, Handshake, &[]),
            (Cache, Http, &[]),
            (Cache, Signature, &[]),
        ],
        Reason::OutOfResources => &[(Builder, Connect, &[]), (Cache, Connect, &[])],
        Reason::TlsFailed => &[
            (Cache, Tls, &[]),
            (Cache, Tls, &[("tls_fault", "expired")]),
            (Cache, Tls, &[("tls_fault", "not-yet-valid")]),
            (Cache, Tls, &[("tls_fault", "other-name")]),
            (Cache, Tls, &[("tls_fault", "self-signed")]),
            (Cache, Tls, &[("tls_fault", "unknown-authority")]),
            (Cache, Tls, &[("tls_fault", "too-old")]),
            (Cache, Tls, &[("tls_fault", "not-tls")]),
            (Cache, Tls, &[("tls_fault", "client-certificate")]),
        ],
        Reason::NotHttp => &[(Cache, Http, &[])],
        Reason::HttpStatus => &[
            (Cache, Http, &[]),
            (Cache, Http, &[("login", "refused")]),
            (Cache, Http, &[("login", "none")]),
            (Cache, Signature, &[]),
        ],
        Reason::Redirected => &[
            (Cache, Http, &[]),
            (Cache, Signature, &[]),
            (Cache, Http, &[("leads_back", "yes")]),
        ],
        Reason::NotVisible => &[
            (Cache, Http, &[]),
            (Cache, Http, &[("login", "not-visible")]),
            (Cache, Http, &[("login", "withheld")]),
            (Builder, Auth, &[]),
        ],
        Reason::CaptivePortal => &[(Cache, CacheInfo, &[]), (Cache, Http, &[])],
        Reason::CacheInfoInvalid | Reason::StoreDirMismatch => &[(Cache, CacheInfo, &[])],
        Reason::NotSsh | Reason::TurnedAway => &[(Builder, Banner, &[])],
        Reason::SshProtocol
        | Reason::HostKeyUnknown
        | Reason::KnownHostsUnreadable
        | Reason::HostKeyMismatch => &[(Builder, HostKey, &[])],
        Reason::AuthRejected => &[
            (Builder, Auth, &[]),
            (Builder, Auth, &[("demanded", "password")]),
            (Builder, Auth, &[("login_methods", "password")]),
        ],
        Reason::LoginRefused | Reason::KeyUnreadable => &[(Builder, Auth, &[])],
        Reason::ProxyFailed => &[(Builder, Connect, &[])],
        Reason::SshConfigPrevents => &[
            (Builder, Resolve, &[("ssh_config_option", "RemoteCommand")]),
            (Builder, Resolve, &[]),
        ],
        Reason::SshConfigUnsupported => &[(Builder, Resolve, &[])],
        Reason::NixMissing | Reason::ProfileOutput | Reason::NotNix | Reason::ProtocolMismatch => {
            &[(Builder, Handshake, &[])]
        }
        Reason::NixDaemonDown => &[
            (Builder, Handshake, &[]),
            (Builder, Handshake, &[("nix_conf", "broken")]),
        ],
        Reason::NotTrusted => &[(Builder, Trust, &[])],
        Reason::SystemMissing => &[
            (Builder, System, &[]),
            (
                Builder,
                System,
                &[("missing", "x86_64"), ("meant", "x86_64-linux")],
            ),
        ],
        Reason::FeatureMissing => &[
            (Builder, System, &[]),
            (Builder, System, &[("misplaced", "ssh-ed25519")]),
        ],
        Reason::NarinfoInvalid
        | Reason::NarMissing
        | Reason::NixDeclines
        | Reason::Unsigned
        | Reason::UntrustedSignature => &[(Cache, Signature, &[])],
        Reason::StoreFull => &[(Builder, System, &[])],
        Reason::BuildFailed => &[
            (Builder, Build, &[]),
            (
                Builder,
                Build,
                &[(
                    "error",
                    "cannot connect to socket at '/nix/var/nix/daemon-socket/socket'",
                )],
            ),
        ],
        Reason::BuiltLocally | Reason::BuiltElsewhere | Reason::BuilderFull => {
            &[(Builder, Build, &[])]
        }
        // What keeps Nix from a target that passes its checks: at no stage.
        Reason::DaemonConfigStale => &[(Cache, Stage::Signature, &[])],
        Reason::SubstitutionOff | Reason::NotInNixConf => &[(Cache, Stage::None, &[])],
        Reason::AddressMoved => &[(Builder, Stage::None, MOVED)],
        Reason::NixConfBroken
        | Reason::MachinesFileBroken
        | Reason::StoreElsewhere
        | Reason::ForeignBuildHook
        | Reason::DaemonConfigUnknown
        | Reason::BuildersDisabled
        | Reason::SshMissing
        | Reason::NixVersion
        | Reason::BuilderWithoutSlots
        | Reason::HostKeyNotKnown => &[(Builder, Stage::None, &[])],
    }
}
