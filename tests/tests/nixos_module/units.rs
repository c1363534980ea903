//! What the modules do to the system around offloadd.

use serde_json::json;

use crate::{evaluated::evaluated, output};

#[test]
fn the_laptop_s_package_is_where_systemd_the_bus_and_polkit_look() {
    let Some(evaluated) = evaluated() else { return };
    let laptop = &evaluated["readme"]["laptop"];
    assert_eq!(laptop["packages"], true);
    assert_eq!(laptop["users"], json!(["offloadd"]));
    for unit in ["offloadd", "offload-ready.path"] {
        let wanted_by = &laptop["units"][unit]["wantedBy"];
        assert_eq!(wanted_by, &json!(["multi-user.target"]), "{unit}");
    }
}

#[test]
fn keys_of_its_own_alone_are_credentials_named_after_their_paths() {
    let Some(evaluated) = evaluated() else { return };
    let credentials = |case: &str| -> Vec<String> {
        let service = &evaluated["laptop"][case]["units"]["offloadd"]["serviceConfig"];
        match service.get("LoadCredential") {
            Some(list) => serde_json::from_value(list.clone()).unwrap(),
            None => Vec::new(),
        }
    };
    // With those of Nix's list offload-helper signs.
    for case in ["onlyEnabled", "manyMachines", "withoutImport"] {
        assert!(credentials(case).is_empty(), "{case}");
    }
    assert_eq!(
        credentials("ownEntries"),
        ["etc-nix-other_key:/etc/nix/other_key"]
    );
}

#[test]
fn a_missing_key_keeps_the_service_from_nothing() {
    let Some(evaluated) = evaluated() else { return };
    let service = &evaluated["laptop"]["ownEntries"]["units"]["offloadd"]["serviceConfig"];
    let names = |key: &str| -> Vec<String> {
        let list = service[key].as_array().unwrap().iter();
        let name =
            |line: &serde_json::Value| line.as_str().unwrap().split(':').next().unwrap().to_owned();
        list.map(name).collect()
    };
    assert_eq!(names("LoadCredential"), names("SetCredential"));
}

#[test]
fn units_start_and_stop_with_the_builder_as_they_ask() {
    let Some(evaluated) = evaluated() else { return };
    let laptop = &evaluated["laptop"]["units"];
    let units = &laptop["units"];
    let flag = "/run/offloadd/ready";
    assert_eq!(
        units["skips"]["unitConfig"],
        json!({ "ConditionPathExists": ["/etc/own", flag] }),
        "beside its own"
    );
    assert_eq!(units["waits"]["unitConfig"], json!({}));
    for relation in ["requires", "after"] {
        let expected = json!(["offload-wait-ready.service"]);
        assert_eq!(units["waits"][relation], expected);
    }
    assert_eq!(units["stops"]["after"], json!(["offload-ready.target"]));
    assert_eq!(
        units["stops"]["unitConfig"],
        json!({
            "ConditionPathExists": [flag],
            "StopPropagatedFrom": ["offload-ready.target"],
        })
    );
    assert_eq!(
        laptop["targets"]["nightly"],
        json!({ "ConditionPathExists": [flag] })
    );
    assert_eq!(units.get("untouched").map(|unit| &unit["unitConfig"]), None);
}

#[test]
fn the_firewall_lets_in_answers_only_where_that_is_asked_for() {
    let Some(evaluated) = evaluated() else { return };
    let firewall = |case: &str| {
        let firewall = &evaluated["laptop"][case]["firewall"];
        let text = |key: &str| firewall[key].as_str().unwrap().to_owned();
        (text("extraCommands"), text("extraInputRules"))
    };
    let (iptables, nftables) = firewall("withIptables");
    assert!(iptables.contains("--sport 5353"), "{iptables}");
    assert_eq!(nftables, "");
    let (iptables, nftables) = firewall("withNftables");
    assert_eq!(iptables, "", "NixOS refuses it beside nftables");
    assert!(nftables.contains("udp sport 5353"), "{nftables}");
    assert_eq!(firewall("withoutFirewall"), Default::default());
    assert_eq!(firewall("onlyEnabled"), Default::default());
}

#[test]
fn the_desktop_lets_in_what_the_laptop_asks_for() {
    let Some(evaluated) = evaluated() else { return };
    let (laptop, desktop) = (
        &evaluated["readme"]["laptop"],
        &evaluated["readme"]["desktop"],
    );
    let uri = laptop["settings"]["builder"][0]["uri"].as_str().unwrap();
    let user = desktop["user"].as_str().unwrap();
    assert!(uri.contains(&format!("//{user}@")), "{uri}");
    assert!(
        desktop["trusted-users"]
            .as_array()
            .unwrap()
            .contains(&json!(user))
    );
    assert_eq!(desktop["ssh"], true);

    let url = laptop["settings"]["cache"][0]["url"].as_str().unwrap();
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(desktop["harmonia"]["enable"], true);
    assert_eq!(
        desktop["harmonia"]["settings"]["bind"],
        format!("[::]:{port}")
    );
    let open = &desktop["interfaces"]["enp4s0"];
    assert_eq!(open["allowedTCPPorts"], json!([22, port]));
    assert_eq!(open["allowedUDPPorts"], json!([5353]));
    assert_eq!(desktop["allowInterfaces"], json!(["enp4s0"]));
    let announced = desktop["extraServiceFiles"]["offloadd-desktop"]
        .as_str()
        .unwrap();
    for service in ["_ssh._tcp", "_nix_binary_cache._tcp"] {
        assert!(announced.contains(service), "{announced}");
    }
}

