//! The credentials that a client offers, and the callers that they belong to.

mod bearer;
mod caller;
mod callers;
mod error;
mod identity;
mod presented;
mod presenter;
mod properties;
mod settings;
mod slots;
mod strip;
mod subprotocols;

pub use bearer::bearer;
pub use caller::{Access, Caller};
pub use callers::{Callers, Token, TokenError, Validity};
pub use error::CredentialError;
pub use identity::{TwoCallers, ValueRule, VerifiedProperty};
pub use presented::{PresentedTokens, SHORTEST_TOKEN, stands_in};
pub use presenter::Presenter;
pub use properties::{LONGEST_PROPERTY, Properties, PropertyValue, is_name};
pub use settings::GatewaySettings;
pub use slots::{Slot, SlotValue, presented_token, query_keys};
pub use strip::Strip;
pub use subprotocols::{Subprotocol, SubprotocolOffer};
