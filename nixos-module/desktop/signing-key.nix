# Makes the key that signs a binary cache, its public half first: where there is a secret key, there is
# the other.
{
  bin,
  file,
  name,
  lib,
}:
''
  set -eu
  file=${lib.escapeShellArg file}
  (umask 022 && mkdir -p "$(dirname "$file")")
  ${bin}/nix-store --generate-binary-cache-key ${lib.escapeShellArg name} "$file.new" "$file.pub"
  chmod 0644 "$file.pub"
  mv "$file.new" "$file"
  echo "laptops trust this cache by nix.settings.trusted-public-keys = [ \"$(cat "$file.pub")\" ];"
''
