//! Why the credentials that a client offers are denied before anyone looks whose they are.

/// Why what stands in the slots is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialError {
    /// It cannot be a credential; says why.
    Malformed(&'static str),
    /// Two different credentials.
    Conflicting,
}
