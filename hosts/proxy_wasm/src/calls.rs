//! Hostcalls in the core's terms.

use std::time::Duration;

use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::types::{BufferType, MapType, Status};

use super::abi;
use realtime_byok::call::Hangup;
use realtime_byok::denial::Denial;
use realtime_byok::http::{Edit, Edits, Headers, Span};
use realtime_byok::local_reply::LocalReply;
use realtime_byok::stream::RestUsage;
use realtime_byok::usage::{MicroUsd, Record};
use realtime_byok::ws::ReadBuffer;

/// How long an upstream may take to end a call.
const HANGUP_TIMEOUT: Duration = Duration::from_secs(5);

/// All header lines of the request.
pub fn request_headers() -> Headers {
    abi::header_map_pairs(MapType::HttpRequestHeaders).and_then(lines).unwrap_or_default()
}

/// All trailer lines of the request.
pub fn request_trailers() -> Headers {
    abi::header_map_pairs(MapType::HttpRequestTrailers).and_then(lines).unwrap_or_default()
}

/// Makes the edits; the first that fails ends it.
pub fn edit(map: MapType, edits: &Edits) -> Result<(), Status> {
    edits.iter().try_for_each(|edit| match edit {
        Edit::Remove(name) => abi::remove_header_map_value(map, name),
        Edit::Set(name, value) => abi::replace_header_map_value(map, name, value.as_bytes()),
    })
}

/// Answers the stream with a denial.
pub fn deny(denial: &Denial) -> Result<(), Status> {
    reply(&denial.local_reply(), &denial.code.details())
}

/// Answers the stream.
pub fn reply(reply: &LocalReply, details: &str) -> Result<(), Status> {
    abi::send_local_response(reply.status, details, &serialized(&reply.headers), &reply.body)
}

/// Leaves what is known of a session for the access log.
pub fn log_session(record: &Record) {
    log_call(record);
    if let Some(close) = &record.close {
        log("realtime_byok.code", &close.code.to_string());
        log("realtime_byok.close", &close.reason);
    }
    log("realtime_byok.duration", &record.duration_ms.to_string());
    log("realtime_byok.tokens", &record.usage.total_tokens.to_string());
    log("realtime_byok.cost", &dollars(record.cost_usd));
}

/// Leaves for the access log what is known of a call that has begun.
pub fn log_call(record: &Record) {
    log("realtime_byok.id", &record.id.to_string());
    log("realtime_byok.caller", &record.caller);
    log("realtime_byok.user", record.user.as_deref().unwrap_or_default());
    log("realtime_byok.policy", &record.policy);
    log("realtime_byok.provider", &record.provider);
    log("realtime_byok.model", record.model.as_deref().unwrap_or_default());
}

/// Leaves what is known of a REST exchange for the access log. Tokens and cost that were not told are not known.
pub fn log_exchange(used: &RestUsage) {
    log("realtime_byok.caller", &used.caller.name);
    log("realtime_byok.policy", &used.policy.name);
    log("realtime_byok.provider", &used.provider.name);
    log("realtime_byok.model", used.model.as_deref().unwrap_or_default());
    if used.is_reported() {
        log("realtime_byok.tokens", &used.usage.total_tokens.to_string());
        log("realtime_byok.cost", &dollars(used.cost));
    }
}

/// Leaves one field for the access log, unless it is empty.
fn log(field: &str, value: &str) {
    if !value.is_empty() {
        // A field that cannot be set is missing in the access log, and nothing else.
        let _ = abi::set_property(field, value.as_bytes());
    }
}

fn dollars(cost: MicroUsd) -> String {
    format!("{}.{:06}", cost.0 / 1_000_000, cost.0 % 1_000_000)
}

/// One read of a WebSocket, in Envoy's buffer.
pub struct Read {
    /// Which way it goes.
    pub buffer: BufferType,
    /// How many bytes it holds.
    pub size: usize,
}

impl ReadBuffer for &Read {
    fn size(&self) -> usize {
        self.size
    }

