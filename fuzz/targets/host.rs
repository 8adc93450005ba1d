//! A host for the core, with Envoy left out, and requests as text: what each input of a target is made of.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use realtime_byok::host::{
    Attribute, Callout, CalloutId, HeaderMap, NoRandomness, Property, PropertyPath, StreamHost, Unsent, WorkerHost,
};
use realtime_byok::http::{Edit, Edits, Headers};
use realtime_byok::process::{CasMismatch, Entry, SharedData};

/// Header lines, names in lower case.
pub(super) type Lines = Vec<(String, Vec<u8>)>;

/// Seconds since 1970 when everything happens: 2026-11-15.
pub(super) const NOW: u64 = 1_794_700_800;

/// What Envoy knows within a callback.
#[derive(Default)]
pub(super) struct Host {
    pub(super) seconds: u64,
    pub(super) attributes: Vec<(Attribute, Vec<u8>)>,
    pub(super) request: Lines,
    pub(super) trailers: Lines,
    pub(super) response: Lines,
    pub(super) response_trailers: Lines,
    /// How many callouts were sent.
    pub(super) sent: u32,
    /// What all random bytes are.
    pub(super) random: u8,
}

/// A request or response as text: what stands in its first line, header lines, and after an empty line a body.
pub(super) struct Message<'a> {
    pub(super) first: &'a [u8],
    pub(super) lines: Lines,
    pub(super) body: Option<&'a [u8]>,
}

/// Headers whose repeated lines Envoy joins by a comma before any filter sees them.
const JOINED: [&str; 7] =
    ["authorization", "connection", "content-encoding", "content-type", "origin", "upgrade", "user-agent"];

impl<'a> Message<'a> {
    /// Reads any bytes; lines that Envoy's codecs let no peer send are left out.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
            Some(at) => (&bytes[..at], Some(&bytes[at + 2..])),
            None => (bytes, None),
        };
        let mut all = head.split(|&byte| byte == b'\n');
        let first = all.next().unwrap_or_default();
        let mut lines = Lines::new();
        for line in all {
            let Some(colon) = line.iter().skip(1).position(|&byte| byte == b':') else { continue };
            let (name, value) = (&line[..=colon], line[colon + 2..].trim_ascii());
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~!#$%&'*+^`|".contains(byte);
            if !name.iter().all(is_name) || value.iter().any(|byte| b"\0\r".contains(byte)) {
                continue;
            }
            add(&mut lines, &String::from_utf8_lossy(name).to_ascii_lowercase(), value);
        }
        Self { first, lines, body }
    }
}

fn add(lines: &mut Lines, name: &str, value: &[u8]) {
    match lines.iter_mut().find(|(known, _)| known == name && JOINED.contains(&name)) {
        Some((_, joined)) => *joined = [joined, b",".as_slice(), value].concat(),
        None => lines.push((name.to_owned(), value.to_vec())),
    }
}

/// Does to header lines what a host would do.
pub(super) fn edit(lines: &mut Lines, edits: &Edits) {
    for edit in edits.iter() {
        lines.retain(|(name, _)| name != edit.name());
        if let Edit::Set(name, value) = edit {
            assert!(
                !value.as_bytes().iter().any(|byte| b"\0\r\n".contains(byte)),
                "{} is set to no header's value",
                &**name
            );
            lines.push((name.to_string(), value.as_bytes().to_vec()));
        }
    }
}

/// The opening of a WebSocket of the web app's.
pub(super) fn upgrade(path: &str) -> Lines {
    let lines = [
        (":method", "GET"),
        (":path", path),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("authorization", "Bearer token-of-the-web-app-0001"),
    ];
    lines.map(|(name, value)| (name.to_owned(), value.into())).to_vec()
}

/// All values of a name, in order.
pub(super) fn all<'a>(lines: &'a Lines, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    lines.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
}

impl Host {
    /// A stream of a route of this name, over HTTP/1.1.
    pub(super) fn on_route(name: &[u8]) -> Self {
        let attributes = vec![(Attribute::Protocol, b"HTTP/1.1".to_vec()), (Attribute::RouteName, name.to_vec())];
        Self { seconds: NOW, attributes, random: 7, ..Self::default() }
    }

    fn lines(&self, of: HeaderMap) -> &Lines {
        match of {
            HeaderMap::Request => &self.request,
            HeaderMap::RequestTrailers => &self.trailers,
            HeaderMap::Response => &self.response,
            HeaderMap::ResponseTrailers => &self.response_trailers,
        }
    }

    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds)
    }
}

impl StreamHost for Host {
    fn now(&self) -> SystemTime {
        self.time()
    }

    fn random(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        out.fill(self.random);
        Ok(())
    }

    fn attribute(&self, of: Attribute) -> Option<Vec<u8>> {
        self.attributes.iter().rfind(|(known, _)| *known == of).map(|(_, value)| value.clone())
    }

    /// No plan of a target asks for one.
    fn property(&self, _: &PropertyPath) -> Option<Property> {
        None
    }

    fn headers(&self, of: HeaderMap) -> Headers {
        self.lines(of).iter().map(|(name, value)| (name, value)).collect()
    }
}

impl WorkerHost for Host {
    fn now(&self) -> SystemTime {
        self.time()
    }

    fn send(&mut self, _: &Callout) -> Result<CalloutId, Unsent> {
        self.sent += 1;
        Ok(CalloutId(self.sent))
    }
}

/// Shared data as Envoy has it.
#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<String, (Vec<u8>, u32)>>);

impl SharedData for Memory {
    fn read(&self, key: &str) -> Entry {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).map_or_else(Entry::absent, |(bytes, cas)| Entry { bytes: bytes.clone(), cas: *cas })
    }

    fn write(&self, key: &str, bytes: &[u8], cas: u32) -> Result<(), CasMismatch> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(key.to_owned()).or_insert_with(|| (Vec::new(), cas));
        if cas != 0 && cas != entry.1 {
            return Err(CasMismatch);
        }
        *entry = (bytes.to_vec(), entry.1.wrapping_add(1).max(1));
        Ok(())
    }
}