#[test]
fn the_laptop_s_key_is_restricted_in_either_way() {
    let Some(evaluated) = evaluated() else { return };
    let key = |case: &str| {
        evaluated["desktop"][case]["keys"][0]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let forced = key("good");
    assert!(
        forced.starts_with("restrict,command=\"/nix/store/"),
        "{forced}"
    );
    assert!(forced.contains("\" ssh-ed25519 AAAA"), "{forced}");
    let plain = key("withoutCache");
    assert!(plain.starts_with("restrict ssh-ed25519 AAAA"), "{plain}");
}

#[test]
fn either_server_signs_with_the_key_that_is_there() {
    let Some(evaluated) = evaluated() else { return };
    for harmonia in [
        &evaluated["desktop"]["good"]["harmonia"],
        &evaluated["flatHarmonia"]["harmonia"],
    ] {
        let keys = json!(["/var/lib/offloadd-desktop/signing-key"]);
        assert_eq!(harmonia["signKeyPaths"], keys);
    }
    let made_for = &evaluated["desktop"]["good"]["signingKey"];
    assert_eq!(made_for, &json!(["harmonia.service"]));
    let case = &evaluated["desktop"]["nixServe"];
    assert_eq!(case["nix-serve"]["secretKeyFile"], "/run/secrets/key");
    assert_eq!(case["nix-serve"]["port"], 5001);
    assert_eq!(case["harmonia"]["enable"], false);
    assert_eq!(case["signingKey"], json!([]), "it is somebody's own");
}

#[test]
fn steering_is_one_option_and_leaves_nothing_behind() {
    let Some(evaluated) = evaluated() else { return };
    let steered = &evaluated["laptop"]["steered"];
    let steering = &steered["steering"];
    // The last line that says it holds; the public one stays, those of the network are behind the gateway.
    assert_eq!(
        steering["nixConf"],
        "substituters = http://127.0.0.1:5001 https://cache.nixos.org/ https://nix-community.cachix.org\n"
    );
    assert_eq!(
        steering["settings"]["trusted-public-keys"],
        json!(["desktop-1:AAAA"])
    );
    assert_eq!(steering["settings"]["stalled-download-timeout"], 5);
    assert_eq!(
        steered["settings"]["steer"],
        json!({ "gateway": "127.0.0.1:5001" })
    );
    let urls = steered["settings"]["cache"].as_array().unwrap().iter();
    let urls: Vec<_> = urls.map(|cache| cache["url"].as_str().unwrap()).collect();
    assert_eq!(urls, ["http://192.0.2.6:5000", "http://192.0.2.7:5000"]);
    assert_eq!(
        steering["sockets"]["offload-gateway"],
        json!({ "wantedBy": ["sockets.target"], "listenStreams": ["", "127.0.0.1:5001"] })
    );

    let off = &evaluated["laptop"]["onlyEnabled"]["steering"];
    assert_eq!((&off["nixConf"], &off["ssh"]), (&json!(""), &json!("")));
    assert_eq!(off["sockets"], json!({}));
    assert_eq!(off["settings"].get("stalled-download-timeout"), None);
}

#[test]
fn metrics_have_their_socket_and_their_directory() {
    let Some(evaluated) = evaluated() else { return };
    let measured = &evaluated["laptop"]["measured"];
    assert_eq!(
        measured["steering"]["sockets"],
        json!({ "offload-metrics": { "wantedBy": ["sockets.target"], "listenStreams": ["", "[::]:9559"] } })
    );
    let service = &measured["units"]["offloadd"];
    assert_eq!(
        service["serviceConfig"]["ReadWritePaths"],
        json!(["/var/lib/node_exporter"])
    );
}

#[test]
fn the_block_of_ssh_config_is_what_ssh_reads() {
    let Some(evaluated) = evaluated() else { return };
    let block = evaluated["laptop"]["steered"]["steering"]["ssh"]
        .as_str()
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), block).unwrap();
    let options = |host: &str| {
        let mut ssh = std::process::Command::new("ssh");
        output(ssh.arg("-G").arg("-F").arg(file.path()).arg(host))
    };
    for (host, alias) in [("192.0.2.6", true), ("desktop", false)] {
        let options = options(host);
        assert!(options.contains("offloadctl connect %h %p\n"), "{options}");
        assert!(options.contains("\nproxyusefdpass yes\n"), "{options}");
        assert_eq!(
            options.contains(&format!("\nhostkeyalias {host}\n")),
            alias,
            "{options}"
        );
    }
    assert!(!options("localhost").contains("offloadctl"));
}
