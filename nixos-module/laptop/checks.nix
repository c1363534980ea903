# What is wrong, or likely to be, and which option to change.
{
  lib,
  config,
  credentials,
  declared,
  # The SSH keys that are named, and the files that become credentials.
  keys,
  files,
  hasBuilders,
  hasCaches,
  # Whether nobody said anything about openFirewall.
  isFirewallUnsaid,
}:
let
  cfg = config.services.offloadd;
  nix = config.nix;
  shown = lib.concatMapStringsSep ", " (text: ''"${text}"'');

  relative = lib.filter (key: !credentials.isAbsolute key) keys;
  strange = lib.filter (file: !credentials.isPlain file) files;
  inStore = lib.filter (lib.hasPrefix builtins.storeDir) keys;
  collisions = credentials.collisions files;

  badHostKeys = lib.filter (
    machine: machine.publicHostKey != null && !declared.isHostKey machine.publicHostKey
  ) nix.buildMachines;

  twice =
    kind:
    let
      names = map (entry: entry.name) cfg.settings.${kind};
    in
    lib.unique (lib.filter (name: lib.count (other: other == name) names > 1) names);

  answersAreDropped =
    cfg.settings.discover.mdns
    && config.networking.firewall.enable
    && !cfg.openFirewall
    && isFirewallUnsaid;

  unitsWithBuilder = lib.attrNames (lib.filterAttrs (_: unit: unit.requireBuilder) cfg.units);
in
{
  assertions = [
    {
      assertion = relative == [ ];
      message = ''
        SSH keys need absolute paths, because nix-daemon and offloadd have no folder of their own to
        start from. Change ${shown relative} in nix.buildMachines.*.sshKey or
        services.offloadd.settings.builder.*.ssh_key.
      '';
    }
    {
      assertion = strange == [ ];
      message = ''
        systemd can't load credentials from paths with ":", "%" or white space. Rename
        ${shown strange} of services.offloadd.settings.builder.*.ssh_key.
      '';
    }
    {
      assertion = collisions == [ ];
      message = ''
        These SSH keys would be one credential (each "/" of a path becomes "-"):
        ${lib.concatMapStringsSep "; " shown collisions}. Rename one of them, in
        services.offloadd.settings.builder.*.ssh_key.
      '';
    }
  ]
  ++ map (kind: {
    assertion = twice kind == [ ];
    message = ''
      services.offloadd.settings.${kind} has several entries with the name ${shown (twice kind)}. Put
      them together, or rename one.
    '';
  }) [ "builder" "cache" ];

  warnings =
    lib.optional (!hasBuilders && !hasCaches) ''
      services.offloadd is enabled, but there is nothing to watch. Set nix.buildMachines,
      nix.settings.substituters, or services.offloadd.settings.builder and .cache.
    ''
    ++ lib.optional (nix.buildMachines != [ ] && !nix.distributedBuilds) ''
      nix.buildMachines is set, but Nix does not use it. Set nix.distributedBuilds = true.
    ''
    ++ lib.optional (badHostKeys != [ ]) ''
      nix.buildMachines.*.publicHostKey of ${
        shown (map (machine: machine.hostName) badHostKeys)
      } is not the base64 of a whole line "ssh-ed25519 AAAA…", so Nix's ssh will refuse the machine.
      Set it to what `base64 -w0 /etc/ssh/ssh_host_ed25519_key.pub` prints there.
    ''
    ++ lib.optional (inStore != [ ]) ''
      The SSH keys ${shown inStore} are in the store, where everybody can read them. Write the paths of
      nix.buildMachines.*.sshKey and services.offloadd.settings.builder.*.ssh_key in quotes.
    ''
    ++ lib.optional answersAreDropped ''
      services.offloadd.settings.discover.mdns is on, but the firewall drops the answers. Set
      services.offloadd.openFirewall = true, or to false if something else lets them in.
    ''
    ++ lib.optional (unitsWithBuilder != [ ] && !hasBuilders) ''
      services.offloadd.units lets ${shown unitsWithBuilder} start only while a builder is ready, but
      there is no builder. Set nix.buildMachines or services.offloadd.settings.builder.
    '';
}
