# Configurations that are good, and for each complaint of the modules one that deserves it.
{ lib }:
let
  hostKey = "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUVjYkN6QVZRMjZhTHJSNFF4c01TU2tURG5NR0duNytZZUVyMlpxcDJHdjM=";
  machine = {
    hostName = "192.0.2.6";
    protocol = "ssh-ng";
    sshUser = "nix-builder";
    sshKey = "/etc/nix/builder_ed25519";
    systems = [ "x86_64-linux" ];
    supportedFeatures = [ "kvm" ];
    mandatoryFeatures = [ "big-parallel" ];
    publicHostKey = hostKey;
  };
  builder.nix = {
    distributedBuilds = true;
    buildMachines = [ machine ];
  };
  machines = list: {
    nix = builder.nix // {
      buildMachines = map (other: machine // other) list;
    };
  };
  ownKeys = keys: {
    services.offloadd.settings.builder = lib.imap0 (index: key: {
      name = "desktop-${toString index}";
      uri = "ssh-ng://desktop-${toString index}";
      ssh_key = key;
    }) keys;
  };
  laptopKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcbCzAVQ26aLrR4QxsMSSkTDnMGGn7+YeEr2Zqp2Gv3 root@laptop";
  good.services.offloadd-desktop = {
    authorizedKeys = [ laptopKey ];
    interfaces = [ "enp4s0" ];
  };
  with' = more: lib.mkMerge [ good { services.offloadd-desktop = more; } ];
