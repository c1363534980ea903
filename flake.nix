{
  description = "Watches the desktop a laptop hands its Nix builds to, and says what is wrong with it";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forAllSystems = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
    in
    {
      # What `./tests/run` needs beside Nix itself.
      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.avahi
            pkgs.cargo
            pkgs.cargo-deny
            pkgs.cargo-nextest
            pkgs.clippy
            pkgs.dbus
            pkgs.gnupatch
            pkgs.iproute2
            pkgs.jq
            pkgs.nginx
            pkgs.openssh
            pkgs.openssl
            pkgs.rustc
            pkgs.rustfmt
            pkgs.systemd
            pkgs.util-linux
          ];
        };
      });

      formatter = forAllSystems (pkgs: pkgs.nixfmt-rfc-style);
    };
}
