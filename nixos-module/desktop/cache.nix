# services.offloadd-desktop.cache: what this machine has in its store, signed and served over HTTP.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.offloadd-desktop.cache;
  isEnabled = config.services.offloadd-desktop.enable && cfg.enable;

  # The program's options moved to services.harmonia.cache when it learned to be more than a cache.
  harmonia = {
    enable = true;
    signKeyPaths = [ cfg.signingKey.file ];
    settings.bind = "[::]:${toString cfg.port}";
  };
  isGrouped = options.services.harmonia ? cache;
in
{
  options.services.offloadd-desktop.cache = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether this machine's store is served as a binary cache.";
    };

    server = mkOption {
      type = types.enum [
        "harmonia"
        "nix-serve"
      ];
      default = "harmonia";
      description = "The program that serves it.";
    };

    port = mkOption {
      type = types.port;
      default = 5000;
      description = "The port that it is served at.";
    };

    signingKey = {
      file = mkOption {
        type = types.str;
        default = "/var/lib/offloadd-desktop/signing-key";
        description = ''
          The file with the secret key that signs what is served, as a text: a path without quotes
          would be copied into the store, for everybody to read.
        '';
      };

      generate = mkOption {
        type = types.bool;
        default = true;
        description = ''
          Whether the key is made at the first start, where there is none. Its public half, for
          {option}`nix.settings.trusted-public-keys` of laptops, is beside it in a file that ends in
          `.pub`.
        '';
      };

      name = mkOption {
        type = types.strMatching "[^:[:space:]]+";
        default = "${config.networking.hostName}-1";
        defaultText = lib.literalExpression ''"''${config.networking.hostName}-1"'';
        description = "The name of the key that is made.";
      };
    };
  };

  config = lib.mkIf isEnabled {
    services = lib.mkMerge [
      (lib.mkIf (cfg.server == "harmonia") {
        harmonia = if isGrouped then { cache = harmonia; } else harmonia;
      })
      (lib.mkIf (cfg.server == "nix-serve") {
        nix-serve = {
          enable = true;
          inherit (cfg) port;
          secretKeyFile = cfg.signingKey.file;
        };
      })
    ];

    systemd.services.offloadd-desktop-signing-key = lib.mkIf cfg.signingKey.generate {
      description = "Make the Key that Signs the Binary Cache";
      requiredBy = [ "${cfg.server}.service" ];
      before = [ "${cfg.server}.service" ];
      unitConfig.ConditionPathExists = [ "!${cfg.signingKey.file}" ];
      serviceConfig = {
        Type = "oneshot";
        UMask = "0077";
        ExecStart = pkgs.writeShellScript "make-signing-key" (
          import ./signing-key.nix {
            bin = "${config.nix.package}/bin";
            inherit (cfg.signingKey) file name;
            inherit lib;
          }
        );
      };
    };

    assertions = [
      {
        assertion = lib.hasPrefix "/" cfg.signingKey.file;
        message = ''
          services.offloadd-desktop.cache.signingKey.file is "${cfg.signingKey.file}". Write an absolute
          path.
        '';
      }
      {
        assertion = !lib.hasPrefix builtins.storeDir cfg.signingKey.file;
        message = ''
          services.offloadd-desktop.cache.signingKey.file is in the store, where everybody can read it.
          Write its path in quotes.
        '';
      }
      {
        assertion = !lib.elem cfg.port config.services.openssh.ports;
        message = ''
          services.offloadd-desktop.cache.port is ${toString cfg.port}, which is sshd's. Choose another.
        '';
      }
    ];
  };
}
