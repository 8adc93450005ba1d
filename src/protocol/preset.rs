//! Session fields that the gateway sets, before its client says anything.

use std::sync::Arc;

use crate::json::quoted;

/// Session fields with their values, as a JSON object.
///
/// How they go into a session depends on its kind: into one of the Realtime API as a `session.update` of their own.
///
/// ```
/// use realtime_byok::protocol::Preset;
///
/// let preset = Preset::new(r#"{"type":"realtime","instructions":"Sell shoes."}"#.to_owned());
/// assert_eq!(
///     preset.session_update("event_1"),
///     r#"{"type":"session.update","event_id":"event_1","session":{"type":"realtime","instructions":"Sell shoes."}}"#
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    session: Arc<str>,
}

impl Preset {
    /// The fields of this object.
    pub fn new(session: String) -> Self {
        Self { session: session.into() }
    }

    /// The event that sets them, with this id.
    pub fn session_update(&self, event_id: &str) -> String {
        let (event_id, session) = (quoted(event_id), &self.session);
        format!(r#"{{"type":"session.update","event_id":{event_id},"session":{session}}}"#)
    }
}
