//! The `%` sequences that `ssh -G` leaves as they are: ssh_config(5), "TOKENS".

use std::path::PathBuf;

use ring::digest;

use super::{SshConfigError, query::check_name};
use crate::nix::account::Account;

/// What the sequences stand for.
pub(super) struct Tokens<'a> {
    pub(super) hostname: &'a str,
    pub(super) original: &'a str,
    pub(super) port: u16,
    pub(super) user: &'a str,
    pub(super) alias: Option<&'a str>,
    pub(super) jump: &'a str,
    pub(super) account: &'a Account,
}

impl Tokens<'_> {
    /// A command for the shell. The names in it are those that OpenSSH would accept: no character
    /// of them means anything to a shell.
    pub(super) fn command(
        &self,
        option: &'static str,
        template: &str,
    ) -> Result<String, SshConfigError> {
        for name in [self.hostname, self.original, self.user] {
            check_name(name)?;
        }
        self.expand(option, template)
    }

    /// A path; `None` for `~other`, another account's home.
    pub(super) fn path(
        &self,
        option: &'static str,
        template: &str,
    ) -> Result<Option<PathBuf>, SshConfigError> {
        // OpenSSH expands the tilde first (`tilde_expand_filename`), then the sequences.
        let Some(rest) = template.strip_prefix('~') else {
            return Ok(Some(self.expand(option, template)?.into()));
        };
        let (user, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if !user.is_empty() && user != self.account.name {
            return Ok(None);
        }
        Ok(Some(self.account.home.join(self.expand(option, rest)?)))
    }

    fn expand(&self, option: &'static str, template: &str) -> Result<String, SshConfigError> {
        let mut expanded = String::with_capacity(template.len());
        let mut chars = template.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                expanded.push(c);
                continue;
            }
            let value = chars.next().and_then(|key| self.value(key));
            expanded.push_str(&value.ok_or_else(|| SshConfigError::UnknownToken {
                option,
                template: template.to_owned(),
            })?);
        }
        Ok(expanded)
    }

    fn value(&self, key: char) -> Option<String> {
        let machine = &self.account.machine;
        Some(match key {
            '%' => "%".into(),
            'h' => self.hostname.into(),
            'n' => self.original.into(),
            'p' => self.port.to_string(),
            'r' => self.user.into(),
            'k' => self.alias.unwrap_or(self.original).into(),
            'j' => self.jump.into(),
            'u' => self.account.name.clone(),
            'i' => self.account.uid.to_string(),
            'd' => self.account.home.display().to_string(),
            'l' => machine.clone(),
            'L' => machine.split('.').next().unwrap_or_default().into(),
            'C' => {
                let of = format!(
                    "{machine}{}{}{}{}",
                    self.hostname, self.port, self.user, self.jump
                );
                let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, of.as_bytes());
                data_encoding::HEXLOWER.encode(hash.as_ref())
            }
            _ => return None,
        })
    }
}
