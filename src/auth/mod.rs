//! Who is calling: the credentials that a client offers, and the callers that they belong to.

mod caller;
mod slots;

pub use caller::{Access, Caller, Callers, Token, TokenError, Validity};
pub use slots::{FormError, Gateway, Offered, Slots, Subprotocol, bearer};
