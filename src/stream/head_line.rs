//! The header lines of a request that matter to the filter, and those that never reach an upstream.

use crate::credential::{GatewaySettings, Slot};

/// A list: versions of OpenAI's API.
pub(super) const BETA: &[u8] = b"openai-beta";

/// A list: what a WebSocket may speak.
pub(super) const SUBPROTOCOLS: &[u8] = b"sec-websocket-protocol";

/// The header lines that matter to the filter, by what they say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// `:method`
    Method,
    /// `:path`
    Target,
    /// `:authority`
    Authority,
    /// `upgrade`
    Upgrade,
    /// `connection`, which names the headers that go no further than the next hop.
    Connection,
    /// A slot of the gateway token.
    Slot(Slot),
    /// `sec-websocket-protocol`
    Subprotocols,
    /// `sec-websocket-key`
    WebSocketKey,
    /// `sec-websocket-extensions`
    WebSocketExtensions,
    /// `origin`, the page that sent it.
    Origin,
    /// `accept-encoding`
    AcceptEncoding,
    /// `content-type`
    ContentType,
    /// `content-encoding`
    ContentEncoding,
    /// `content-length`
    ContentLength,
    /// `openai-beta`
    Beta,
    /// One of which nothing is read, and which goes no further.
    Stripped,
}

impl Line {
    pub(super) const fn bit(self) -> u16 {
        1 << match self {
            Self::Method => 0,
            Self::Target => 1,
            Self::Upgrade => 2,
            Self::Slot(_) => 3,
            Self::Subprotocols => 4,
            Self::WebSocketKey => 5,
            Self::WebSocketExtensions => 6,
            Self::Origin => 7,
            Self::AcceptEncoding => 8,
            Self::ContentType => 9,
            Self::ContentEncoding => 10,
            Self::ContentLength => 11,
            Self::Beta => 12,
            Self::Stripped => 13,
            Self::Authority => 14,
            Self::Connection => 15,
        }
    }

    /// Whether it is the message's own, and is checked or set as a whole elsewhere: what it addresses, what makes an upgrade.
    pub(super) fn is_of_the_message(self) -> bool {
        matches!(self, Self::Method | Self::Target | Self::Authority | Self::Upgrade | Self::Connection)
    }

    /// The line that one of this name, in lower case, is; `None` of one that does not matter.
    pub(super) fn named(name: &[u8], gateway: &GatewaySettings) -> Option<Self> {
        // The gateway's slot may have the name of another line.
        if let Some(slot) = Slot::of(name, gateway) {
            return Some(Self::Slot(slot));
        }
        Some(match name {
            b":method" => Self::Method,
            b":path" => Self::Target,
            b":authority" => Self::Authority,
            b"upgrade" => Self::Upgrade,
            b"connection" => Self::Connection,
            SUBPROTOCOLS => Self::Subprotocols,
            b"sec-websocket-key" => Self::WebSocketKey,
            b"sec-websocket-extensions" => Self::WebSocketExtensions,
            b"origin" => Self::Origin,
            b"accept-encoding" => Self::AcceptEncoding,
            b"content-type" => Self::ContentType,
            b"content-encoding" => Self::ContentEncoding,
            b"content-length" => Self::ContentLength,
            BETA => Self::Beta,
            b"openai-organization"
            | b"openai-project"
            | b"cookie"
            | b"proxy-authorization"
            | b"x-realtime-byok-provider" => Self::Stripped,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_slot_may_have_the_name_of_a_line_that_is_removed() {
        for name in ["proxy-authorization", "cookie", "x-api-key", "openai-beta"] {
            let gateway = GatewaySettings::new(name, "gateway", true);
            assert_eq!(Line::named(name.as_bytes(), &gateway), Some(Line::Slot(Slot::Gateway)), "{name}");
        }
        let gateway = GatewaySettings::new("x-gateway", "gateway", true);
        assert_eq!(Line::named(b"proxy-authorization", &gateway), Some(Line::Stripped));
    }
}
