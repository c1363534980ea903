# services.offloadd.steer: Nix follows the desktop. What it sets is gone with it.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;

  cfg = config.services.offloadd;
  nix = config.nix;
  declared = import ./declared.nix { inherit lib; };

  others = lib.filter (declared.isExcluded cfg.settings.nix.exclude) (
    declared.substituters nix.settings
  );

  isOn = cfg.enable && cfg.steer.enable;
  connect = "${lib.getExe' cfg.package "offloadctl"} connect %h %p";
  # What ssh_config would read as something else has no block.
  isHost = machine: builtins.match "[-a-zA-Z0-9._:]+" machine.host != null;
  machines = lib.filter isHost (declared.dialled nix.buildMachines);
  hosts = lib.groupBy (machine: machine.host) machines;
  # Where known_hosts may name the port, ssh is to look for it.
  isPlain = lib.all (machine: lib.elem ":22" machine.rest);
in
{
  options.services.offloadd.steer = {
    enable = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether Nix follows the desktop. It loses no time where that is away, and finds it where it
        moves: the caches of {option}`nix.settings.substituters` that offloadd watches are asked by
        its gateway, and the builders of {option}`nix.buildMachines` are dialled by
        {command}`offloadctl connect`. Keys, host keys and logins stay what they are.
      '';
    };
    gateway = mkOption {
      type = types.str;
      default = "127.0.0.1:5001";
      description = "Where the gateway is: an address of this machine alone, and a port.";
    };
  };

  config = lib.mkIf isOn {
    assertions = [
      {
        assertion = cfg.declareFromNix && cfg.settings.nix.import != false;
        message = ''
          services.offloadd.steer asks for what nix.settings.substituters names through offloadd, which has
          to know it. Set services.offloadd.declareFromNix and services.offloadd.settings.nix.import to true.
        '';
      }
    ];

    services.offloadd.settings.steer.gateway = cfg.steer.gateway;

    # Behind nix.settings: the last line of nix.conf that says it holds.
    nix.extraOptions = lib.mkAfter ''
      substituters = ${lib.concatStringsSep " " ([ "http://${cfg.steer.gateway}" ] ++ others)}
    '';
    nix.settings = {
      # A desktop that leaves in the middle of a fetch costs 7 s, and not 300.
      stalled-download-timeout = lib.mkDefault 5;
      connect-timeout = lib.mkDefault 5;
    };

    # Before all else: of two values ssh takes the first.
    programs.ssh.extraConfig = lib.mkBefore (
      lib.concatStrings (
        lib.mapAttrsToList (host: machines: ''
          Host ${host}
            ProxyCommand ${connect}
            ProxyUseFdpass yes
            ${lib.optionalString (isPlain machines) "HostKeyAlias ${host}"}
            ControlPath none
            ConnectTimeout 3
        '') hosts
      )
    );

    systemd.sockets.offload-gateway = {
      wantedBy = [ "sockets.target" ];
      listenStreams = [
        ""
        cfg.steer.gateway
      ];
    };
    # It is no reload that takes up another gateway.
    systemd.services.offloadd.restartTriggers = [ cfg.steer.gateway ];
  };
}
