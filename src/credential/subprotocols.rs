//! The subprotocols that a client offers, and which of them hold a credential.

use std::collections::HashSet;
use std::ops::Range;

use super::error::CredentialError;
use super::settings::GatewaySettings;
use crate::http::{is_token, members};
use crate::secret::Secret;

/// The longest list of subprotocols that is read, all its lines together, in bytes.
const MAX_SUBPROTOCOLS: usize = 16 * 1024;

/// Subprotocols of the official SDKs that hold a provider's key.
const PROVIDER_KEYS: [&str; 2] = ["openai-insecure-api-key.", "xai-client-secret."];

/// Subprotocols of the official SDKs that are not for the upstream: they would pick another account, or the beta shape.
const PROVIDER_SETTINGS: [&str; 3] = ["openai-organization.", "openai-project.", "openai-beta."];

/// The subprotocol of a WebSocket that joins a call and says nothing in it.
const WATCH: &str = "realtime-byok-watch";

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
    /// Says that the client only watches a call; it is the gateway's own.
    Watch,
    /// None of these: for the upstream.
    Plain,
}

/// How a token is written in a subprotocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenEncoding {
    /// As it is.
    Plain,
    /// In base64url, for tokens with characters that a subprotocol may not hold.
    Base64Url,
}

impl Subprotocol {
    /// Whether it never reaches an upstream.
    pub fn is_removed(self) -> bool {
        self != Self::Plain
    }

    /// What a subprotocol of this name is.
    pub fn of(name: &[u8], gateway: &GatewaySettings) -> Self {
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
        } else if name.eq_ignore_ascii_case(WATCH.as_bytes()) {
            Self::Watch
        } else {
            Self::Plain
        }
    }
}

/// The subprotocols that a client offers, of all lines, in order.
pub struct SubprotocolOffer {
    /// All names, one behind the other; there are credentials among them.
    text: Secret,
    /// Where each stands in the text, and what it is.
    names: Vec<(Range<usize>, Subprotocol)>,
}

impl SubprotocolOffer {
    /// Reads the lines of `sec-websocket-protocol`.
    ///
    /// RFC 6455 section 4.1: the elements "MUST all be unique strings" of token characters.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Malformed`] if they are not, or longer than 16 KiB together.
    pub fn parse<'a>(
        lines: impl Iterator<Item = &'a [u8]> + Clone,
        gateway: &GatewaySettings,
    ) -> Result<Self, CredentialError> {
        let length = lines.clone().map(<[u8]>::len).sum();
        if length > MAX_SUBPROTOCOLS {
            return Err(CredentialError::Malformed("sec-websocket-protocol is longer than 16 KiB"));
        }
        if length == 0 {
            return Ok(Self { text: Secret::new(Vec::new()), names: Vec::new() });
        }
        let (mut text, mut names, mut seen) = (Vec::with_capacity(length), Vec::new(), HashSet::new());
        for name in lines.flat_map(members) {
            if !is_token(name) {
                return Err(CredentialError::Malformed("a subprotocol is not a token (RFC 9110 section 5.6.2)"));
            }
            if !seen.insert(name) {
                return Err(CredentialError::Malformed("a subprotocol is offered twice"));
            }
            let start = text.len();
            text.extend_from_slice(name);
            names.push((start..text.len(), Subprotocol::of(name, gateway)));
        }
        Ok(Self { text: Secret::new(text), names })
    }

    /// Bytes that are held beside the offer itself.
    pub fn held(&self) -> usize {
        let names = self.names.capacity().saturating_mul(size_of::<(Range<usize>, Subprotocol)>());
        self.text.expose().len().saturating_add(names)
    }

    /// Name and kind of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Subprotocol)> {
        self.names.iter().map(|(range, kind)| (self.text.expose().get(range.clone()).unwrap_or_default(), *kind))
    }

    /// The gateway tokens that are offered, each as it is encoded.
    pub(super) fn gateway_tokens(&self) -> impl Iterator<Item = (&[u8], TokenEncoding)> {
        self.iter().filter_map(|(name, kind)| match kind {
            Subprotocol::Token(at) => Some((name.get(at..).unwrap_or_default(), TokenEncoding::Plain)),
            Subprotocol::EncodedToken(at) => Some((name.get(at..).unwrap_or_default(), TokenEncoding::Base64Url)),
            Subprotocol::ProviderKey(_) | Subprotocol::ProviderSetting | Subprotocol::Watch | Subprotocol::Plain => {
                None
            }
        })
    }

    /// What stands where the official SDKs put the provider's key: a gateway token as well, where those are accepted there.
    pub(super) fn provider_slots(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().filter_map(|(name, kind)| match kind {
            Subprotocol::ProviderKey(at) => Some(name.get(at..).unwrap_or_default()),
            _ => None,
        })
    }

    /// Whether the client only wants to watch a call.
    pub fn is_of_watcher(&self) -> bool {
        self.names.iter().any(|(_, kind)| *kind == Subprotocol::Watch)
    }

    /// Whether this subprotocol is offered.
    pub fn contains(&self, subprotocol: &[u8]) -> bool {
        self.iter().any(|(name, _)| name == subprotocol)
    }
}
