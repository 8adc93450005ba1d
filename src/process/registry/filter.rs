//! Which records are meant: by id, caller, user and status, or by the call that they are of.

use super::record_codec::{decode, id, is_call, is_hung_up};
use crate::usage::{Record, RecordId, Status};

/// A WebRTC call, by its provider's name and by its own at that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallName<'a> {
    /// The provider's name in the configuration.
    pub provider: &'a str,
    /// `rtc_…`
    pub id: &'a str,
}

/// Which sessions; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this one.
    pub id: Option<RecordId>,
    /// Those of this caller.
    pub caller: Option<String>,
    /// Those of this user.
    pub user: Option<String>,
    /// Those that have ended, or those that have not.
    pub is_closed: Option<bool>,
}

impl Filter {
    /// The session of this id.
    pub fn id(id: RecordId) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    /// The record in these bytes, if the filter lets it through, whether or not it has ended.
    pub(super) fn matching(&self, bytes: &[u8]) -> Option<Record> {
        // Most are not the one that is looked for, which can be seen without reading them.
        if self.id.is_some_and(|wanted| id(bytes) != Some(wanted)) {
            return None;
        }
        let record = decode(bytes).ok()?;
        let has_caller = self.caller.as_ref().is_none_or(|caller| *caller == record.caller);
        let has_user = self.user.is_none() || self.user == record.user;
        (has_caller && has_user).then_some(record)
    }
}

impl CallName<'_> {
    /// The record in these bytes, if it is of this call, and that has not ended.
    pub(super) fn matching(self, bytes: &[u8]) -> Option<Record> {
        // Most are no calls, which can be seen without reading them.
        let record = if is_call(bytes) { decode(bytes).ok()? } else { return None };
        let is_named = record.provider == self.provider && record.upstream_id.as_deref() == Some(self.id);
        (is_named && record.status != Status::Closed && !is_hung_up(bytes)).then_some(record)
    }
}
