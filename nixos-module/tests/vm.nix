# A laptop and a desktop, as the README sets them up: one finds the other ready, sees it go and come
# back, and lets it build.
{
  pkgs,
  self,
  # "dbus" or "broker": the message bus of the laptop.
  implementation,
  # The keys that NixOS has for tests: known to everybody.
  keys ? import (pkgs.path + "/nixos/tests/ssh-keys.nix") pkgs,
}:
let
  # Known to everybody as well, of the cache: the laptop must trust it before there is a desktop to make one.
  signingKey = {
    secret = "desktop-1:mSNbwEH4DgCvqsQVTjOxZ3y+SZN9ixT8lL5EeQcliudBRJPyrjys5tmr6I++2courg2tuMr1hL+Eez4OxwdZFA==";
    public = "desktop-1:QUST8q48rObZq+iPvtnKLq4NrbjK9YS/hHs+DscHWRQ=";
  };
  bus = if implementation == "broker" then "dbus-broker" else "dbus";
in
pkgs.testers.runNixOSTest {
  name = "offloadd-${implementation}";

  nodes.desktop = {
    imports = [ self.nixosModules.desktop ];
    services.offloadd-desktop = {
      enable = true;
      authorizedKeys = [ keys.snakeOilEd25519PublicKey ];
      interfaces = [ "eth1" ];
      cache.signingKey = {
        file = "/etc/cache-key";
        generate = false;
      };
    };
    environment.etc."cache-key" = {
      text = signingKey.secret;
      mode = "0400";
    };
    # A store that it can build in.
    virtualisation.writableStore = true;
  };

  nodes.laptop =
    { pkgs, ... }:
    {
      imports = [ self.nixosModules.laptop ];
      services.offloadd = {
        enable = true;
        package = self.packages.${pkgs.stdenv.hostPlatform.system}.offloadd;
        settings.poll = {
          interval = "5s";
          fast_interval = "1s";
          timeout = "2s";
        };
        units = {
          skips.requireBuilder = true;
          stops = {
            requireBuilder = true;
            stopWithBuilder = true;
          };
        };
      };
      systemd.services = pkgs.lib.genAttrs [ "skips" "stops" ] (_: {
        serviceConfig.ExecStart = "${pkgs.coreutils}/bin/sleep infinity";
      });
      services.dbus.implementation = implementation;
      security.polkit.enable = true;
      users.users.alice.isNormalUser = true;

      environment.etc."nix/builder_ed25519" = {
        source = keys.snakeOilEd25519PrivateKey;
        mode = "0400";
      };
      nix.distributedBuilds = true;
      nix.buildMachines = [
        {
          hostName = "desktop";
          protocol = "ssh-ng";
          sshUser = "nix-builder";
          sshKey = "/etc/nix/builder_ed25519";
          system = pkgs.stdenv.hostPlatform.system;
        }
      ];
      nix.settings.substituters = pkgs.lib.mkForce [ "http://desktop:5000" ];
      nix.settings.trusted-public-keys = [ signingKey.public ];
      virtualisation.writableStore = true;
    };

  testScript = ''
    start_all()
    desktop.wait_for_unit("sshd.service")
    desktop.wait_for_open_port(5000)
    laptop.wait_for_unit("offloadd.service")

    with subtest("the desktop's host key is not known, and then it is"):
        laptop.wait_until_succeeds("offloadctl --json | grep host-key-unknown")
        laptop.succeed("mkdir -p /root/.ssh && ssh-keyscan desktop > /root/.ssh/known_hosts")
        laptop.succeed("systemctl restart offloadd.service")
        laptop.succeed("offloadctl wait builder/desktop --timeout 1m")
        laptop.wait_for_unit("offload-ready.target")

    with subtest("its cache is ready"):
        laptop.wait_until_succeeds("offloadctl is-ready cache/desktop")

    with subtest("everybody may look, and only root may pause"):
        laptop.succeed("su alice -c 'offloadctl check'")
        laptop.fail("su alice -c 'offloadctl pause'")
        laptop.succeed("offloadctl pause && offloadctl resume")

    with subtest("it builds there"):
        laptop.succeed("offloadctl wait builder/desktop --timeout 1m")
        laptop.succeed("offloadctl test-build")

    with subtest("the key is for Nix alone"):
        ssh = "ssh -i /etc/nix/builder_ed25519 nix-builder@desktop"
        laptop.succeed(f"{ssh} true")
        laptop.fail(f"{ssh} cat /etc/passwd")

    with subtest("units come and go with the desktop"):
        laptop.succeed("systemctl start stops.service")
        desktop.crash()
        laptop.wait_until_fails("systemctl is-active offload-ready.target")
        laptop.wait_until_fails("systemctl is-active stops.service")
        laptop.succeed("systemctl start skips.service")
        laptop.fail("systemctl is-active skips.service")
        desktop.start()
        laptop.wait_for_unit("offload-ready.target")
        laptop.succeed("systemctl start skips.service")
        laptop.succeed("systemctl is-active skips.service")

    with subtest("the journal explains"):
        laptop.succeed("journalctl -x -u offloadd | grep -i 'Defined-By: offloadd'")

    with subtest("the bus restarts"):
        laptop.succeed("systemctl restart ${bus}.service")
        laptop.wait_until_succeeds("offloadctl is-ready builder/desktop")
  '';
}
