//! The credentials that a client offers, and the callers that they belong to.

mod caller;
mod slots;
mod strip;
mod subprotocols;

pub use caller::{Access, Caller, Callers, Token, TokenError, Validity};
pub use slots::{CredentialError, GatewaySlot, Slot, bearer, presented_token};
pub use strip::Strip;
pub use subprotocols::{Subprotocol, SubprotocolOffer};
