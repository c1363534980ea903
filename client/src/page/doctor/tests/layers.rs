//! The layers side by side.

use super::*;

#[test]
fn what_differs_is_marked_and_its_place_stands_under_it() {
    let broken = warning(
        WarningCode::MachinesFileBroken,
        None,
        &[("file", "/etc/nix/machines"), ("line", "2")],
    );
    let down = failed(
        builder(),
        TargetState::Down,
        Stage::Connect,
        Reason::Refused,
    );
    let mut broken = rooted(
        snapshot(vec![down], vec![broken]),
        CauseKind::Warning,
        "machines-file-broken",
    );
    // It is down for a reason of its own.
    broken.root_cause.as_mut().unwrap().explains.clear();
    assert_eq!(
        page(&broken, &style()),
        "\
▲ degraded: builder offline

Root cause: the list of builders is broken · for 1 h
    One bad line in /etc/nix/machines makes Nix drop the whole list: no build
    goes to a builder.
    → Correct line 2 of /etc/nix/machines: URI, systems, key, jobs, speed,
      features, mandatory features, host key, with `-` for what is left out. On
      NixOS it comes from `nix.buildMachines`.

✗ builder/desktop  down for 2 h, checked 4 s ago
    resolve ✔  connect ✗
    (not reached: banner, host-key, auth, handshake, trust, system)
    connect: connection refused
    The machine at 127.0.15.6:22 is there, but nothing accepts connections on
    that port.
    → Start the service on the desktop: `sudo systemctl start sshd`;
      `systemctl status sshd` says why it does not run. Where it runs, compare
      its port with the one in ssh-ng://nix-builder@127.0.15.6.
               address           host key
    declared ≠ 127.0.15.7:22     –
               /etc/offloadd/config.toml:12
    deployed   127.0.15.6:22     SHA256:uNiVztksCsDhc…
               /etc/nix/machines:1
    loaded     127.0.15.6:22     –
    observed   127.0.15.6:22     SHA256:uNiVztksCsDhc…
"
    );
}

#[test]
fn a_narrow_terminal_has_one_layer_on_a_line() {
    let narrow = Style {
        width: 40,
        ..style()
    };
    let page = page(&snapshot(vec![builder()], vec![]), &narrow);
    let table = "
    address
    declared ≠ 127.0.15.7:22
      /etc/offloadd/config.toml:12
    deployed   127.0.15.6:22
      /etc/nix/machines:1
    loaded     127.0.15.6:22
      /etc/nix/machines:1
    observed   127.0.15.6:22
    host key
    declared   –
    deployed   SHA256:uNiVztksCsDhc…
";
    assert!(page.contains(table), "{page}");
    let widest = page.lines().map(text::width).max();
    assert!(widest <= Some(40), "{page}");
}

#[test]
fn keys_that_begin_alike_are_shown_whole() {
    let mut builder = builder();
    let other = format!("{}x", KEY);
    builder.layers[1].declared = placed(&other, "/etc/offloadd/config.toml:15");
    let wide = Style {
        width: 120,
        ..style()
    };
    let page = page(&snapshot(vec![builder], vec![]), &wide);
    assert!(page.contains(&format!("≠ {other}\n")), "{page}");
    assert!(page.contains(&format!("  {KEY}\n")), "{page}");
}

#[test]
fn a_name_is_no_difference_to_the_address_it_may_mean() {
    let mut cache = cache();
    for same in [
        "desktop.local:5000",
        "127.0.15.6",
        "127.0.15.7, 127.0.15.6:5000",
    ] {
        cache.layers[0].declared = placed(same, "");
        let page = page(&snapshot(vec![cache.clone()], vec![]), &style());
        assert!(!page.contains('≠'), "{same}: {page}");
    }
    for other in ["127.0.15.6:5001", "127.0.15.60:5000"] {
        cache.layers[0].declared = placed(other, "");
        let page = page(&snapshot(vec![cache.clone()], vec![]), &style());
        assert!(page.contains('≠'), "{other}: {page}");
    }
}
