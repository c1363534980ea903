# The files that Nix reads as root, handed to offloadd as systemd credentials. It looks for a key or
# a known_hosts file that it may not read under the file's path: without the leading "/", each other
# "/" as "-".
{ lib }:
let
  root = "/root/.ssh";
  # What OpenSSH tries where no key is named (ssh_config(5), IdentityFile).
  usualKeys = map (kind: "${root}/id_${kind}") [
    "ed25519"
    "ecdsa"
    "rsa"
  ];
in
rec {
  nameOf = path: lib.replaceStrings [ "/" ] [ "-" ] (lib.removePrefix "/" path);

  isAbsolute = lib.hasPrefix "/";

  # systemd would read a ":" as an end and a "%" as the begin of a specifier.
  isPlain = path: builtins.match "[^:%[:space:]]+" path != null;

  # The files, none twice, in the order in which they are first named.
  files =
    { machines, builders }:
    let
      named = lib.filter (key: key != null) (
        map (machine: machine.sshKey) machines ++ map (builder: builder.ssh_key or null) builders
      );
      keys = lib.filter (key: !lib.hasPrefix "credential:" key) named;
    in
    lib.unique (
      keys
      ++ lib.optionals (lib.any (machine: machine.sshKey == null) machines) usualKeys
      ++ lib.optional (lib.any (machine: machine.publicHostKey == null) machines) "${root}/known_hosts"
    );

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
