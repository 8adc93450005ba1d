//! Records as they stand in shared data: what must be found without reading all of them comes first.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::process::codec::{Corrupt, Reader, put_bytes, put_number, put_usage};
use crate::usage::{
    Close, ClosedBy, Estimated, Limit, Record, RecordId, Status, Timestamp, Traffic, Transport, UnknownLimit,
};

/// No text of a record takes more bytes in shared data; what is longer is cut.
const MAX_TEXT: usize = 512;

/// A status and an id.
const HEAD: usize = 1 + ID;

/// `rb_` and 32 digits.
const ID: usize = 35;

const OPEN: u8 = 0;
const STOPPING: u8 = 1;
const CLOSED: u8 = 2;

/// A call's, which runs as far as its worker knows.
const HUNG_UP: u8 = 3;

/// Writes a record, with this status.
pub(super) fn encode(record: &Record, status: Status) -> Vec<u8> {
    let mut out = vec![match status {
        Status::Open => OPEN,
        Status::Stopping => STOPPING,
        Status::Closed => CLOSED,
    }];
    out.extend_from_slice(record.id.to_string().as_bytes());
    out.push(match record.kind {
        Transport::WebSocket => 0,
        Transport::WebRtc => 1,
    });
    put_text(&mut out, Some(&record.caller));
    put_text(&mut out, record.user.as_deref());
    put_text(&mut out, Some(&record.policy));
    put_text(&mut out, Some(&record.provider));
    put_text(&mut out, record.model.as_deref());
    put_text(&mut out, record.upstream_id.as_deref());
    let started = SystemTime::from(record.started_at).duration_since(UNIX_EPOCH).unwrap_or_default();
    put_number(&mut out, u64::try_from(started.as_millis()).unwrap_or_default());
    put_number(&mut out, record.duration_ms);
    put_number(&mut out, record.idle_ms);
    put_usage(&mut out, &record.usage, record.cost_usd);
    for traffic in [record.frames, record.bytes] {
        put_number(&mut out, traffic.client);
        put_number(&mut out, traffic.upstream);
    }
    put_close(&mut out, record.close.as_ref());
    out.push(record.incomplete.into());
    put_number(&mut out, record.estimated.tokens);
    put_number(&mut out, record.estimated.milliseconds);
    out
}

/// Reads what [`encode`] has written.
pub(super) fn decode(bytes: &[u8]) -> Result<Record, Corrupt> {
    let (head, rest) = bytes.split_at_checked(HEAD).ok_or(Corrupt)?;
    let (&status, id) = head.split_first().ok_or(Corrupt)?;
    let id: RecordId = str::from_utf8(id).map_err(|_| Corrupt)?.parse().map_err(|_| Corrupt)?;
    let status = match status {
        OPEN => Status::Open,
        STOPPING | HUNG_UP => Status::Stopping,
        CLOSED => Status::Closed,
        _ => return Err(Corrupt),
    };
    let mut reader = Reader::new(rest);
    let kind = [Transport::WebSocket, Transport::WebRtc].get(usize::from(reader.byte()?)).copied().ok_or(Corrupt)?;
    let caller = text(&mut reader)?.ok_or(Corrupt)?;
    let user = text(&mut reader)?;
    let policy = text(&mut reader)?.ok_or(Corrupt)?;
    let provider = text(&mut reader)?.ok_or(Corrupt)?;
    let model = text(&mut reader)?;
    let upstream_id = text(&mut reader)?;
    let started = UNIX_EPOCH.checked_add(Duration::from_millis(reader.number()?)).ok_or(Corrupt)?;
    let (duration_ms, idle_ms) = (reader.number()?, reader.number()?);
    let (usage, cost_usd) = reader.usage()?;
    let frames = Traffic { client: reader.number()?, upstream: reader.number()? };
    let traffic = Traffic { client: reader.number()?, upstream: reader.number()? };
    let close = close(&mut reader)?;
    let incomplete = reader.byte()? != 0;
    let estimated = Estimated { tokens: reader.number()?, milliseconds: reader.number()? };
    reader.end()?;
    Ok(Record {
        id,
        kind,
        status,
        upstream_id,
        caller,
        user,
        policy,
        provider,
        model,
        started_at: Timestamp::from(started),
        duration_ms,
        idle_ms,
        usage,
        cost_usd,
        frames,
        bytes: traffic,
        close,
        incomplete,
        estimated,
    })
}

/// A record's id.
pub(super) fn id(bytes: &[u8]) -> Option<RecordId> {
    str::from_utf8(id_of(bytes)?).ok()?.parse().ok()
}

/// Whether a record is of a WebRTC call.
pub(super) fn is_call(bytes: &[u8]) -> bool {
    bytes.get(HEAD) == Some(&1)
}

/// Whether two records are of the same session.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    id_of(one).is_some() && id_of(one) == id_of(other)
}

/// Whether a record's session runs, and is not to stop.
pub(super) fn is_open(bytes: &[u8]) -> bool {
    bytes.first() == Some(&OPEN)
}

/// Whether a record's session has ended.
pub(super) fn is_closed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&CLOSED)
}

/// Whether a record's session is marked to stop.
pub(super) fn is_stopping(bytes: &[u8]) -> bool {
    bytes.first() == Some(&STOPPING)
}

