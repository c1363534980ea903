# The modules, evaluated with the real library of Nixpkgs and stand-ins for the rest of NixOS. What
# comes out is JSON for tests/tests/nixos_module.rs:
#
#   nix-instantiate --eval --strict --json nixos-module/tests/eval.nix \
#     --arg lib 'import (…/lib)' --arg laptop ./laptop.nix --arg desktop ./desktop.nix \
#     --arg settings ./settings.nix
#
# where the last three are configurations: the README's. The third is more for the first.
{
  lib,
  laptop,
  desktop,
  settings,
}:
let
  pkgs = import ./packages.nix { inherit lib; };
  inputs.offloadd.nixosModules = {
    laptop = ../laptop.nix;
    desktop = ../desktop.nix;
  };

  evaluate =
    {
      modules,
      isHarmoniaGrouped ? true,
    }:
    lib.evalModules {
      modules = [ (import ./stand-ins.nix { inherit lib isHarmoniaGrouped; }) ] ++ modules;
      specialArgs = { inherit inputs pkgs; };
    };

  complaints = config: {
    failed = map (check: check.message) (lib.filter (check: !check.assertion) config.assertions);
    inherit (config) warnings;
  };

  ofLaptop =
    config:
    complaints config
    // {
      settings = config.services.offloadd.finalSettings;
      users = lib.attrNames config.users.users;
      inherit (config.nix.settings) trusted-users;
      firewall = { inherit (config.networking.firewall) extraCommands extraInputRules; };
      # What the systemd module would write.
      units = lib.mapAttrs (
        _: unit: {
          inherit (unit)
            after
            requires
            unitConfig
            wantedBy
            ;
          serviceConfig = unit.serviceConfig or { };
        }
      ) (config.systemd.services // { "offload-ready.path" = config.systemd.paths.offload-ready; });
      steering = {
        nixConf = config.nix.extraOptions;
        ssh = config.programs.ssh.extraConfig;
        settings = removeAttrs config.nix.settings [ "trusted-users" ];
        sockets = lib.mapAttrs (_: socket: { inherit (socket) wantedBy listenStreams; }) config.systemd.sockets;
      };
      targets = lib.mapAttrs (_: target: target.unitConfig) config.systemd.targets;
      packages = lib.all (list: lib.any (package: package.name == "offloadd") list) [
        config.environment.systemPackages
        config.services.dbus.packages
        config.systemd.packages
      ];
      check = config.environment.etc."offloadd/config.toml".source.script or null;
    };

  ofDesktop =
    config:
    let
      user = config.services.offloadd-desktop.user;
    in
    complaints config
    // {
      inherit user;
      keys = config.users.users.${user}.openssh.authorizedKeys.keys;
      inherit (config.nix.settings) trusted-users;
      inherit (config.networking.firewall) interfaces;
      inherit (config.services.avahi)
        enable
        openFirewall
        allowInterfaces
        extraServiceFiles
        ;
      ssh = config.services.openssh.enable;
      harmonia = config.services.harmonia.cache or config.services.harmonia;
      nix-serve = config.services.nix-serve;
      signingKey =
        config.systemd.services.offloadd-desktop-signing-key.requiredBy or [ ];
    };

  laptopWith =
    module:
    ofLaptop (evaluate {
      modules = [
        inputs.offloadd.nixosModules.laptop
        { services.offloadd.enable = true; }
        { config = module; }
      ];
    }).config;
  desktopWith =
    arguments: module:
    ofDesktop (evaluate (
      {
        modules = [
          inputs.offloadd.nixosModules.desktop
          { services.offloadd-desktop.enable = true; }
          { config = module; }
        ];
      }
      // arguments
    )).config;

  cases = import ./cases.nix { inherit lib; };
  isOff = modules: complaints (evaluate { inherit modules; }).config;
