# services.offloadd: the laptop's side. With nothing set but `enable` it watches what nix.buildMachines
# and nix.settings.substituters say. The desktop's side is desktop.nix.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  cfg = config.services.offloadd;
  nix = config.nix;
  format = pkgs.formats.toml { };
  declared = import ./laptop/declared.nix { inherit lib; };
  credentials = import ./laptop/credentials.nix { inherit lib; };

  # Without what is not set: offloadd's own defaults hold for that.
  compact =
    value:
    if lib.isAttrs value then
      lib.filterAttrs (_: inner: inner != null && inner != { }) (lib.mapAttrs (_: compact) value)
    else
      value;
  compactEntry = lib.filterAttrs (_: value: value != null && value != [ ]);

  isImported = cfg.settings.nix.import != false;
  isDeclared = cfg.declareFromNix && isImported;
  substituters = declared.substituters nix.settings;
  isOurs = url: !declared.isExcluded cfg.settings.nix.exclude url;

  builders = declared.builders {
    machines = lib.optionals isDeclared nix.buildMachines;
    own = cfg.settings.builder;
  };
  caches = declared.caches {
    substituters = lib.optionals isDeclared substituters;
    exclude = cfg.settings.nix.exclude;
    own = cfg.settings.cache;
  };
  named = {
    machines = lib.optionals isImported nix.buildMachines;
    builders = cfg.settings.builder;
  };
  files = credentials.files named;

  # Other lists of builders are nobody's option.
  hasBuilders =
    nix.buildMachines != [ ] || cfg.settings.builder != [ ] || nix.settings.builders or null != null;

  checks = import ./laptop/checks.nix {
    inherit
      lib
      config
      credentials
      declared
      files
      hasBuilders
      ;
    keys = credentials.keys named;
    hasCaches = caches != [ ] || (isImported && lib.any isOurs substituters);
    isFirewallUnsaid =
      options.services.offloadd.openFirewall.highestPrio >= (lib.mkOptionDefault null).priority;
  };

  unchecked = format.generate "offloadd.toml" cfg.finalSettings;
  checked = pkgs.runCommand "offloadd-config.toml" { } ''
    ${lib.getExe' cfg.package "offloadd"} --check-config --config ${unchecked}
    cp ${unchecked} $out
  '';
  configFile = if cfg.validate then checked else unchecked;

  firewall = config.networking.firewall;
  isNftables = firewall.backend or null == "nftables" || config.networking.nftables.enable;
in
{
  imports = [
    ./laptop/catalog.nix
    ./laptop/metrics.nix
    ./laptop/steer.nix
    ./laptop/units.nix
    (lib.mkRemovedOptionModule [ "services" "offloadd" "testBuilds" "trusted" ] ''
      offload-helper has root's Nix make the test builds: nix-daemon need not trust offloadd.
    '')
  ];

  options.services.offloadd = {
    enable = lib.mkEnableOption "offloadd, which watches the desktop that Nix builds are handed to";

    package = mkOption {
      type = types.package;
      default = pkgs.offloadd or (pkgs.callPackage ./package.nix { });
      defaultText = lib.literalExpression "pkgs.offloadd";
      description = "The offloadd package to use.";
    };

    settings = mkOption {
      type = import ./laptop/settings.nix { inherit lib format; };
      default = { };
      example = {
        poll.interval = "1m";
        discover.mdns = true;
        builder = [
          {
            name = "desktop";
            addresses = [
              "192.0.2.6"
              "192.0.2.7"
            ];
          }
        ];
      };
      description = ''
        What stands in {file}`/etc/offloadd/config.toml`, beside what
        {option}`services.offloadd.declareFromNix` puts there. Every key is explained in
        {manpage}`offloadd.toml(5)`.
      '';
    };

    declareFromNix = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether {option}`nix.buildMachines` and {option}`nix.settings.substituters` are declared to
        offloadd, host keys included. It then tells where Nix's files, the running nix-daemon or the
        desktop itself differ from this configuration.
      '';
    };

    finalSettings = mkOption {
      type = format.type;
      readOnly = true;
      internal = true;
      description = "What stands in the configuration file.";
    };

    validate = mkOption {
      type = types.bool;
      default = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
      defaultText = lib.literalMD "true, where this machine can run what it builds";
      description = "Whether {command}`offloadd --check-config` must accept the file at build time.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the firewall lets in the answers to multicast DNS that
        {option}`services.offloadd.settings.discover` and {command}`offloadctl discover` wait for: UDP
        over IPv4 from port 5353 to the ports that the kernel gives to whoever asks.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    inherit (checks) assertions warnings;

    services.offloadd.finalSettings =
      compact (
        removeAttrs cfg.settings [
          "builder"
          "cache"
        ]
      )
      // lib.optionalAttrs (builders != [ ]) { builder = map compactEntry builders; }
      // lib.optionalAttrs (caches != [ ]) { cache = map compactEntry caches; };

    environment.etc."offloadd/config.toml".source = configFile;
    # offloadctl, the man pages, and what polkit looks for in the system's profile.
    environment.systemPackages = [ cfg.package ];
    services.dbus.packages = [ cfg.package ];
    systemd.packages = [ cfg.package ];

    users.users.offloadd = {
      description = "Watches Nix's builders and caches";
      isSystemUser = true;
      group = "offloadd";
      home = "/var/cache/offloadd";
    };
    users.groups.offloadd = { };

    systemd.services.offloadd = {
      wantedBy = [ "multi-user.target" ];
      # By this name the bus starts it.
      aliases = [ "dbus-org.offloadd.Offload1.service" ];
      # Test builds run nix-build, and Nix runs ssh.
      path = [
        nix.package
        config.programs.ssh.package
      ];
      serviceConfig = lib.mkIf (files != [ ]) (credentials.serviceConfig files);
      reloadTriggers = [ configFile ];
    };
    # It asks root's ssh, has root's Nix make test builds, and SQLite forget what a cache lacked.
    systemd.services.offload-helper.path = [
      nix.package
      pkgs.sqlite
      config.programs.ssh.package
    ];
    systemd.paths.offload-ready.wantedBy = [ "multi-user.target" ];

    networking.firewall = lib.mkIf cfg.openFirewall (
      if isNftables then
        {
          extraInputRules = ''
            udp sport 5353 udp dport 32768-60999 accept comment "answers to multicast DNS"
          '';
        }
      else
        {
          extraCommands = ''
            iptables -A nixos-fw -p udp --sport 5353 --dport 32768:60999 -j nixos-fw-accept
          '';
        }
    );
  };
}
