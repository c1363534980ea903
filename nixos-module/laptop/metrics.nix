# What services.offloadd.settings.metrics takes beside the file that it stands in.
{ config, lib, ... }:
let
  cfg = config.services.offloadd;
  inherit (cfg.settings) metrics;
  listens = cfg.enable && metrics.listen != null && metrics.listen != "";
  directory = dirOf metrics.textfile;
  writes = cfg.enable && metrics.textfile != null && metrics.textfile != "";
in
{
  config = lib.mkMerge [
    (lib.mkIf listens {
      systemd.sockets.offload-metrics = {
        wantedBy = [ "sockets.target" ];
        listenStreams = [
          ""
          metrics.listen
        ];
      };
    })
    # The rest of the system is read-only to it; this directory is its own.
    (lib.mkIf (writes && directory != "/run/offloadd") {
      systemd.services.offloadd.serviceConfig.ReadWritePaths = [ directory ];
    })
    # It is no reload that takes up another place.
    (lib.mkIf (listens || writes) {
      systemd.services.offloadd.restartTriggers = [
        (toString metrics.listen)
        (toString metrics.textfile)
      ];
    })
  ];
}
