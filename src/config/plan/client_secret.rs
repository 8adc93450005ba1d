//! Client secrets: how they are minted, and what seals and opens them.

use std::time::Duration;

use super::{Builder, MintMode, Secrets};
use crate::client_secret::sealing::{SealingKey, SealingKeyError, SealingKeys};
use crate::config::{Path, raw};

/// The longest that a client secret is good, where the configuration does not say.
const DEFAULT_MAX_TTL: Duration = Duration::from_secs(600);

impl Builder<'_> {
    pub(super) fn client_secrets(&mut self, path: &Path, raw: &raw::ClientSecrets) -> Option<Secrets> {
        let mut keys = Vec::new();
        for (index, source) in raw.sealing_keys.iter().enumerate() {
            keys.extend(self.sealing_key(&path.key("sealing_keys").index(index), source));
        }
        let minting = match raw.mode {
            raw::SecretMode::Off => MintMode::Off,
            raw::SecretMode::Sealed => MintMode::Sealed,
            raw::SecretMode::Local => MintMode::Local,
        };
        if minting != MintMode::Off && raw.sealing_keys.is_empty() {
            self.error(&path.key("sealing_keys"), "found no key, expected at least one: openssl rand -base64 32");
        }
        let max_ttl = raw.max_ttl.map_or(DEFAULT_MAX_TTL, |span| span.0);
        if minting == MintMode::Off && raw.max_ttl.is_some() {
            self.error(&path.key("max_ttl"), "does nothing while mode is off; remove it");
        }
        if max_ttl < Duration::from_secs(1) {
            self.error(&path.key("max_ttl"), "found less than a second, expected a duration such as 10m");
        }
        let mut keys = keys.into_iter();
        let keys = SealingKeys::new(keys.next()?, keys.collect());
        Some(Secrets { keys, minting, max_ttl })
    }

    fn sealing_key(&mut self, path: &Path, source: &raw::SecretSource) -> Option<SealingKey> {
        let text = self.reader.sealing_key(path, source)?;
        match SealingKey::from_base64(text.expose()) {
            Ok(key) => Some(key),
            Err(SealingKeyError::NotBase64) => {
                self.error(path, "not base64; expected 32 bytes in base64: openssl rand -base64 32");
                None
            }
            Err(SealingKeyError::Length(length)) => {
                self.error(path, format!("found {length} bytes, expected 32 in base64: openssl rand -base64 32"));
                None
            }
        }
    }
}
