# `journalctl -x`: NixOS's systemd looks for message catalogs in its own package only. So the database
# that it would make of them is made here, with offloadd's beside them, and put in its place after
# systemd's own update at boot.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.offloadd;
  systemd = config.systemd.package;
  journalctl = pkgs.buildPackages.systemd;
  database = pkgs.runCommand "offloadd-catalog-database" { } ''
    for folder in /usr/lib /usr/local/lib ${journalctl}/lib; do
      mkdir -p root$folder/systemd/catalog
      cp ${systemd}/lib/systemd/catalog/*.catalog ${cfg.package}/lib/systemd/catalog/*.catalog \
        root$folder/systemd/catalog/
    done
    mkdir -p root/var/lib/systemd/catalog
    ${journalctl}/bin/journalctl --root="$PWD/root" --update-catalog
    cp root/var/lib/systemd/catalog/database $out
  '';
in
{
  config = lib.mkIf cfg.enable {
    systemd.services.offloadd-catalog = {
      description = "Explain offloadd's Messages in the Journal";
      documentation = [ "man:journalctl(1)" ];
      wantedBy = [ "multi-user.target" ];
      after = [ "systemd-journal-catalog-update.service" ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${pkgs.coreutils}/bin/install -D -m 0644 ${database} /var/lib/systemd/catalog/database";
      };
    };
  };
}
