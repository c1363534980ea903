# The type of services.offloadd.settings: what /etc/offloadd/config.toml can hold. A key that is
# null, or not set, is left out of the file, and offloadd's own default holds.
{ lib, format }:
let
  inherit (lib) mkOption types;

  optional =
    type: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit description;
    };

  list =
    description:
    mkOption {
      type = types.listOf types.str;
      default = [ ];
      inherit description;
    };

  section =
    options: description:
    mkOption {
      type = types.submodule {
        freeformType = format.type;
        inherit options;
      };
      default = { };
      inherit description;
    };

  entries =
    options: description:
    mkOption {
      type = types.listOf (
        types.submodule {
          freeformType = format.type;
          options = {
            name = mkOption {
              type = types.str;
              example = "desktop";
              description = "Its name. A cache and a builder with the same name are one host.";
            };
            addresses = list ''
              Where else it may be, best first: `host`, `host:port` or `[v6]:port`.
            '';
          }
          // options;
        }
      );
      default = [ ];
      inherit description;
    };
in
types.submodule {
  freeformType = format.type;
  options = {
    poll = section {
      interval = optional types.str ''
        The time between checks while nothing changes (`30s`).
      '';
      fast_interval = optional types.str ''
        The time between checks while a verdict is pending (`3s`).
      '';
      down_max_interval = optional types.str ''
        The longest pause between checks of what is down (`5m`).
      '';
      fall = optional types.ints.positive ''
        How many checks in a row must stay unanswered before ready becomes down (3).
      '';
      rise = optional types.ints.positive ''
        How many checks in a row must pass before down becomes ready (2).
      '';
      timeout = optional types.str ''
        How long one check may take (`2s`).
      '';
      deep_timeout = optional types.str ''
        How long a deep check, Nix's own handshake with the builder, may take (`10s`).
      '';
      deep_interval = optional types.str ''
        How often a deep check is made (`10m`).
      '';
      connection =
        optional
          (types.enum [
            "keep"
            "per-check"
          ])
          ''
            `keep`: one connection to each target is kept. `per-check`: a new one each time, for a
            desktop that stays awake while someone is connected.
          '';
    } "When and how checks are made. Durations are texts with a unit: `500ms`, `30s`, `1h 30m`.";

    nix = section {
      import = optional types.bool ''
        Whether to watch the caches and builders that nix.conf and the machines file name (true).
      '';
      conf = optional types.str ''
        Nix's configuration file (`/etc/nix/nix.conf`).
      '';
      exclude = mkOption {
        type = types.listOf types.str;
        default = [
          "https://cache.nixos.org"
          "https://*.cachix.org"
        ];
        description = "Caches that are not ours to poll; `*` stands for any run of characters.";
      };
    } "What is taken over from Nix.";

    discover =
      section
        {
          mdns = mkOption {
            type = types.bool;
            default = false;
            description = ''
              Whether to ask for a desktop that is at none of its addresses by multicast DNS, and to
              try the neighbours that the kernel knows. See also
              {option}`services.offloadd.openFirewall`.
            '';
          };
          sweep = mkOption {
            type = types.listOf types.str;
            default = [ ];
            example = [ "192.0.2.0/24" ];
            description = ''
              Networks whose every address may be tried, while this machine is in them: IPv4, at most
              `/22` each.
            '';
          };
        }
        ''
          How a desktop that is at none of its addresses is looked for. It is known by its host key or
          its signing key, never by its address.
        '';

    builder =
      entries
        {
          uri = optional types.str "`ssh-ng://` or `ssh://`, as in Nix's machines file.";
          ssh_key = optional types.str ''
            The path of the private key, as a text: a path without quotes would be copied into the
            store, for everybody to read.
          '';
          host_key = optional (types.either types.str (types.listOf types.str)) ''
            The key that the builder must prove: `ssh-ed25519 AAAA…`, Nix's base64 of that line, or a
            line of known_hosts. Where the machines file has a key of its own, that one holds.
          '';
          systems = list "What it builds for.";
          features = list "What it offers.";
        }
        ''
          More about the builders of {option}`nix.buildMachines`, by their host name or one of their
          addresses, and builders that Nix is not configured with.
        '';

    cache =
      entries
        {
          url = optional types.str "`http://` or `https://`.";
          public_keys = list "The keys that sign what it serves, as in trusted-public-keys.";
          sample = optional types.str "A store path that it has, to check its signature with.";
          host = optional types.str "The builder that is the same machine.";
        }
        ''
          More about the caches of {option}`nix.settings.substituters`, by their host name or one of
          their addresses, and caches that Nix is not configured with.
        '';

    proof = section {
      builds = optional (types.enum [
        "changes"
        "weekly"
        "never"
      ]) ''
        Test builds through Nix that nobody has asked for: when something about a builder has changed and once a
        week, once a week, or not at all. None is made on battery, nor where the connection is metered.
      '';
    } "How builders prove themselves.";

    steer = section {
      gateway = optional types.str ''
        Where all caches together are one substituter, such as `127.0.0.1:5001`: an address and port of
        this machine alone. {option}`services.offloadd.steer.enable` sets it, and what Nix needs beside it.
      '';
    } "Whether Nix follows the desktop.";

    wake = section {
      on_demand = optional types.bool ''
        Whether a build or a path that is asked for wakes a desktop that sleeps (false): through
        {option}`services.offloadd.steer.enable` alone.
      '';
      wait = optional types.str ''
        How long that build or path waits for it, at most `1m` (`0s`: it goes on here at once). Keep it below
        {option}`nix.settings.stalled-download-timeout`.
      '';
    } "Waking a desktop that sleeps; `offloadctl wake` does it in any case.";

    metrics = section {
      textfile = optional types.str ''
        A file that is written for node_exporter, such as `/run/offloadd/offloadd.prom`.
      '';
      listen = optional types.str ''
        Where Prometheus reads the figures, at `/metrics`: an address and port, such as `127.0.0.1:9559`.
        Whoever reaches it reads all of it.
      '';
    } "Figures for who watches many laptops.";
  };
}
