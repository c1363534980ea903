# All that a laptop's key is good for: sshd runs this in place of what was asked for (sshd(8),
# command=), and says what that was in $SSH_ORIGINAL_COMMAND.
{
  config,
  lib,
  pkgs,
}:
pkgs.writeShellScript "nix-builder-shell" (
  import ./commands.nix {
    bin = "${config.nix.package}/bin";
    path = lib.makeBinPath [
      pkgs.coreutils
      pkgs.gnugrep
    ];
  }
)
