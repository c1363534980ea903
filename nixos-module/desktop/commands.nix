# The script itself. `bin` is where Nix's programs are, `path` where cat and grep are.
#
# It keeps a stolen key from a shell; what the protocol lets a trusted user do it can't.
#
# Nix asks for the first two: src/libstore/ssh-store.cc and legacy-ssh-store.cc. offloadd asks for the
# first as well, and for what this machine builds (daemon/src/probe/builder/system.rs): of that only
# the words are matched that say what it is, because a newer offloadd may ask for more. It gets the
# answer, not the run of what it wrote.
{ bin, path }:
''
  set -u
  PATH=${path}
  asked=''${SSH_ORIGINAL_COMMAND-}
  case "$asked" in
  "nix-daemon --stdio")
    exec ${bin}/nix-daemon --stdio
    ;;
  "nix-store --serve --write" | "nix-store --serve")
    exec ${bin}/$asked
    ;;
  "cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/hostname; nix "*" config show --json"*)
    cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/hostname
    nix() { ${bin}/nix --option extra-experimental-features nix-command "$@"; }
    nix config show --json || nix show-config --json
    stat -f -c 'store %a %S %d %c' /nix/store
    ;;
  "test -e /etc/nix/machines || echo 0; grep -c \"^[^#]\" /etc/nix/machines")
    test -e /etc/nix/machines || echo 0
    grep -c "^[^#]" /etc/nix/machines
    ;;
  true)
    ;;
  *)
    echo "this key is for Nix alone, and does not run: $asked" >&2
    exit 126
    ;;
  esac
''
