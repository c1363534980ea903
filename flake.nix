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
      packageOf = pkgs: pkgs.callPackage ./nixos-module/package.nix { };
    in
    {
      packages = forAllSystems (pkgs: rec {
        offloadd = packageOf pkgs;
        default = offloadd;
        practice = pkgs.callPackage ./nixos-module/practice.nix { inherit offloadd; };
      });

      # `nix run .#practice`; `nix run .` is the page on the terminal.
      apps = forAllSystems (
        pkgs:
        let
          app = package: program: {
            type = "app";
            program = "${package}/bin/${program}";
            meta.description = package.meta.description;
          };
          packages = self.packages.${pkgs.stdenv.hostPlatform.system};
        in
        rec {
          offloadctl = app packages.offloadd "offloadctl";
          default = offloadctl;
          practice = app packages.practice "practice";
        }
      );

      overlays.default = final: _: { offloadd = packageOf final; };

      nixosModules = {
        laptop = ./nixos-module/laptop.nix;
        desktop = ./nixos-module/desktop.nix;
        default = ./nixos-module/laptop.nix;
      };

      checks = forAllSystems (
        pkgs: import ./nixos-module/tests/checks.nix { inherit pkgs self; }
      );

      # What `./tests/run` needs beside Nix itself.
      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          packages = import ./nixos-module/tests/tools.nix pkgs;
          # The evaluation of the modules needs the library of Nixpkgs.
          NIXPKGS_LIB = nixpkgs;
        };
      });

      formatter = forAllSystems (pkgs: pkgs.nixfmt-rfc-style);
    };
}
