//! Where calls begin, what is done to them, where they are joined, and by which ids.

use super::path::Tail;
use crate::http::{Param, Target};

/// The paths at which calls begin, each by a `POST`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallPath {
    /// `…/realtime/calls`
    Realtime,
    /// `…/realtime/translations/calls`
    Translations,
    /// `…/realtimertc`, Azure's.
    Azure,
    /// `…/live/sessions`, of which the body holds the offer, and the answer's the call's id.
    Live,
}

/// What can be done to a call, SIP or WebRTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallAction {
    /// `POST …/accept`
    Accept,
    /// `POST …/reject`
    Reject,
    /// `POST …/refer`
    Refer,
    /// `POST …/hangup`
    HangUp,
    /// `GET …/live/sessions/{id}/content`, the recording.
    Download,
}

/// The paths at which WebSockets join calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SidebandPath {
    /// `…/realtime?call_id={id}`
    Realtime,
    /// `…/realtime/translations?call_id={id}`
    Translations,
    /// `…/live/sessions/{id}/attach`
    Attach,
}

/// A name for a call, the upstream's or a sealed one: letters, digits, `_` and `-`, at least one and at most
/// [`CallId::MAX`] of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallId(String);

/// What a WebSocket's query says of a call.
pub(super) enum Joined {
    /// It names none.
    Nothing,
    /// It joins this one.
    Call(CallId),
    /// It names several, or something that is no id.
    Unclear,
}

impl CallPath {
    /// Below which path a call stands that began at this one: `/v1/realtime/calls`, for example.
    pub fn collection(self, path: &[u8]) -> Vec<u8> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        match (self, path.strip_suffix(b"/realtimertc")) {
            (Self::Azure, Some(prefix)) => [prefix, b"/realtime/calls"].concat(),
            _ => path.to_vec(),
        }
    }
}

impl SidebandPath {
    /// Below which path a call stands that is joined at this one.
    pub fn collection(self, path: &[u8]) -> Vec<u8> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        match self {
            Self::Realtime | Self::Translations => [path, b"/calls"].concat(),
            Self::Attach => {
                let mut ends = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
                let above = ends.nth(1).unwrap_or_default();
                path.get(..above).unwrap_or_default().to_vec()
            }
        }
    }
}

impl CallAction {
    /// What a `POST` to this below a call does.
    pub(super) fn named(segment: &str) -> Option<Self> {
        Some(match segment {
            "accept" => Self::Accept,
            "reject" => Self::Reject,
            "refer" => Self::Refer,
            "hangup" => Self::HangUp,
            _ => return None,
        })
    }
}

impl CallId {
    /// The longest, in bytes: a sealed one holds several names.
    pub const MAX: usize = 4096;

    /// The longest of an upstream's, in bytes.
    pub const MAX_OF_UPSTREAM: usize = 256;

    /// Takes a text for an id if it can be one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::within(text, Self::MAX)
    }

    /// Takes a text for an upstream's id if it can be one.
    pub fn of_upstream(text: &str) -> Option<Self> {
        Self::within(text, Self::MAX_OF_UPSTREAM)
    }

    /// The upstream's id that a `location` such as `/v1/realtime/calls/rtc_u1` ends with.
    pub fn in_location(location: &[u8]) -> Option<Self> {
        let last = Target::parse(location).path.rsplit(|&byte| byte == b'/').next()?;
        Self::of_upstream(str::from_utf8(last).ok()?)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one above a path's last segment.
    pub(super) fn above(tail: Tail<'_>) -> Option<Self> {
        let [_, id, ..] = tail;
        Self::parse(id)
    }

    fn within(text: &str, longest: usize) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_id = (1..=longest).contains(&text.len()) && text.bytes().all(is_plain);
        is_id.then(|| Self(text.to_owned()))
    }
}

impl Joined {
    pub(super) fn read(target: &Target<'_>) -> Self {
        let mut ids = target.params().filter(|param: &Param<'_>| param.is("call_id"));
        let Some(id) = ids.next() else { return Self::Nothing };
        let is_clear = id.is_exactly("call_id") && ids.next().is_none();
        let id = id.value().filter(|_| is_clear).and_then(|id| CallId::parse(&id));
        id.map_or(Self::Unclear, Self::Call)
    }
}
