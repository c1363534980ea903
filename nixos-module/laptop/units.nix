# services.offloadd.units: units that are there for a builder.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.offloadd;

  # `nixos-upgrade` and `nixos-upgrade.service` are one unit.
  split =
    name:
    let
      parts = builtins.match "(.*)[.](service|target|timer|path|socket|mount|automount|slice)" name;
    in
    {
      name = if parts == null then name else lib.elemAt parts 0;
      kind = if parts == null then "service" else lib.elemAt parts 1;
    };
  isPossible = name: lib.elem (split name).kind [ "service" "target" ];

  # What is stopped with the target has `StopPropagatedFrom=`, not `BindsTo=`: to start what is bound to
  # it would start the target too, and that waits for a builder without an end.
  configOf =
    unit:
    lib.mkMerge [
      (lib.mkIf (unit.requireBuilder && !unit.waitForBuilder) {
        unitConfig.ConditionPathExists = [ "/run/offloadd/ready" ];
      })
      (lib.mkIf (unit.requireBuilder && unit.waitForBuilder) {
        requires = [ "offload-wait-ready.service" ];
        after = [ "offload-wait-ready.service" ];
      })
      (lib.mkIf (unit.requireBuilder && unit.stopWithBuilder) {
        after = [ "offload-ready.target" ];
        unitConfig.StopPropagatedFrom = [ "offload-ready.target" ];
      })
    ];

  ofKind =
    kind:
    lib.mkMerge (
      lib.mapAttrsToList (
        name: unit:
        let
          parts = split name;
        in
        lib.mkIf (parts.kind == kind) { ${parts.name} = configOf unit; }
      ) cfg.units
    );
in
{
  options.services.offloadd.units = mkOption {
    type = types.attrsOf (
      types.submodule {
        options = {
          requireBuilder = mkOption {
            type = types.bool;
            default = false;
            description = ''
              Whether the unit starts only while a builder is ready. Where none is, a start does
              nothing and is no failure; a timer tries again at its next time.
            '';
          };
          waitForBuilder = mkOption {
            type = types.bool;
            default = false;
            description = ''
              With {option}`requireBuilder`: wait for a builder at each start, for up to five minutes,
              and fail when none came.
            '';
          };
          stopWithBuilder = mkOption {
            type = types.bool;
            default = false;
            description = ''
              With {option}`requireBuilder`: stop the unit when the last ready builder goes.
            '';
          };
        };
      }
    );
    default = { };
    example = {
      nixos-upgrade.requireBuilder = true;
      nightly-build = {
        requireBuilder = true;
        stopWithBuilder = true;
      };
    };
    description = ''
      Services and targets that are there for a builder, by their names: of services also without
      `.service`. They are defined where they always are; this adds to them.
    '';
  };

  config = lib.mkIf cfg.enable {
    systemd.services = ofKind "service";
    systemd.targets = ofKind "target";

    assertions = lib.mapAttrsToList (name: _: {
      assertion = isPossible name;
      message = ''
        services.offloadd.units."${name}" is neither a service nor a target: a condition would keep it
        from ever starting again. Name the service that it starts.
      '';
    }) cfg.units
    ++ lib.concatLists (
      lib.mapAttrsToList (
        name: unit:
        map
          (option: {
            assertion = unit.${option} -> unit.requireBuilder;
            message = ''
              services.offloadd.units."${name}".${option} needs
              services.offloadd.units."${name}".requireBuilder = true.
            '';
          })
          [
            "waitForBuilder"
            "stopWithBuilder"
          ]
      ) cfg.units
    );
  };
}