in
{
  readme = {
    laptop = ofLaptop (evaluate { modules = [ laptop ]; }).config;
    desktop = ofDesktop (evaluate { modules = [ desktop ]; }).config;
    settings =
      ofLaptop
        (evaluate {
          modules = [
            laptop
            settings
          ];
        }).config;
  };

  laptop = lib.mapAttrs (_: laptopWith) cases.laptop;
  desktop = lib.mapAttrs (_: desktopWith { }) cases.desktop;
  # An older Nixpkgs.
  flatHarmonia = desktopWith { isHarmoniaGrouped = false; } cases.desktop.good;

  wrong =
    let
      told =
        evaluateWith: case:
        let
          result = evaluateWith case.config;
        in
        {
          inherit (result) failed warnings;
          inherit (case) says;
          isWarning = case.isWarning or false;
        };
    in
    lib.mapAttrs (_: told laptopWith) cases.wrong.laptop
    // lib.mapAttrs (_: told (desktopWith { })) cases.wrong.desktop;

  # Imported and not enabled, both of them.
  off = isOff (lib.attrValues inputs.offloadd.nixosModules);

  # The options of settings, as the keys of the file.
  keys =
    let
      evaluated = evaluate { modules = [ inputs.offloadd.nixosModules.laptop ]; };
      shown = evaluated.options.services.offloadd.settings.type.getSubOptions [ ];
      isKey = name: !lib.hasPrefix "_" name && name != "freeformType";
      namesOf = options: lib.filter isKey (lib.attrNames options);
    in
    lib.genAttrs (namesOf shown) (
      section: namesOf (shown.${section}.type.getSubOptions [ ])
    );

  # The script that the forced command is, to be run against programs in bin.
  commands = import ../desktop/commands.nix {
    bin = "@bin@";
    path = "/usr/bin:/bin";
  };
  signingKey = import ../desktop/signing-key.nix {
    inherit lib;
    bin = "/usr/bin";
    file = "@file@";
    name = "desktop-1";
  };

  # What Nixpkgs' buildRustPackage would be given.
  package =
    let
      package = import ../package.nix {
        inherit lib;
        inherit (pkgs) stdenv versionCheckHook;
        rustPlatform.buildRustPackage = given: given;
      };
    in
    # Sets of files need a Nix that knows the types of files: since 2.14.
    builtins.seq (if builtins ? readFileType then package.src else null) (
      removeAttrs package [
        "src"
        "cargoLock"
        "meta"
      ]
      // {
        inherit (package.meta) broken mainProgram;
      }
    );

  # What the practice program changes of that.
  practice =
    let
      before = {
        installPhase = "make install";
        meta.license = "of both";
      };
      after = import ../practice.nix { offloadd.overrideAttrs = f: before // f before; };
    in
    {
      inherit (after)
        pname
        cargoBuildFlags
        installPhase
        doInstallCheck
        ;
      inherit (after.meta) license mainProgram;
    };

  # Its nodes, as far as the modules are concerned: what else they say has no stand-in.
  vm =
    let
      test = import ./vm.nix {
        inherit pkgs;
        self = {
          nixosModules = inputs.offloadd.nixosModules;
          packages.x86_64-linux = { inherit (pkgs) offloadd; };
        };
        implementation = "broker";
        keys = {
          snakeOilEd25519PublicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 snakeoil";
          snakeOilEd25519PrivateKey = "/etc/key";
        };
      };
      complaintsOf =
        node:
        complaints
          (evaluate {
            modules = [
              { _module.check = false; }
              node
            ];
          }).config;
    in
    lib.mapAttrs (_: complaintsOf) test.nodes // { script = test.testScript; };

  flake =
    let
      outputs = (import ../../flake.nix).outputs {
        self = outputs;
        nixpkgs = {
          inherit lib;
          legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_: pkgs);
        };
      };
    in
    lib.mapAttrs (_: lib.attrNames) outputs
    // {
      apps = lib.attrNames outputs.apps.x86_64-linux;
      checks = lib.attrNames outputs.checks.x86_64-linux;
    };
}
