//! WebRTC calls, as the streams see them that begin one or join one.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::admission::Admission;
use super::surroundings::{Exchanged, Surroundings};
use crate::call::{Call, Hangup, id_in};
use crate::control::Seat;
use crate::http::Target;
use crate::policy::Placement;
use crate::secret::Secret;
use crate::usage::{Kind, Record};

/// What the provider's key is sent as.
type Credential = (Placement, Rc<Secret>);

/// A call that begins, and what ends it.
pub struct Called {
    call: Call,
    provider_key: Option<Credential>,
}

/// A call that a WebSocket has joined, and what ends it.
pub struct Joined {
    id: String,
    provider_key: Option<Credential>,
}

/// The call that a WebSocket asks to join, by `?call_id=rtc_…`: its model was judged when it began.
pub fn call_joined(target: &Target<'_>) -> Option<String> {
    let mut ids = target.params().filter(|param| param.is("call_id"));
    let (id, other) = (ids.next()?.value()?, ids.next());
    (other.is_none() && id_in(id.as_bytes()) == Some(&*id)).then(|| id.into_owned())
}

impl Called {
    /// The upstream began the call `id` that was asked for.
    pub fn new(
        id: &str,
        admission: &Admission,
        provider: String,
        model: Option<String>,
        provider_key: Option<Credential>,
        around: &impl Surroundings,
    ) -> Self {
        let started = around.now();
        let record = Record {
            kind: Kind::WebRtc,
            upstream_id: Some(id.to_owned()),
            model,
            ..admission.record(around.random().map_or(0, u128::from_le_bytes), provider, started)
        };
        let max_duration = admission.limits().max_duration;
        let call = Call { record, started, max_duration, hangup: None, seat: None, is_told: false };
        Self { call, provider_key }
    }

    /// Its record as it begins.
    pub fn record(&self) -> &Record {
        &self.call.record
    }

    /// The stream that began it is over, and tells what ends the call.
    pub fn go_on(self, seat: Option<Seat>, exchanged: &impl Exchanged) -> Call {
        let Self { mut call, provider_key } = self;
        call.hangup = hangup(call.id(), b"", provider_key, exchanged);
        call.seat = seat;
        call
    }
}

impl Joined {
    /// The call of this id.
    pub fn new(id: String, provider_key: Option<Credential>) -> Self {
        Self { id, provider_key }
    }

    /// The WebSocket that joined it was ended here, and the call must end with it: it is overdue from now on.
    pub fn end(self, record: &Record, exchanged: &impl Exchanged, now: SystemTime) -> Call {
        let hangup = hangup(&self.id, b"/calls", self.provider_key, exchanged);
        let record = Record { kind: Kind::WebRtc, upstream_id: Some(self.id), ..record.clone() };
        Call { record, started: now, max_duration: Some(Duration::ZERO), hangup, seat: None, is_told: false }
    }
}

/// What ends a call, by what was told of the request that began or joined it; `below` is where calls are below its path.
fn hangup(id: &str, below: &[u8], key: Option<Credential>, exchanged: &impl Exchanged) -> Option<Hangup> {
    let key = key?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
    let (cluster, authority) = (exchanged.cluster().and_then(text)?, exchanged.authority().and_then(text)?);
    let path = exchanged.path()?;
    let path = [Target::parse(&path).path, below].concat();
    Some(Hangup::new(id, cluster, authority, &path, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_joined_by_one_plain_id() {
        for (path, id) in [
            ("/v1/realtime?call_id=rtc_u1-A", Some("rtc_u1-A")),
            ("/v1/realtime?model=m&call%5Fid=rtc_1", Some("rtc_1")),
            ("/v1/realtime?call_id=", None),
            ("/v1/realtime?call_id=a/b", None),
            ("/v1/realtime?call_id=a%3Fb", None),
            ("/v1/realtime?call_id=rtc_1&call_id=rtc_2", None),
            ("/v1/realtime?model=m", None),
        ] {
            assert_eq!(call_joined(&Target::parse(path.as_bytes())).as_deref(), id, "{path}");
        }
    }
}
