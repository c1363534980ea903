# `nix flake check`.
{ pkgs, self }:
let
  package = self.packages.${pkgs.stdenv.hostPlatform.system}.offloadd;

  # The package's source and its locked crates, and something else done with them.
  withCargo =
    name: tools: script:
    package.overrideAttrs (old: {
      pname = "offloadd-${name}";
      nativeBuildInputs = old.nativeBuildInputs or [ ] ++ tools;
      buildPhase = ''
        runHook preBuild
        ${script}
        runHook postBuild
      '';
      installPhase = "mkdir $out";
      meta = { };
    });

  vm = implementation: import ./vm.nix { inherit pkgs self implementation; };
in
{
  inherit package;

  clippy = withCargo "clippy" [ pkgs.clippy ] ''
    cargo clippy --offline --locked --workspace --all-targets -- -D warnings
    cargo clippy --offline --locked -p offloadd --no-default-features --all-targets -- -D warnings
    cargo clippy --offline --locked -p offload-client --no-default-features -- -D warnings
  '';

  # A sandbox has a loopback of its own and no root: what needs more says so and passes. The programs
  # that the tests of tests/ start are in its network and may not be: `tests/run` has them.
  nextest = withCargo "nextest" (import ./tools.nix pkgs ++ [ pkgs.nix ]) ''
    cargo nextest run --offline --locked --package offload-client --package offloadd
  '';

  fmt =
    pkgs.runCommand "offloadd-fmt"
      {
        nativeBuildInputs = [
          pkgs.cargo
          pkgs.nixfmt-rfc-style
          pkgs.rustfmt
        ];
      }
      ''
        cd ${self}
        cargo fmt --all --check
        find . -name '*.nix' -exec nixfmt --check {} +
        touch $out
      '';

  vm-dbus = vm "dbus";
  vm-broker = vm "broker";
}
