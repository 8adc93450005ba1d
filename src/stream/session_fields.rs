//! What holds for the fields of the session that an admitted request begins: which are locked, preset and hidden.

use super::admission::Admission;
use super::denials::{locked_call, unpresettable};
use crate::denial::Denial;
use crate::endpoint::{CallAction, Endpoint};
use crate::protocol::{Hide, Lock, Preset, PresetWay};

impl Admission {
    /// Checks that what it begins can keep to that.
    ///
    /// # Errors
    ///
    /// 403 for a call, and for a session that takes no preset where there is one.
    pub(super) fn check_session_fields(&self) -> Result<(), Denial> {
        let is_preset = self.policy.preset.is_some();
        match &self.endpoint {
            // What is said in a call passes the gateway by: nothing could keep the lock.
            Endpoint::StartCall(_) | Endpoint::Call(_, CallAction::Accept)
                if is_preset || !self.lock().is_empty() || !self.hide().is_empty() =>
            {
                Err(locked_call())
            }
            Endpoint::WebSocket(kind) if is_preset && kind.row().preset == PresetWay::None => Err(unpresettable()),
            // It goes on with the fields of the session that was stored, which its sender may change.
            Endpoint::Fork(_) if is_preset => Err(unpresettable()),
            _ => Ok(()),
        }
    }

    /// The session fields that the gateway sets in the session that it begins. What a sideband joins has begun already.
    pub(crate) fn preset(&self) -> Option<&Preset> {
        self.policy.preset.as_ref().filter(|_| matches!(self.endpoint, Endpoint::WebSocket(_)))
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
