//! One HTTP stream between a client and an upstream, as far as the filter has to do with it.

use std::collections::BTreeMap;
use std::mem::take;

use super::golden::On;
use super::{Lines, call, exports, worker};

/// A request as the upstream gets it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its header lines.
    pub lines: Lines,
    /// Its body, as far as it has come.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Lines,
}

/// A response as the client gets it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its header lines, `:status` among them.
    pub lines: Lines,
    /// Its body; of a local reply only.
    pub body: Vec<u8>,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: String,
}

/// What became of a request so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It waits in the filter.
    Waiting,
    /// It is with the upstream.
    Forwarded(Message),
    /// The client has its answer, and the upstream never heard of it.
    Answered(Answer),
    /// It was cut.
    Reset,
}

/// The maps of the ABI that a stream has.
const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const RESPONSE_HEADERS: u32 = 2;
const RESPONSE_TRAILERS: u32 = 3;

/// One stream.
#[derive(Default, Debug)]
pub(super) struct Stream {
    /// The maps and buffers that a hostcall can use now.
    maps: BTreeMap<u32, Lines>,
    request_body: Option<Vec<u8>>,
    response_body: Option<Vec<u8>>,
    /// What the client got of it.
    received: Vec<u8>,
    pub properties: BTreeMap<String, Vec<u8>>,
    /// Set while the body gathers because the filter waits for more of it.
    is_buffering: bool,
    /// Set if the request's headers waited in the filter: of one that did not, Envoy forgets them for as long as it is
    /// answered.
    has_waited: bool,
    /// Set while the filter is called for a part of the response.
    is_answering: bool,
    forwarded: Option<Message>,
    response: Option<Answer>,
    /// What the filter answers; Envoy sends it after the callback.
    reply: Option<Answer>,
    is_reset: bool,
    /// Set while the response's headers wait for its body.
    is_response_waiting: bool,
    /// Set once a hostcall has failed: then whatever comes may have to wait for ever.
    pub(super) has_failed: bool,
}

impl Stream {
    /// The lines of a map, if it can be used in this callback.
    pub fn map(&mut self, map: u32) -> Option<&mut Lines> {
        self.maps.get_mut(&map)
    }

    /// The bytes of a buffer, if it can be used in this callback.
    pub fn body(&mut self, is_request: bool) -> Option<&mut Vec<u8>> {
        if is_request { self.request_body.as_mut() } else { self.response_body.as_mut() }
    }

    /// The property at a path whose parts are separated by NUL.
    pub fn property(&self, path: &str) -> Option<Vec<u8>> {
        if let Some(name) = path.strip_prefix("response\0headers\0") {
            return self.maps.get(&RESPONSE_HEADERS)?.joined(name);
        }
        let is_forgotten = self.is_answering && !self.has_waited && matches!(path, "request\0path" | "request\0host");
        self.properties.get(path).filter(|_| !is_forgotten).cloned()
    }

    /// Notes what the filter answers. Envoy ignores any answer after the first.
    pub fn reply(&mut self, status: u32, details: &str, headers: Lines, body: Vec<u8>) {
        let mut lines = Lines::from_iter([(":status", status.to_string())]);
        headers.iter().for_each(|(name, value)| lines.add(name, value));
        lines.add("content-length", body.len().to_string());
        self.reply.get_or_insert(Answer { lines, body, details: details.to_owned() });
    }

    /// Cuts the stream.
    pub fn reset(&mut self) {
        self.is_reset = true;
    }

    fn fate(&self) -> Fate {
        match (&self.forwarded, &self.response) {
            _ if self.is_reset => Fate::Reset,
            (Some(message), _) => Fate::Forwarded(message.clone()),
            (None, Some(answer)) => Fate::Answered(answer.clone()),
            (None, None) => Fate::Waiting,
        }
    }

    /// Whether the filter is called no more: the client has its answer, or the stream is cut.
    fn is_over(&self) -> bool {
        self.is_reset || (self.forwarded.is_none() && self.response.is_some())
    }

    /// Whether what comes as its response is the filter's own answer.
    pub(super) fn is_answered_here(&self) -> bool {
        self.properties.get("response\0code_details").is_some_and(|details| details.starts_with(b"realtime_byok."))
    }

