//! The record of a session, while it runs and at its end.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limit::Limit;
use super::price::MicroUsd;
use super::tally::Tally;
use crate::json::fraction::Fraction;

/// What is known about one session; as JSON, what the control API answers and event services receive. What is not
/// known is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The session's id in this gateway.
    pub id: RecordId,
    /// What carries it.
    pub kind: Transport,
    /// Whether it still runs.
    pub status: Status,
    /// Its id at the upstream: `sess_…`, or a call's.
    pub upstream_id: Option<String>,
    /// The caller whose token opened it.
    pub caller: String,
    /// The user whom a sealed secret names.
    pub user: Option<String>,
    /// The policy that it is under.
    pub policy: String,
    /// The provider that it goes to.
    pub provider: String,
    /// The upstream's model.
    pub model: Option<String>,
    /// When the upstream accepted it.
    pub started_at: Timestamp,
    /// How long it has run.
    pub duration_ms: u64,
    /// How long nothing has come from either side.
    pub idle_ms: u64,
    /// What it has used.
    pub usage: Tally,
    /// What that costs, in dollars.
    pub cost_usd: MicroUsd,
    /// Frames that came from either side.
    pub frames: Traffic,
    /// Bytes that came from either side.
    pub bytes: Traffic,
    /// How it ended; null while it is open.
    pub close: Option<Close>,
    /// The usage is not all: some of the session could not be followed. Left out when false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub incomplete: bool,
    /// What of the usage is an estimate. Left out where nothing is.
    #[serde(default, skip_serializing_if = "Estimated::is_nothing")]
    pub estimated: Estimated,
}

/// What of a session's usage nobody told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimated {
    /// Tokens of the usage.
    pub tokens: u64,
    /// Audio of the usage that is priced by its duration. As JSON, a number of seconds, left out where there is none.
    #[serde(default, rename = "seconds", with = "Fraction::<1_000>", skip_serializing_if = "is_zero")]
    pub milliseconds: u64,
}

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A WebSocket through this gateway.
    WebSocket,
    /// A WebRTC call whose media goes past it.
    WebRtc,
}

/// Whether a session still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It runs.
    Open,
    /// It has been told to end.
    Stopping,
    /// It has ended.
    Closed,
}

/// Counts by the side that they came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// From the client.
    pub client: u64,
    /// From the upstream.
    pub upstream: u64,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Who ended it.
    pub by: ClosedBy,
    /// The Close frame's status code; 1005 when it had none, 1006 when there was no Close frame (RFC 6455, section 7.4.1). A
    /// call that the client's side has hung up has 1000.
    pub code: u16,
    /// The Close frame's reason; of a session that Envoy has cut, Envoy's name for why.
    pub reason: String,
    /// The limit that was reached, where one was. Left out where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClosedBy {
    /// The client.
    Client,
    /// The upstream.
    Upstream,
    /// This gateway: a limit, a policy, an operator, Envoy.
    Gateway,
}

impl Estimated {
    /// Whether all was told.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Close {
    /// Of a session that no Close frame ended (RFC 6455, section 7.4.1).
    pub fn abnormal(by: ClosedBy, reason: impl Into<String>) -> Self {
        Self { by, code: ABNORMAL_CLOSURE, reason: reason.into(), limit: None }
    }

    /// Whether no Close frame ended the session.
    pub fn is_abnormal(&self) -> bool {
        self.code == ABNORMAL_CLOSURE
    }
}

impl ClosedBy {
    /// As records and logs have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// A session's id: `rb_` and 32 lowercase hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(u128);

/// A point in time to the millisecond, from 1970 to 9999. As JSON, RFC 3339 in UTC: `2026-01-02T03:04:05.678Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Milliseconds since 1970.
    millis: u64,
}

/// A text that is no session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidRecordId;

const ID_PREFIX: &str = "rb_";
const ID_DIGITS: usize = 32;

/// RFC 6455 section 7.4.1: the connection was closed without a Close frame.
const ABNORMAL_CLOSURE: u16 = 1006;

/// The last millisecond of the year 9999, the last that RFC 3339 can write.
const LAST_MILLI: u64 = 253_402_300_799_999;

impl RecordId {
    /// The id of these random bits.
    pub fn new(random: u128) -> Self {
        Self(random)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each session's end shows it: the general way to write a number takes five times as long.
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
        let mut digits = [0; ID_DIGITS];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(self.0.to_be_bytes()) {
            *pair = [digit(byte >> 4), digit(byte & 0xf)];
        }
        formatter.write_str(ID_PREFIX)?;
        formatter.write_str(str::from_utf8(&digits).unwrap_or_default())
    }
}

