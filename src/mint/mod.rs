//! Client secrets: the requests that mint them, and the answers that hand them out.
//!
//! ```text
//! path ────> endpoint        which of the paths that client secrets are about it is, however it is spelled
//! request ─> MintRequest     what the backend asks for, its model and its `gateway` object; the body that goes on
//! answer ──> MintAnswer      the upstream's secret; the answer with the sealed one in its place
//!            local_answer    the answer where no upstream mints
//! ```

mod answer;
mod coding;
mod gateway;
mod json;
mod local;
mod path;
mod request;

pub use answer::{InvalidAnswer, MAX_ANSWER, MintAnswer};
pub use coding::decoded;
pub use gateway::{GatewayObject, InvalidGatewayObject};
pub use local::local_answer;
pub use path::{Endpoint, MintEndpoint, Spelling, endpoint};
pub use request::{DEFAULT_TTL, MintRequest, MintRequestError};

#[cfg(test)]
fn sealed_for_tests() -> crate::secret::seal::Sealed {
    use crate::secret::claims::{Claims, Limits};
    use crate::secret::seal::{SealingKey, SealingKeys};

    let limits = Limits::default();
    let (model, user, origin, upstream) = (None, None, None, None);
    let (caller, provider, policy) = ("web-app", "openai", "voice");
    let claims =
        Claims { caller, provider, policy, issued_at: 0, expires_at: 99, model, user, origin, limits, upstream };
    SealingKeys::new(SealingKey::from_bytes(&[7; 32]).unwrap(), Vec::new()).seal(&claims, &[9; 24]).unwrap()
}