    /// Whether what the upstream answers may hold what the client must not see: a secret, or the id of a call.
    fn is_sealed(&self) -> bool {
        let path = self.forwarded.as_ref().and_then(|message| message.lines.first(":path"));
        let has = |part: &[u8]| path.is_some_and(|path| path.windows(part.len()).any(|found| found == part));
        has(b"client_secrets") || has(b"/live/sessions")
    }

    /// The response's header lines go on to the client.
    fn respond(&mut self) {
        self.is_response_waiting = false;
        let lines = self.maps.remove(&RESPONSE_HEADERS).unwrap_or_default();
        let details = self.properties.get("response\0code_details").cloned().unwrap_or_default();
        let details = String::from_utf8(details).expect("text");
        self.response.get_or_insert(Answer { lines, details, ..Answer::default() });
    }

    /// What waited goes on to the upstream.
    fn forward(&mut self) {
        self.is_buffering = false;
        let body = self.request_body.take().unwrap_or_default();
        if let Some(lines) = self.maps.remove(&REQUEST_HEADERS) {
            self.forwarded.get_or_insert_default().lines = lines;
        }
        if let Some(message) = &mut self.forwarded {
            message.body.extend(body);
        }
    }
}

/// Uses a stream of this worker.
fn stream<T>(context: u32, use_it: impl FnOnce(&mut Stream) -> T) -> T {
    worker(|worker| use_it(worker.streams.get_mut(&context).expect("an open stream")))
}

/// What became of a stream's request so far.
pub(super) fn fate(context: u32) -> Fate {
    stream(context, |stream| stream.fate())
}

/// Whether Envoy has nothing more to tell the filter of a stream.
pub(super) fn is_over(context: u32) -> bool {
    stream(context, |stream| stream.is_over())
}

/// A property of a stream.
pub(super) fn property(context: u32, path: &str) -> Option<Vec<u8>> {
    stream(context, |stream| stream.property(path))
}

/// The trailers of a request as the upstream has them.
pub(super) fn trailers(context: u32) -> Option<Lines> {
    stream(context, |stream| stream.forwarded.as_ref().map(|message| message.trailers.clone()))
}

/// All of the filter's own that Envoy keeps with a stream.
pub(super) fn filter_state(context: u32) -> Vec<(String, Vec<u8>)> {
    let own = |(path, value): (&String, &Vec<u8>)| path.starts_with("wasm.").then(|| (path.clone(), value.clone()));
    stream(context, |stream| stream.properties.iter().filter_map(own).collect())
}

/// The answer that the client has, if it has one.
pub(super) fn answer(context: u32) -> Option<Answer> {
    stream(context, |stream| stream.response.clone())
}

/// The request's headers come.
pub(super) fn request_headers(context: u32, lines: Lines, ends: bool) {
    let count = lines.count();
    stream(context, |stream| stream.maps.insert(REQUEST_HEADERS, lines));
    let action = call(context, &On::Lines(REQUEST_HEADERS, ends), || exports::request_headers(context, count, ends));
    stream(context, |stream| {
        stream.has_waited = action != exports::CONTINUE;
        if action == exports::CONTINUE && !stream.is_over() {
            stream.forward();
        }
    });
}

/// More of the request's body comes.
pub(super) fn request_body(context: u32, chunk: &[u8], ends: bool) {
    let size = stream(context, |stream| {
        let body = stream.request_body.get_or_insert_default();
        if !stream.is_buffering {
            body.clear();
        }
        body.extend(chunk);
        body.len()
    });
    let action = call(context, &On::Body("request_body", chunk, ends), || exports::request_body(context, size, ends));
    stream(context, |stream| match action {
        _ if stream.is_over() => {}
        exports::CONTINUE => stream.forward(),
        _ => stream.is_buffering = true,
    });
}

/// The request's trailers come, which end it.
pub(super) fn request_trailers(context: u32, lines: Lines) {
    let count = lines.count();
    stream(context, |stream| stream.maps.insert(REQUEST_TRAILERS, lines));
    let action = call(context, &On::Lines(REQUEST_TRAILERS, true), || exports::request_trailers(context, count));
    stream(context, |stream| {
        if action == exports::CONTINUE && !stream.is_over() {
            let trailers = stream.maps.remove(&REQUEST_TRAILERS).unwrap_or_default();
            stream.forward();
            stream.forwarded.get_or_insert_default().trailers = trailers;
        }
    });
}