in
{
  laptop = {
    onlyEnabled = {
      nix = builder.nix // {
        settings = {
          substituters = [
            "http://192.0.2.6:5000/"
            "http://192.0.2.6:5000"
            "https://nix-community.cachix.org"
            "s3://bucket"
          ];
          extra-substituters = "https://cache.example.org/lan http://[2001:db8::6]:5000";
        };
      };
    };
    # One host twice, another user, a port and an IPv6 address, no key and no host key.
    manyMachines = machines [
      { }
      { systems = [ "aarch64-linux" ]; }
      {
        sshUser = "other";
        sshKey = null;
      }
      {
        hostName = "desktop:2222";
        sshUser = null;
        protocol = "ssh";
        publicHostKey = null;
      }
      { hostName = "[2001:db8::6]"; }
      { hostName = "2001:db8::7"; }
      {
        hostName = "localhost";
        protocol = null;
        sshUser = null;
      }
    ];
    steered = lib.mkMerge [
      (machines [
        { }
        { sshUser = "other"; }
        { hostName = "desktop:2222"; }
        { hostName = "localhost"; protocol = null; sshUser = null; }
      ])
      {
        nix.settings.substituters = [ "http://192.0.2.6:5000" ];
        nix.settings.extra-substituters = "https://nix-community.cachix.org http://192.0.2.7:5000";
        nix.settings.trusted-public-keys = [ "desktop-1:AAAA" ];
        services.offloadd.steer.enable = true;
      }
    ];
    measured = lib.mkMerge [
      builder
      {
        services.offloadd.settings.metrics = {
          textfile = "/var/lib/node_exporter/offloadd.prom";
          listen = "[::]:9559";
        };
      }
    ];
    ownEntries = lib.mkMerge [
      builder
      {
        nix.settings.substituters = [ "http://192.0.2.6:5000" ];
        services.offloadd.settings = {
          poll.interval = "1m";
          discover.sweep = [ "192.0.2.0/24" ];
          builder = [
            {
              name = "desktop";
              addresses = [
                "192.0.2.6"
                "192.0.2.7"
              ];
              ssh_key = "/etc/nix/other_key";
            }
          ];
          cache = [
            {
              name = "desktop";
              url = "http://192.0.2.7:5000";
            }
          ];
        };
      }
    ];
    withoutImport = lib.mkMerge [
      builder
      {
        services.offloadd.settings.nix.import = false;
        services.offloadd.settings.cache = [
          {
            name = "desktop";
            url = "http://desktop:5000";
          }
        ];
      }
    ];
    undeclared = lib.mkMerge [
      builder
      { services.offloadd.declareFromNix = false; }
    ];
    unchecked = lib.mkMerge [
      builder
      { services.offloadd.validate = false; }
    ];
    withIptables = lib.mkMerge [
      builder
      {
        services.offloadd.openFirewall = true;
        services.offloadd.settings.discover.mdns = true;
      }
    ];
    withNftables = lib.mkMerge [
      builder
      {
        services.offloadd.openFirewall = true;
        networking.nftables.enable = true;
      }
    ];
    # Somebody said so.
    withoutFirewall = lib.mkMerge [
      builder
      {
        services.offloadd.openFirewall = false;
        services.offloadd.settings.discover.mdns = true;
      }
    ];
    units = lib.mkMerge [
      builder
      {
        systemd.services.skips.unitConfig.ConditionPathExists = "/etc/own";
        services.offloadd.units = {
          skips.requireBuilder = true;
          "waits.service" = {
            requireBuilder = true;
            waitForBuilder = true;
          };
          stops = {
            requireBuilder = true;
            stopWithBuilder = true;
          };
          "nightly.target".requireBuilder = true;
          untouched = { };
        };
      }
    ];
  };

  desktop = {
    inherit good;
    nixServe = with' {
      cache.server = "nix-serve";
      cache.port = 5001;
      cache.signingKey.file = "/run/secrets/key";
      cache.signingKey.generate = false;
    };
    withoutCache = with' {
      cache.enable = false;
      announce = false;
      restrictCommands = false;
      user = "builder";
    };
  };

  wrong.laptop = {
    nothingToWatch = {
      config = { };
      says = "Set nix.buildMachines";
      isWarning = true;
    };
    notDistributed = {
      config.nix.buildMachines = [ machine ];
      says = "Set nix.distributedBuilds = true";
      isWarning = true;
    };
    keyInStore = {
      config = machines [ { sshKey = "${builtins.storeDir}/00000000000000000000000000000000-key"; } ];
      says = "nix.buildMachines.*.sshKey";
      isWarning = true;
    };
    halfHostKey = {
      config = machines [ { publicHostKey = "AAAAC3NzaC1lZDI1NTE5AAAAIEcbCzAVQ26aLrR4QxsMSSkTDnMGGn7"; } ];
      says = "nix.buildMachines.*.publicHostKey";
      isWarning = true;
    };
    plainHostKey = {
      config = machines [ { publicHostKey = laptopKey; } ];
      says = "base64 -w0";
      isWarning = true;
    };
    answersDropped = {
      config = lib.mkMerge [
        builder
        { services.offloadd.settings.discover.mdns = true; }
      ];
      says = "Set\nservices.offloadd.openFirewall";
      isWarning = true;
    };
    nobodyToWaitFor = {
      config = {
        nix.settings.substituters = [ "http://desktop:5000" ];
        services.offloadd.units.nixos-upgrade.requireBuilder = true;
      };
      says = "\"nixos-upgrade\" start only while";
      isWarning = true;
    };
    steeredUnseen = {
      config = lib.mkMerge [
        builder
        {
          services.offloadd.steer.enable = true;
          services.offloadd.declareFromNix = false;
        }
      ];
      says = "services.offloadd.declareFromNix and";
    };
    relativeKey = {
      config = machines [ { sshKey = "keys/builder"; } ];
      says = "absolute paths";
    };
    relativeOwnKey = {
      config = lib.mkMerge [
        builder
        {
          services.offloadd.settings.builder = [
            {
              name = "desktop";
              ssh_key = "builder";
            }
          ];
        }
      ];
      says = "services.offloadd.settings.builder.*.ssh_key";
    };
    strangeKey = {
      config = ownKeys [ "/etc/nix/my key" ];
      says = "can't load credentials";
    };
    oneCredential = {
      config = ownKeys [
        "/etc/nix/key"
        "/etc/nix-key"
      ];
      says = "\"/etc/nix/key\", \"/etc/nix-key\"";
    };
    sameBuilder = {
      config.services.offloadd.settings.builder = lib.genList (_: {
        name = "desktop";
        uri = "ssh://desktop";
      }) 2;
      says = "services.offloadd.settings.builder has several";
    };
    sameCache = {
      config.services.offloadd.settings.cache = lib.genList (_: {
        name = "desktop";
        url = "http://desktop:5000";
      }) 2;
      says = "services.offloadd.settings.cache has several";
    };
    timer = {
      config = lib.mkMerge [
        builder
        { services.offloadd.units."nightly.timer".requireBuilder = true; }
      ];
      says = "services.offloadd.units.\"nightly.timer\" is neither";
    };
    waitsForNothing = {
      config = lib.mkMerge [
        builder
        { services.offloadd.units.nightly.waitForBuilder = true; }
      ];
      says = "services.offloadd.units.\"nightly\".waitForBuilder";
    };
    stopsForNothing = {
      config = lib.mkMerge [
        builder
        { services.offloadd.units.nightly.stopWithBuilder = true; }
      ];
      says = "services.offloadd.units.\"nightly\".stopWithBuilder";
    };
  };

  wrong.desktop = {
    nobody = {
      config.services.offloadd-desktop.interfaces = [ "enp4s0" ];
      says = "services.offloadd-desktop.authorizedKeys is empty";
    };
    privateKey = {
      config = with' { authorizedKeys = [ "-----BEGIN OPENSSH PRIVATE KEY-----" ]; };
      says = "no public key";
    };
    notAllowed = {
      config = lib.mkMerge [
        good
        { services.openssh.settings.AllowUsers = [ "me" ]; }
      ];
      says = "services.openssh.settings.AllowUsers";
    };
    isDenied = {
      config = lib.mkMerge [
        good
        { services.openssh.settings.DenyUsers = [ "nix-builder" ]; }
      ];
      says = "services.openssh.settings.DenyUsers";
    };
    noInterface = {
      config.services.offloadd-desktop.authorizedKeys = [ laptopKey ];
      says = "services.offloadd-desktop.interfaces is empty";
      isWarning = true;
    };
    relativeSigningKey = {
      config = with' {
        cache.signingKey.file = "signing-key";
        cache.server = "nix-serve";
      };
      says = "Write an absolute";
    };
    signingKeyInStore = {
      config = with' {
        cache.signingKey.file = "${builtins.storeDir}/00000000000000000000000000000000-key";
      };
      says = "services.offloadd-desktop.cache.signingKey.file is in the store";
    };
    portOfSsh = {
      config = with' { cache.port = 22; };
      says = "services.offloadd-desktop.cache.port is 22";
    };
  };
}
