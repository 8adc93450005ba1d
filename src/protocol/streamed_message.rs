//! A message of Anthropic's, as far as a stream has reported its usage: in `message_start`, and in each `message_delta`,
//! which says how much it is together.

use super::usage::UsageFields;
use crate::usage::{IdKind, Report, UsageError};

/// What is known of it.
#[derive(Debug)]
pub struct StreamedMessage {
    id: Option<String>,
    model: Option<String>,
    usage: UsageFields,
    /// What it has written was reported after its beginning.
    has_output: bool,
}

impl StreamedMessage {
    /// What one event reports: its id and model, if it names them, and its usage; whether that is what it has written.
    pub(super) fn new((id, model): (Option<String>, Option<String>), usage: UsageFields, has_output: bool) -> Self {
        Self { id, model, usage, has_output }
    }

    /// Takes what was reported later of the same message.
    pub fn go_on(&mut self, later: Self) {
        self.id = self.id.take().or(later.id);
        self.model = self.model.take().or(later.model);
        self.usage.grow(&later.usage);
        self.has_output |= later.has_output;
    }

    /// What the message has used.
    pub fn report(self) -> Report {
        let (used, flaw) = self.usage.response();
        let cut = (!self.has_output).then_some(UsageError::Missing("output_tokens"));
        let id = self.id.map(|id| (IdKind::Response, id));
        Report::new(id, self.model, Ok((used, flaw.or(cut))))
    }
}
