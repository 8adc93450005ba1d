//! The subprotocols that a client offers, and which of them hold a credential.

use std::collections::HashSet;

use super::slots::{CredentialError, GatewaySlot};
use crate::http::{is_token, members};

/// The longest list of subprotocols that is read, all its lines together, in bytes.
const MAX_SUBPROTOCOLS: usize = 16 * 1024;

/// Subprotocols of the official SDKs that hold a provider's key.
const PROVIDER_KEYS: [&str; 2] = ["openai-insecure-api-key.", "xai-client-secret."];

/// Subprotocols of the official SDKs that are not for the upstream: they would pick another account, or the beta shape.
const PROVIDER_SETTINGS: [&str; 3] = ["openai-organization.", "openai-project.", "openai-beta."];

/// What one offered subprotocol is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subprotocol {
    /// Holds a gateway token, from this byte on.
    Token(usize),
    /// Holds a gateway token in base64url, from this byte on.
    EncodedToken(usize),
    /// Holds what an SDK takes for the provider's key, from this byte on.
    ProviderKey(usize),
    /// An SDK's setting for the provider's account or API version; removed.
    ProviderSetting,
    /// None of these: for the upstream.
    Plain,
}

impl Subprotocol {
    /// Whether it never reaches an upstream.
    pub fn is_removed(self) -> bool {
        self != Self::Plain
    }

    fn of(name: &[u8], gateway: &GatewaySlot) -> Self {
        let starts = |prefix: &str| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
                .then_some(prefix.len())
        };
        if let Some(at) = starts(&gateway.prefix) {
            Self::Token(at)
        } else if let Some(at) = starts(&gateway.base64url_prefix) {
            Self::EncodedToken(at)
        } else if let Some(at) = PROVIDER_KEYS.iter().find_map(|prefix| starts(prefix)) {
            Self::ProviderKey(at)
        } else if PROVIDER_SETTINGS.iter().any(|prefix| starts(prefix).is_some()) {
            Self::ProviderSetting
        } else {
            Self::Plain
        }
    }
}

/// The subprotocols that a client offers, of all lines, in order.
pub struct SubprotocolOffer<'a>(Vec<(&'a [u8], Subprotocol)>);

impl<'a> SubprotocolOffer<'a> {
    /// Reads the lines of `sec-websocket-protocol`.
    ///
    /// RFC 6455 section 4.1: the elements "MUST all be unique strings" of token characters.
    pub fn parse(lines: &[&'a [u8]], gateway: &GatewaySlot) -> Result<Self, CredentialError> {
        if lines.iter().map(|line| line.len()).sum::<usize>() > MAX_SUBPROTOCOLS {
            return Err(CredentialError::Malformed("sec-websocket-protocol is longer than 16 KiB"));
        }
        let mut offer = Vec::new();
        let mut seen = HashSet::new();
        for name in lines.iter().flat_map(|line| members(line)) {
            if !is_token(name) {
                return Err(CredentialError::Malformed("a subprotocol is not a token (RFC 9110 section 5.6.2)"));
            }
            if !seen.insert(name) {
                return Err(CredentialError::Malformed("a subprotocol is offered twice"));
            }
            offer.push((name, Subprotocol::of(name, gateway)));
        }
        Ok(Self(offer))
    }

    /// Name and kind of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Subprotocol)> {
        self.0.iter().copied()
    }

    /// The one to select when the upstream selects none: the first that is no credential, else the gateway's, else the
    /// first. Browsers abort a connection whose offer is not answered.
    pub fn fallback(&self) -> Option<&'a [u8]> {
        let rank = |kind| match kind {
            Subprotocol::Plain | Subprotocol::ProviderSetting => 0,
            Subprotocol::Token(_) | Subprotocol::EncodedToken(_) => 1,
            Subprotocol::ProviderKey(_) => 2,
        };
        self.iter().min_by_key(|&(_, kind)| rank(kind)).map(|(name, _)| name)
    }
}