    fn read(&mut self, offset: usize, length: usize) -> Option<Vec<u8>> {
        abi::buffer(self.buffer, offset, length)
    }
}

/// Puts `bytes` in the place of what a read holds from an offset on. Envoy replaces all of a buffer or nothing of it.
pub fn replace(read: &Read, from: usize, bytes: &[u8]) -> Result<(), Status> {
    let kept = if from == 0 { Vec::new() } else { abi::buffer(read.buffer, 0, from).ok_or(Status::InternalFailure)? };
    abi::set_buffer(read.buffer, 0, read.size, &[kept.as_slice(), bytes].concat())
}

/// All of the response's body that has come.
pub fn response_body(size: usize) -> Vec<u8> {
    abi::buffer(BufferType::HttpResponseBody, 0, size).unwrap_or_default()
}

/// Replaces all of the response's body, `size` bytes so far.
pub fn set_response_body(size: usize, body: &[u8]) -> Result<(), Status> {
    abi::set_buffer(BufferType::HttpResponseBody, 0, size, body)
}

/// Sends the request that ends a call, and gives its number; its answer comes to the root.
pub fn hang_up(hangup: &Hangup) -> Result<u32, Status> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Status::BadArgument);
    let mut headers = vec![
        (":method", "POST"),
        (":path", text(&hangup.path)?),
        (":authority", &hangup.authority),
        (":scheme", "https"),
        ("content-length", "0"),
    ];
    for (name, value) in &hangup.headers {
        headers.push((name, text(value.expose())?));
    }
    dispatch_http_call(&hangup.cluster, headers, None, Vec::new(), HANGUP_TIMEOUT)
}

/// All of the request's body that has come.
pub fn request_body(size: usize) -> Vec<u8> {
    abi::buffer(BufferType::HttpRequestBody, 0, size).unwrap_or_default()
}

/// Replaces all of the request's body, `size` bytes so far.
pub fn set_request_body(size: usize, body: &[u8]) -> Result<(), Status> {
    abi::set_buffer(BufferType::HttpRequestBody, 0, size, body)
}

/// The lines of a serialized map: their number, all pairs of lengths, then name and value of each, a NUL behind both.
/// Numbers are 32 bits, little-endian.
fn lines(buffer: Vec<u8>) -> Option<Headers> {
    let mut words = buffer.as_chunks::<4>().0.iter().map(|&word| usize::try_from(u32::from_le_bytes(word)).ok());
    let count = words.next().flatten()?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut spans = Vec::with_capacity(count.min(words.len() / 2));
    for _ in 0..count {
        let (name, value) = (words.next().flatten()?, words.next().flatten()?);
        let name = at..at.checked_add(name)?;
        let value = name.end.checked_add(1)?..name.end.checked_add(1)?.checked_add(value)?;
        at = value.end.checked_add(1)?;
        spans.push(Span { name, value });
    }
    Some(Headers::new(buffer, spans))
}

fn serialized<T: AsRef<str>>(headers: &[(&str, T)]) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or_default().to_le_bytes();
    let mut bytes = u32::try_from(headers.len()).unwrap_or_default().to_le_bytes().to_vec();
    for (name, value) in headers {
        bytes.extend(length(name));
        bytes.extend(length(value.as_ref()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value.as_ref()]) {
        bytes.extend(text.bytes());
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serialized_map_reads_back() {
        let headers = lines(serialized(&[(":path", "/"), ("a", ""), ("a", "b")])).unwrap();
        let want = [(":path", "/"), ("a", ""), ("a", "b")].map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(headers.iter().collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_map_that_is_cut_short_or_lies_about_its_size_does_not_trap() {
        let whole = serialized(&[("name", "value"), ("a", "b")]);
        for end in 0..whole.len() {
            if let Some(headers) = lines(whole[..end].to_vec()) {
                assert!(headers.iter().all(|(name, value)| name.len() + value.len() < 10));
            }
        }
        assert!(lines(vec![0xff; 64]).is_none());
    }
}
