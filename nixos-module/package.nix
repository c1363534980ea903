{
  lib,
  rustPlatform,
  stdenv,
  versionCheckHook,
}:
let
  files = lib.fileset;
in
rustPlatform.buildRustPackage {
  pname = "offloadd";
  version = (lib.importTOML ../Cargo.toml).workspace.package.version;

  # The tests are a member of the workspace: cargo reads nothing without them.
  src = files.toSource {
    root = ../.;
    fileset = files.unions [
      ../CHANGELOG.md
      ../Cargo.lock
      ../Cargo.toml
      ../LICENSE-APACHE
      ../LICENSE-MIT
      ../Makefile
      ../README.md
      ../client
      ../daemon
      ../dbus
      ../systemd
      ../tests
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  cargoBuildFlags = [
    "--package=offloadd"
    "--package=offload-client"
  ];
  # Cargo is told the target's name here, so that the programs are not where `make` alone has them.
  installPhase = ''
    runHook preInstall
    make install PREFIX="$out" NOTIFY_RELOAD=yes \
      builddir=target/${stdenv.hostPlatform.rust.cargoShortTarget}/release
    runHook postInstall
  '';

  # They start sshd, nginx, nix-daemon and containers, on fixed addresses and as root: `nix flake check`
  # and CI run them.
  doCheck = false;

  # That what is installed runs, and is of this version.
  nativeInstallCheckInputs = [ versionCheckHook ];
  doInstallCheck = true;

  meta = {
    description = "Watches the desktop a laptop hands its Nix builds to, and says what is wrong with it";
    license = with lib.licenses; [
      mit
      asl20
    ];
    platforms = lib.platforms.linux;
    # Man pages and completions are made by the program that is installed.
    broken = !stdenv.buildPlatform.canExecute stdenv.hostPlatform;
    mainProgram = "offloadctl";
  };
}