impl FromStr for RecordId {
    type Err = InvalidRecordId;

    fn from_str(text: &str) -> Result<Self, InvalidRecordId> {
        let digits = text.strip_prefix(ID_PREFIX).ok_or(InvalidRecordId)?;
        if digits.len() != ID_DIGITS || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidRecordId);
        }
        u128::from_str_radix(digits, 16).map(Self).map_err(|_| InvalidRecordId)
    }
}

impl fmt::Display for InvalidRecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected {ID_PREFIX} and {ID_DIGITS} lowercase hex digits")
    }
}

impl std::error::Error for InvalidRecordId {}

impl Serialize for RecordId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'a> Deserialize<'a> for RecordId {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl From<SystemTime> for Timestamp {
    /// What is out of range becomes its nearest end.
    fn from(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { millis: u64::try_from(since_1970.as_millis()).unwrap_or(LAST_MILLI).min(LAST_MILLI) }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(timestamp.millis)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis((*self).into()).fmt(formatter)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'a> Deserialize<'a> for Timestamp {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self::from).map_err(D::Error::custom)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn record() -> Record {
        Record {
            status: Status::Closed,
            started_at: Timestamp::from(UNIX_EPOCH + Duration::from_millis(1_767_323_045_678)),
            duration_ms: 81234,
            usage: Tally::default(),
            bytes: Traffic::default(),
            close: Some(Close { by: ClosedBy::Client, code: 1000, reason: String::new(), limit: None }),
            ..testing::record(0xab, 0)
        }
    }

    #[test]
    fn json_has_the_names_and_the_order_of_the_contract() {
        let json = concat!(
            r#"{"id":"rb_000000000000000000000000000000ab","kind":"websocket","status":"closed","upstream_id":"sess_1","#,
            r#""caller":"web-app","user":null,"policy":"voice","provider":"openai","model":"gpt-realtime","#,
            r#""started_at":"2026-01-02T03:04:05.678Z","duration_ms":81234,"idle_ms":0,"#,
            r#""usage":{"responses":0,"input_tokens":0,"output_tokens":0,"total_tokens":0,"#,
            r#""input":{"text":0,"audio":0,"image":0,"cached_text":0,"cached_audio":0,"cached_image":0},"#,
            r#""output":{"text":0,"audio":0},"transcription":{"tokens":0,"seconds":0}},"#,
            r#""cost_usd":0.41,"frames":{"client":4100,"upstream":3900},"bytes":{"client":0,"upstream":0},"#,
            r#""close":{"by":"client","code":1000,"reason":""}}"#
        );
        assert_eq!(serde_json::to_string(&record()).unwrap(), json);
        assert_eq!(serde_json::from_str::<Record>(json).unwrap(), record());
    }

    #[test]
    fn an_incomplete_record_says_so_and_an_open_one_has_no_close() {
        let open = Record {
            status: Status::Stopping,
            kind: Transport::WebRtc,
            close: None,
            incomplete: true,
            estimated: Estimated { tokens: 7, milliseconds: 0 },
            ..record()
        };
        let json = serde_json::to_string(&open).unwrap();
        assert!(json.ends_with(r#","close":null,"incomplete":true,"estimated":{"tokens":7}}"#), "{json}");
        assert!(json.contains(r#""kind":"webrtc","status":"stopping""#), "{json}");
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), open);
    }

    #[test]
    fn ids_are_written_one_way_only() {
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef] {
            let id = RecordId::new(bits);
            assert_eq!(id.to_string().len(), 35);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let id = RecordId::new(u128::MAX).to_string();
        for bad in [
            "",
            "rb_",
            &id[3..],
            &id.to_uppercase(),
            &id[..34],
            &format!("{id}f"),
            "rb_+000000000000000000000000000000f",
        ] {
            assert_eq!(bad.parse::<RecordId>(), Err(InvalidRecordId), "{bad}");
        }
    }

    #[test]
    fn times_out_of_range_become_its_ends() {
        let before = Timestamp::from(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(before.to_string(), "1970-01-01T00:00:00.000Z");
        let after = Timestamp::from(UNIX_EPOCH + Duration::from_secs(300_000_000_000));
        assert_eq!(serde_json::to_string(&after).unwrap(), "\"9999-12-31T23:59:59.999Z\"");
    }
}
