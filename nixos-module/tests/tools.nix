# What the tests start, and what checks the code.
pkgs: [
  pkgs.avahi
  pkgs.cargo
  pkgs.cargo-deny
  pkgs.cargo-nextest
  pkgs.clippy
  pkgs.dbus
  pkgs.gnumake
  pkgs.gnupatch
  pkgs.groff
  pkgs.iproute2
  pkgs.jq
  pkgs.nginx
  pkgs.openssh
  pkgs.openssl
  pkgs.rustc
  pkgs.rustfmt
  pkgs.systemd
  pkgs.util-linux
]