/// Marks a record's session to stop; false if it was marked before, or has ended.
pub(super) fn stop(bytes: &mut [u8]) -> bool {
    match bytes.first_mut() {
        Some(status) if *status == OPEN => {
            *status = STOPPING;
            true
        }
        _ => false,
    }
}

/// Whether a record's call was ended by others than its worker.
pub(super) fn is_hung_up(bytes: &[u8]) -> bool {
    bytes.first() == Some(&HUNG_UP)
}

/// Marks that a record's call was ended by others; false if it was marked before, or has ended otherwise.
pub(super) fn hang_up(bytes: &mut [u8]) -> bool {
    match bytes.first_mut() {
        Some(status) if matches!(*status, OPEN | STOPPING) => {
            *status = HUNG_UP;
            true
        }
        _ => false,
    }
}

fn id_of(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(1..HEAD)
}

pub(in crate::process) fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return put_number(out, 0) };
    let (text, _) = text.split_at(text.floor_char_boundary(MAX_TEXT));
    put_number(out, 1);
    put_bytes(out, text.as_bytes());
}

pub(in crate::process) fn text(reader: &mut Reader<'_>) -> Result<Option<String>, Corrupt> {
    match reader.number()? {
        0 => Ok(None),
        1 => reader.text().map(|text| Some(text.to_owned())),
        _ => Err(Corrupt),
    }
}

pub(in crate::process) fn put_close(out: &mut Vec<u8>, close: Option<&Close>) {
    let Some(Close { by, code, reason, limit }) = close else { return out.push(0) };
    out.push(match by {
        ClosedBy::Client => 1,
        ClosedBy::Upstream => 2,
        ClosedBy::Gateway => 3,
    });
    put_number(out, u64::from(*code));
    put_text(out, Some(reason));
    put_text(out, limit.map(Limit::as_str));
}

pub(in crate::process) fn close(reader: &mut Reader<'_>) -> Result<Option<Close>, Corrupt> {
    let by = match reader.byte()? {
        0 => return Ok(None),
        1 => ClosedBy::Client,
        2 => ClosedBy::Upstream,
        3 => ClosedBy::Gateway,
        _ => return Err(Corrupt),
    };
    let code = u16::try_from(reader.number()?).map_err(|_| Corrupt)?;
    let reason = text(reader)?.ok_or(Corrupt)?;
    let limit = text(reader)?.map(|name| name.parse()).transpose().map_err(|UnknownLimit| Corrupt)?;
    Ok(Some(Close { by, code, reason, limit }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::record;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let open = record(7, 1_767_323_045);
        let closed = Record {
            kind: Transport::WebRtc,
            status: Status::Closed,
            upstream_id: None,
            user: Some(String::new()),
            model: None,
            close: Some(Close { by: ClosedBy::Upstream, code: 1011, reason: "é".into(), limit: None }),
            incomplete: true,
            estimated: Estimated { tokens: 300, milliseconds: 1200 },
            ..record(u128::MAX, 0)
        };
        let limit = Some(Limit::SessionCost);
        let limited = Record {
            close: Some(Close { by: ClosedBy::Gateway, code: 4429, reason: "budget_exceeded".into(), limit }),
            ..closed.clone()
        };
        for record in [open, closed, limited] {
            let bytes = encode(&record, record.status);
            assert_eq!(decode(&bytes), Ok(record.clone()));
            assert_eq!((id(&bytes), is_closed(&bytes)), (Some(record.id), record.status == Status::Closed));
            for len in 0..bytes.len() {
                assert_eq!(decode(&bytes[..len]), Err(Corrupt), "{len}");
            }
        }
        assert!(encode(&record(7, 0), Status::Open).len() < 160);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let long = Record { model: Some(format!("{}é", "m".repeat(511))), ..record(7, 0) };
        let stored = decode(&encode(&long, Status::Open)).unwrap();
        assert_eq!(stored.model, Some("m".repeat(511)));
    }

    #[test]
    fn only_an_open_session_is_marked_to_stop() {
        for (status, is_marked, stopping) in
            [(Status::Open, true, true), (Status::Stopping, false, true), (Status::Closed, false, false)]
        {
            let mut bytes = encode(&record(7, 0), status);
            assert_eq!(stop(&mut bytes), is_marked);
            assert_eq!(is_stopping(&bytes), stopping);
        }
    }

    #[test]
    fn only_a_session_that_runs_is_hung_up() {
        for (status, is_marked) in [(Status::Open, true), (Status::Stopping, true), (Status::Closed, false)] {
            let mut bytes = encode(&record(7, 0), status);
            assert_eq!((hang_up(&mut bytes), is_hung_up(&bytes)), (is_marked, is_marked));
            assert!(!hang_up(&mut bytes) && !stop(&mut bytes));
            let seen = if is_marked { Status::Stopping } else { status };
            assert_eq!(decode(&bytes).map(|record| record.status), Ok(seen));
        }
    }

    proptest! {
        #[test]
        fn damage_is_found_or_is_a_record(at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = encode(&record(7, 1_767_323_045), Status::Open);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(record) = decode(&bytes) {
                prop_assert!(decode(&encode(&record, record.status)).is_ok());
            }
        }

        #[test]
        fn any_bytes_are_a_record_or_damage(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let _ = id(&bytes);
        }
    }
}