/// The response's headers come. `details` say from where: `via_upstream`, or what Envoy says of its own.
pub(super) fn response_headers(context: u32, lines: Lines, details: &str) {
    let count = lines.count();
    stream(context, |stream| {
        stream.properties.insert("response\0code_details".into(), details.into());
        stream.maps.insert(RESPONSE_HEADERS, lines);
        stream.is_answering = true;
    });
    let on = On::Lines(RESPONSE_HEADERS, false);
    let action = call(context, &on, || exports::response_headers(context, count, false));
    stream(context, |stream| {
        stream.is_answering = false;
        let is_answered = stream.response.is_some() || stream.is_reset;
        stream.is_response_waiting = action != exports::CONTINUE && !is_answered;
        let may_wait = stream.is_sealed() || stream.has_failed;
        assert!(!stream.is_response_waiting || may_wait, "a response waits, and nothing will ever let it go on");
        if !stream.is_response_waiting {
            stream.respond();
        }
    });
}

/// Some of the response's body comes.
pub(super) fn response_body(context: u32, chunk: &[u8], ends: bool) {
    let size = stream(context, |stream| {
        stream.is_answering = true;
        let waiting = stream.response_body.take().filter(|_| stream.is_response_waiting).unwrap_or_default();
        stream.response_body.insert([waiting.as_slice(), chunk].concat()).len()
    });
    let on = On::Body("response_body", chunk, ends);
    let action = call(context, &on, || exports::response_body(context, size, ends));
    stream(context, |stream| {
        stream.is_answering = false;
        let waits = action != exports::CONTINUE && stream.response.is_none() && !stream.is_reset;
        let may_wait = stream.is_response_waiting && !ends || stream.has_failed;
        assert!(!waits || may_wait, "a response's body never waits without its headers");
        if !waits {
            stream.respond();
            stream.received.extend(stream.response_body.iter().flatten());
        }
    });
}

/// The path of a request that was not forwarded.
pub(super) fn logged_path(context: u32) -> String {
    let first = |stream: &mut Stream| stream.map(REQUEST_HEADERS)?.first(":path").map(<[u8]>::to_vec);
    String::from_utf8(stream(context, first).expect("a path")).expect("UTF-8")
}

/// All of the response's body that the client got.
pub(super) fn received(context: u32) -> Vec<u8> {
    stream(context, |stream| stream.received.clone())
}

/// The response's trailers come, which end it.
pub(super) fn response_trailers(context: u32, lines: Lines) {
    let count = lines.count();
    stream(context, |stream| stream.maps.insert(RESPONSE_TRAILERS, lines));
    let action = call(context, &On::Lines(RESPONSE_TRAILERS, true), || exports::response_trailers(context, count));
    let may_wait = stream(context, |stream| stream.has_failed);
    assert!(action == exports::CONTINUE || may_wait, "a response's trailers never wait");
}

/// The response's trailers that the client got, as text.
pub(super) fn received_trailers(context: u32) -> Vec<String> {
    stream(context, |stream| stream.map(RESPONSE_TRAILERS).map(|lines| lines.text()).unwrap_or_default())
}

/// Sends what the filter answered. An answer to a request passes through the filter's own response callbacks; one to a
/// response replaces it.
pub(super) fn deliver_replies() {
    let take_one = || {
        worker(|worker| worker.streams.iter_mut().find_map(|(context, stream)| Some((*context, stream.reply.take()?))))
    };
    while let Some((context, reply)) = take_one() {
        let is_response = stream(context, |stream| stream.maps.contains_key(&RESPONSE_HEADERS));
        if is_response {
            stream(context, |stream| stream.response = Some(reply));
            continue;
        }
        let Answer { lines, body, details } = reply;
        response_headers(context, lines, &details);
        response_body(context, &body, true);
        stream(context, |stream| {
            if let Some(answer) = &mut stream.response {
                answer.body = take(&mut stream.response_body).unwrap_or_default();
            }
        });
    }
}
