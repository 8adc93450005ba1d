//! Client secrets: the requests that mint them, the responses that hand them out, and how they are sealed and opened.
//!
//! ```text
//! request ──> MintRequest      what the backend asks for, its model and its `gateway` object; the body that goes on
//! response ─> MintResponse     the upstream's secret; the response with the sealed one in its place
//!             local_response   the response where no upstream mints
//! secret ───> sealing, claims  what it says, readable to holders of the sealing key alone
//!             OpenedSecret     what a request that came with it may do, and MintedModels what it may name
//! ```

pub mod claims;
mod gateway_object;
mod local;
mod opened;
mod request;
mod response;
pub mod sealing;

pub use gateway_object::{GatewayObject, InvalidGatewayObject};
pub use local::local_response;
pub use opened::{MintedModels, OpenedSecret};
pub use request::{DEFAULT_TTL, MintRequest, MintRequestError};
pub use response::{InvalidMintResponse, MAX_RESPONSE, MintResponse};

#[cfg(test)]
fn sealed_for_tests() -> sealing::Sealed {
    use claims::Claims;
    use claims::tests::LEAST;
    use sealing::{SealingKey, SealingKeys};

    let claims = Claims { issued_at: 0, expires_at: 99, ..LEAST };
    SealingKeys::new(SealingKey::from_bytes(&[7; 32]).unwrap(), Vec::new()).seal(&claims, &[9; 24]).unwrap()
}
