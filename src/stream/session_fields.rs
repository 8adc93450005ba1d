//! What holds for the fields of the session that an admitted request begins: which are locked, preset and hidden.

use super::admission::Admission;
use super::denials::{locked_call, unpresettable};
use crate::denial::Denial;
use crate::endpoint::{CallAction, Endpoint};
use crate::protocol::{Hide, Lock, Preset};

impl Admission {
    /// Checks that what it begins can keep to that.
    ///
    /// # Errors
    ///
    /// 403 for a call, and for a session that takes no preset where there is one.
    pub(super) fn check_session_fields(&self) -> Result<(), Denial> {
        let is_preset = self.policy.preset.is_some();
        match self.endpoint {
            // What is said in a call passes the gateway by: nothing could keep the lock.
            Endpoint::StartCall(_) | Endpoint::Call(_, CallAction::Accept)
                if is_preset || !self.lock().is_empty() || !self.hide().is_empty() =>
            {
                Err(locked_call())
            }
            Endpoint::Responses | Endpoint::WebSocket if is_preset => Err(unpresettable()),
            _ => Ok(()),
        }
    }

    /// The session fields that the gateway sets in the session that it begins. What a sideband joins has begun already.
    pub(crate) fn preset(&self) -> Option<&Preset> {
        self.policy.preset.as_ref().filter(|_| self.endpoint == Endpoint::Realtime)
    }

    /// The session fields that its sender does not get to see: the policy's, and the client secret's beside them.
    pub(crate) fn hide(&self) -> &Hide {
        self.client_secret.as_ref().map_or(&self.policy.hide, |client_secret| &client_secret.hide)
    }

    /// The session fields that may not be changed: the policy's, and the client secret's beside them.
    pub(crate) fn lock(&self) -> &Lock {
        self.client_secret.as_ref().map_or(&self.policy.lock, |client_secret| &client_secret.lock)
    }
}
