# The options of NixOS that the modules touch, with the types and the merging that NixOS gives them,
# and nothing behind them: what is evaluated here is the modules and the library of Nixpkgs.
#
# Sources: nixos/modules/{config/nix-remote-build,config/users-groups,services/system/nix-daemon,
# services/networking/{harmonia,nix-serve,avahi-daemon,firewall}}.nix, nixos/lib/systemd-unit-options.nix.
{
  lib,
  # Whether services.harmonia has its cache's options in a group of their own.
  isHarmoniaGrouped ? true,
}:
{ config, ... }:
let
  inherit (lib) mkOption types;

  option = type: default: mkOption { inherit type default; };
  required = type: mkOption { inherit type; };
  bool = option types.bool;
  strings = option (types.listOf types.str) [ ];
  packages = option (types.listOf types.package) [ ];
  package = name: option types.package (import ./packages.nix { inherit lib; }).${name};
  submodule = options: types.submodule { inherit options; };
  anything = types.attrsOf types.anything;

  # utils.systemdUtils.unitOptions.unitOption
  unitOption = lib.mkOptionType {
    name = "systemd option";
    merge =
      loc: defs:
      let
        defs' = lib.filterOverrides defs;
      in
      if lib.any (def: lib.isList def.value) defs' then
        lib.concatMap (def: lib.toList def.value) defs'
      else
        lib.mergeEqualOption loc defs';
  };
  unit = {
    description = option types.singleLineStr "";
    documentation = strings;
    enable = bool true;
    wantedBy = strings;
    requiredBy = strings;
    aliases = strings;
    wants = strings;
    requires = strings;
    bindsTo = strings;
    after = strings;
    before = strings;
    unitConfig = option (types.attrsOf unitOption) { };
    restartTriggers = option (types.listOf types.unspecified) [ ];
    reloadTriggers = option (types.listOf unitOption) [ ];
  };
  service = unit // {
    path = option (types.listOf (types.either types.package types.str)) [ ];
    script = option types.lines "";
    serviceConfig = option (types.attrsOf unitOption) { };
  };
  units = options: option (types.attrsOf (submodule options)) { };

  ports = {
    allowedTCPPorts = option (types.listOf types.port) [ ];
    allowedUDPPorts = option (types.listOf types.port) [ ];
  };

  machine = {
    hostName = required types.str;
    protocol = option (types.enum [
      null
      "ssh"
      "ssh-ng"
    ]) "ssh";
    system = option (types.nullOr types.str) null;
    systems = strings;
    sshUser = option (types.nullOr types.str) null;
    sshKey = option (types.nullOr types.str) null;
    maxJobs = option types.int 1;
    speedFactor = option types.numbers.positive 1;
    mandatoryFeatures = strings;
    supportedFeatures = strings;
    publicHostKey = option (types.nullOr types.str) null;
  };

  harmonia = {
    enable = bool false;
    signKeyPaths = option (types.listOf types.path) [ ];
    settings = option anything { };
  };
in
{
  options = {
    assertions = option (types.listOf types.unspecified) [ ];
    warnings = strings;

    environment.etc = option (types.attrsOf (submodule {
      source = required (types.either types.path types.package);
    })) { };
    environment.systemPackages = packages;

    networking.hostName = option types.str "nixos";
    networking.nftables.enable = bool false;
    networking.firewall = {
      enable = bool true;
      extraCommands = option types.lines "";
      extraInputRules = option types.lines "";
      interfaces = option (types.attrsOf (submodule ports)) { };
    }
    // ports;

    nix.package = package "nix";
    nix.distributedBuilds = bool false;
    nix.buildMachines = option (types.listOf (submodule machine)) [ ];
    nix.settings = option (types.submodule {
      freeformType = types.attrsOf types.anything;
      options = {
        substituters = required (types.listOf types.str);
        trusted-users = strings;
      };
    }) { };

    nix.extraOptions = option types.lines "";

    programs.ssh.package = package "openssh";
    programs.ssh.extraConfig = option types.lines "";

    services.avahi = {
      enable = bool false;
      openFirewall = bool true;
      allowInterfaces = option (types.nullOr (types.listOf types.str)) null;
      extraServiceFiles = option (types.attrsOf (types.either types.str types.path)) { };
      publish.enable = bool false;
      publish.addresses = bool false;
    };
    services.dbus.packages = packages;
    services.harmonia = if isHarmoniaGrouped then { cache = harmonia; } else harmonia;
    services.nix-serve = {
      enable = bool false;
      port = option types.port 5000;
      secretKeyFile = option (types.nullOr types.str) null;
    };
    services.openssh = {
      enable = bool false;
      openFirewall = bool true;
      ports = option (types.listOf types.port) [ 22 ];
      settings = option (types.submodule {
        freeformType = types.attrsOf types.anything;
        options.AllowUsers = option (types.nullOr (types.listOf types.str)) null;
        options.DenyUsers = option (types.nullOr (types.listOf types.str)) null;
      }) { };
    };

    systemd.package = package "systemd";
    systemd.packages = packages;
    systemd.services = units service;
    systemd.targets = units unit;
    systemd.paths = units unit;
    systemd.sockets = units (unit // { listenStreams = strings; });
    systemd.timers = units unit;

    users.users = option (types.attrsOf (submodule {
      description = option types.str "";
      isSystemUser = bool false;
      group = option types.str "";
      home = option types.path "/var/empty";
      shell = option (types.nullOr (types.either types.package types.path)) null;
      openssh.authorizedKeys.keys = option (types.listOf types.singleLineStr) [ ];
    })) { };
    users.groups = option (types.attrsOf (submodule { })) { };
  };

  # As in nix-daemon.nix and nix-remote-build.nix.
  config.nix.settings = lib.mkMerge [
    {
      substituters = lib.mkAfter [ "https://cache.nixos.org/" ];
      trusted-users = [ "root" ];
    }
    (lib.mkIf (!config.nix.distributedBuilds) { builders = null; })
  ];
}
