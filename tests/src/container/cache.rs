//! What the desktop serves: a signed binary cache.

use super::Container;
use crate::Result;

const PORT: u16 = 5000;
const DIRECTORY: &str = "/srv/cache";
const SECRET_KEY: &str = "/etc/nix/cache.secret";
/// One path, which the machine has built itself, signed and laid where nginx serves it from.
const MAKE: &str = "\
set -e
umask 077
nix key generate-secret --key-name desktop-1 > \"$2\"
umask 022
path=$(nix-build --no-out-link --expr 'derivation {
  name = \"served\"; system = \"x86_64-linux\"; builder = \"/bin/sh\";
  args = [ \"-c\" \"echo hello from the desktop > $out\" ]; }' 2> /dev/null)
nix copy --to \"file://$1?secret-key=$2\" \"$path\"
nix key convert-secret-to-public < \"$2\"
echo
echo \"$path\"
";

/// The binary cache of a [`super::Desktop`], served by its nginx.
#[derive(Clone, Debug)]
pub struct Cache {
    public_key: String,
    store_path: String,
}

impl Cache {
    /// Makes it and has it served, from now on and at each boot.
    pub(super) fn serve(container: &Container) -> Result<Self> {
        let server = format!(
            "server {{\n  listen {PORT};\n  root {DIRECTORY};\n  \
             types {{ text/x-nix-narinfo narinfo; application/x-nix-nar nar; }}\n}}\n"
        );
        container.write("/etc/nginx/conf.d/cache.conf", &server)?;
        let made = container.run(&["sh", "-c", MAKE, "sh", DIRECTORY, SECRET_KEY])?;
        let mut words = made.split_whitespace().map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let cache = Self {
            public_key: word(),
            store_path: word(),
        };
        container.run(&["systemctl", "enable", "--quiet", "--now", "nginx.service"])?;
        Ok(cache)
    }

    /// `http://host:port`; `host` is what the laptop calls the desktop.
    pub fn url(&self, host: &str) -> String {
        format!("http://{host}:{PORT}")
    }

    /// The key that signs what it serves: `name:base64`.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The path that it serves: `/nix/store/…`.
    pub fn store_path(&self) -> &str {
        &self.store_path
    }
}
