# What the modules take from Nixpkgs' packages, as far as evaluation looks at them: nothing is built.
{ lib }:
let
  derivation = name: {
    type = "derivation";
    inherit name;
    outPath = "${builtins.storeDir}/00000000000000000000000000000000-${name}";
  };
  named = lib.genAttrs [
    "bashInteractive"
    "coreutils"
    "gnugrep"
    "nix"
    "openssh"
    "sqlite"
    "systemd"
    "versionCheckHook"
  ] derivation;

  # pkgs/pkgs-lib/formats.nix
  tomlType =
    let
      value = lib.types.nullOr (
        lib.types.oneOf [
          lib.types.bool
          lib.types.int
          lib.types.float
          lib.types.str
          lib.types.path
          (lib.types.attrsOf value)
          (lib.types.listOf value)
        ]
      );
    in
    value;
in
named
// {
  inherit lib;
  offloadd = derivation "offloadd";
  testers.runNixOSTest = test: test;
  buildPackages = named;
  formats.toml = _: {
    type = tomlType;
    generate = name: content: derivation name // { inherit content; };
  };
  runCommand =
    name: _: script:
    derivation name // { inherit script; };
  writeShellScript = name: text: derivation name // { inherit text; };
  stdenv = {
    buildPlatform.canExecute = _: true;
    hostPlatform = {
      system = "x86_64-linux";
      rust.cargoShortTarget = "x86_64-unknown-linux-gnu";
    };
  };
}
