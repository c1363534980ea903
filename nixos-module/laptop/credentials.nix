# The keys that only offloadd's own configuration names, handed to it as systemd credentials: with root's other keys,
# those of nix.buildMachines and of root's ssh, offload-helper signs. offloadd looks for a key that it may not read under
# the file's path: without the leading "/", each other "/" as "-".
{ lib }:
rec {
  nameOf = path: lib.replaceStrings [ "/" ] [ "-" ] (lib.removePrefix "/" path);

  isAbsolute = lib.hasPrefix "/";

  # systemd would read a ":" as an end and a "%" as the begin of a specifier.
  isPlain = path: builtins.match "[^:%[:space:]]+" path != null;

  # All keys that are named, none twice.
  keys =
    { machines, builders }:
    let
      named = map (machine: machine.sshKey) machines ++ map (builder: builder.ssh_key or null) builders;
      isFile = key: key != null && !lib.hasPrefix "credential:" key;
    in
    lib.unique (lib.filter isFile named);

  # Those of them that are handed over.
  files =
    { machines, builders }:
    lib.subtractLists (map (machine: machine.sshKey) machines) (keys {
      inherit builders;
      machines = [ ];
    });

  # Files that would have one name: [ [ "/etc/nix/key" "/etc/nix-key" ] ].
  collisions =
    files:
    lib.filter (same: lib.length same > 1) (lib.attrValues (lib.groupBy nameOf files));

  # An empty line stands in for a file that is not there, so that this keeps no unit from starting:
  # systemd takes no credential that is wholly empty.
  serviceConfig = files: {
    LoadCredential = map (file: "${nameOf file}:${file}") files;
    SetCredential = map (file: "${nameOf file}:\\n") files;
  };
}
