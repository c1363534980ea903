# services.offloadd-desktop: the desktop's side, the counterpart of laptop.nix. It builds for whoever
# has one of the keys, and serves what it has. Nothing of offloadd runs here.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.offloadd-desktop;
  ssh = config.services.openssh;
  ports = ssh.ports ++ lib.optional cfg.cache.enable cfg.cache.port;
  shown = lib.concatMapStringsSep ", " (text: ''"${text}"'');

  shell = import ./desktop/shell.nix { inherit config lib pkgs; };
  # `restrict`: no terminal and no forwarding of ports, agents or X11 (sshd(8)).
  restriction = if cfg.restrictCommands then ''restrict,command="${shell}"'' else "restrict";

  isKey =
    key: builtins.match "(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ AAAA[A-Za-z0-9+/=]+( .*)?" key != null;
  notKeys = lib.filter (key: !isKey key) cfg.authorizedKeys;

  allowed = ssh.settings.AllowUsers or null;
  denied = ssh.settings.DenyUsers or null;
in
{
  imports = [ ./desktop/cache.nix ];

  options.services.offloadd-desktop = {
    enable = lib.mkEnableOption "building for a laptop, and serving it a binary cache";

    authorizedKeys = mkOption {
      type = types.listOf types.singleLineStr;
      default = [ ];
      example = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcbCzAVQ26aLrR4QxsMSSkTDnMGGn7+YeEr2Zqp2Gv3 root@laptop" ];
      description = ''
        The public halves of the keys that laptops have as `nix.buildMachines.*.sshKey`.
        {command}`ssh-keygen -t ed25519 -N "" -f /etc/nix/builder_ed25519` makes one.
      '';
    };

    user = mkOption {
      type = types.str;
      default = "nix-builder";
      description = ''
        The user whom laptops log in as, `nix.buildMachines.*.sshUser` there. Nix trusts it, as it must
        trust whoever sends it what to build: who has the key can become root on this machine by it.
      '';
    };

    restrictCommands = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the keys are good for nothing but what Nix, offloadd and {command}`ssh … true` run:
        `nix-daemon --stdio`, `nix-store --serve --write`, and offloadd's question for what this
        machine builds. Without it they have a shell. Stores and programs that a laptop names in its
        URI (`?remote-store=`, `?remote-program=`) need a shell.
      '';
    };

    interfaces = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "enp4s0" ];
      description = ''
        The network interfaces on which the firewall lets laptops in: to SSH, the cache and multicast
        DNS. {option}`services.openssh.openFirewall` is a matter of its own: it is on unless you set
        it, and opens SSH on every interface.
      '';
    };

    announce = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the builder and the cache are announced by multicast DNS, for laptops whose offloadd
        looks for a desktop that has moved ({option}`services.offloadd.settings.discover`).
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    services.openssh.enable = true;

    users.users.${cfg.user} = {
      description = "Builds for laptops";
      isSystemUser = true;
      group = cfg.user;
      # sshd runs commands, the forced one too, by the user's shell.
      shell = pkgs.bashInteractive;
      openssh.authorizedKeys.keys = map (key: "${restriction} ${key}") cfg.authorizedKeys;
    };
    users.groups.${cfg.user} = { };

    nix.settings.trusted-users = [
      "root"
      cfg.user
    ];

    networking.firewall.interfaces = lib.genAttrs cfg.interfaces (_: {
      allowedTCPPorts = ports;
      allowedUDPPorts = lib.optional cfg.announce 5353;
    });

    services.avahi = lib.mkIf cfg.announce {
      enable = true;
      publish.enable = true;
      # Where the desktop is: without this nobody hears its addresses.
      publish.addresses = true;
      openFirewall = lib.mkDefault false;
      allowInterfaces = lib.mkIf (cfg.interfaces != [ ]) (lib.mkDefault cfg.interfaces);
      extraServiceFiles.offloadd-desktop = import ./desktop/announcement.nix {
        inherit lib;
        services =
          map (port: {
            type = "_ssh._tcp";
            inherit port;
          }) ssh.ports
          ++ lib.optional cfg.cache.enable {
            type = "_nix_binary_cache._tcp";
            inherit (cfg.cache) port;
          };
      };
    };

    assertions = [
      {
        assertion = cfg.authorizedKeys != [ ];
        message = ''
          services.offloadd-desktop.authorizedKeys is empty, so no laptop can log in. Put the public
          half of the laptop's key there (/etc/nix/builder_ed25519.pub).
        '';
      }
      {
        assertion = notKeys == [ ];
        message = ''
          services.offloadd-desktop.authorizedKeys has what is no public key:
          ${shown (map (lib.substring 0 24) notKeys)}. Write "ssh-ed25519 AAAA…", without options
          before it.
        '';
      }
      {
        assertion = allowed == null || lib.elem cfg.user allowed;
        message = ''
          services.openssh.settings.AllowUsers keeps "${cfg.user}" out. Add it there.
        '';
      }
      {
        assertion = denied == null || !lib.elem cfg.user denied;
        message = ''
          services.openssh.settings.DenyUsers keeps "${cfg.user}" out. Remove it there.
        '';
      }
    ];

    warnings = lib.optional (cfg.interfaces == [ ] && config.networking.firewall.enable) ''
      services.offloadd-desktop.interfaces is empty, so the firewall keeps laptops away from the cache.
      Name the interfaces of your network there.
    '';
  };
}
