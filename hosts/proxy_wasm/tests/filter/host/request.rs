//! A client's request, and what comes of it.

use super::golden::On;
use super::stream::{self, Answer, Fate, Message};
use super::vm::Vm;
use super::{Lines, call, exports, worker};

/// A request that is about to be sent.
#[derive(Clone)]
pub struct Request<'a> {
    vm: &'a Vm,
    lines: Lines,
    chunks: Vec<Vec<u8>>,
    trailers: Option<Lines>,
    properties: Vec<(&'static str, Vec<u8>)>,
}

impl<'a> Request<'a> {
    pub(super) fn new(vm: &'a Vm, method: &str, path: &[u8]) -> Self {
        let lines = [
            (":authority", b"gateway.example.com".as_slice()),
            (":method", method.as_bytes()),
            (":scheme", b"https"),
            (":path", path),
        ];
        let properties = vec![("request\0protocol", b"HTTP/1.1".to_vec()), ("xds\0route_name", Vec::new())];
        Self { vm, lines: lines.into_iter().collect(), chunks: Vec::new(), trailers: None, properties }
    }

    /// Adds a header line.
    pub fn line(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.lines.add(name, value);
        self
    }

    /// Adds header lines.
    pub fn lines<N: AsRef<str>, V: AsRef<[u8]>>(self, lines: impl IntoIterator<Item = (N, V)>) -> Self {
        lines.into_iter().fold(self, |request, (name, value)| request.line(name.as_ref(), value))
    }

    /// Leaves a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.lines.remove(name);
        self
    }

    /// Gives it a body, in one piece.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        self.chunks([body])
    }

    /// Gives it a body in pieces.
    pub fn chunks<B: AsRef<[u8]>>(mut self, chunks: impl IntoIterator<Item = B>) -> Self {
        self.chunks = chunks.into_iter().map(|chunk| chunk.as_ref().to_vec()).collect();
        self
    }

    /// Ends it with trailers.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.get_or_insert_default().add(name, value);
        self
    }

    /// It matched a route of this name.
    pub fn on_route(self, name: &str) -> Self {
        self.property("xds\0route_name", name)
    }

    /// It matched a route whose metadata names this policy.
    pub fn with_policy(self, name: &str) -> Self {
        self.property("xds\0route_metadata\0filter_metadata\0realtime_byok\0policy", name)
    }

    /// It came over HTTP/2: an upgrade was an extended CONNECT, which has no key.
    pub fn over_http2(self) -> Self {
        self.property("request\0protocol", "HTTP/2").without("sec-websocket-key").without("connection")
    }

    /// Sends it, and all of its body.
    pub fn send(self) -> Exchange {
        let exchange = self.send_headers(self.chunks.is_empty() && self.trailers.is_none());
        exchange.send_body(&self);
        exchange
    }

    /// Sends only its header lines; `ends` says that no body follows.
    pub fn send_headers(&self, ends: bool) -> Exchange {
        let exchange = self.open();
        stream::request_headers(exchange.context, self.lines.clone(), ends);
        exchange
    }

    /// Its header lines.
    pub fn all_lines(&self) -> Vec<(String, Vec<u8>)> {
        self.lines.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    }

    /// A stream on which nothing was sent yet.
    pub fn open(&self) -> Exchange {
        let context = self.vm.new_stream();
        let properties = self.properties.iter().map(|(path, value)| ((*path).to_owned(), value.clone()));
        worker(|worker| worker.streams.get_mut(&context).unwrap().properties.extend(properties));
        Exchange { context }
    }

    fn property(mut self, path: &'static str, value: &str) -> Self {
        self.properties.push((path, value.into()));
        self
    }
}

/// A stream: a request that was sent, and what comes of it. Dropped, it is over.
pub struct Exchange {
    /// The stream's context.
    pub context: u32,
}

impl Exchange {
    /// The request as the upstream has it.
    #[track_caller]
    pub fn upstream(&self) -> Message {
        match self.fate() {
            Fate::Forwarded(message) => message,
            fate => panic!("not forwarded: {fate:?}"),
        }
    }

    /// The answer to a request that the upstream never saw.
    #[track_caller]
    pub fn refusal(&self) -> Answer {
        match self.fate() {
            Fate::Answered(answer) => answer,
            fate => panic!("not answered: {fate:?}"),
        }
    }

    /// The trailers that the upstream got, if it got any.
    pub fn trailers(&self) -> Option<Lines> {
        stream::trailers(self.context)
    }

    /// The answer that the client has, if it has one.
    pub fn answer_if_any(&self) -> Option<Answer> {
        stream::answer(self.context)
    }

    /// All of the filter's own that Envoy keeps with the stream.
    pub fn filter_state(&self) -> Vec<(String, Vec<u8>)> {
        stream::filter_state(self.context)
    }

    /// What became of the request so far.
    pub fn fate(&self) -> Fate {
        stream::fate(self.context)
    }

    /// The answer that the client has, whoever gave it.
    #[track_caller]
    pub fn answer(&self) -> Answer {
        stream::answer(self.context).expect("the client has an answer")
    }

    /// The upstream answers; gives what the client gets.
    #[track_caller]
    pub fn respond<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        status: u16,
        lines: impl IntoIterator<Item = (N, V)>,
    ) -> Answer {
        self.respond_from("via_upstream", status, lines)
    }

    /// Envoy itself answers for the upstream; gives what the client gets.
    #[track_caller]
    pub fn respond_as_envoy(&self, details: &str, status: u16) -> Answer {
        self.respond_from(details, status, [("content-length", "0")])
    }

    #[track_caller]
    fn respond_from<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        details: &str,
        status: u16,
        lines: impl IntoIterator<Item = (N, V)>,
    ) -> Answer {
        let mut all = Lines::from_iter([(":status", status.to_string())]);
        lines.into_iter().for_each(|(name, value)| all.add(name.as_ref(), value));
        stream::response_headers(self.context, all, details);
        self.answer()
    }

    /// Header lines come, whatever came before.
    pub fn request_headers(&self, lines: &[(String, Vec<u8>)], ends: bool) {
        stream::request_headers(self.context, Lines::from_iter(lines.iter().cloned()), ends);
    }

    /// Trailers come, whatever came before.
    pub fn request_trailers(&self, lines: &[(String, Vec<u8>)]) {
        stream::request_trailers(self.context, Lines::from_iter(lines.iter().cloned()));
    }

    /// Header lines of a response come, whatever came before.
    pub fn response_headers(&self, lines: &[(String, Vec<u8>)], is_from_upstream: bool) {
        let details = if is_from_upstream { "via_upstream" } else { "filter_chain_not_found" };
        stream::response_headers(self.context, Lines::from_iter(lines.iter().cloned()), details);
    }

    /// Some of a response's body comes.
    pub fn response_body(&self, chunk: &[u8], ends: bool) {
        stream::response_body(self.context, chunk, ends);
    }

    /// Bytes of the upstream's WebSocket come; the client gets them, or what the filter puts in their place.
    pub fn send_upstream(&self, bytes: &[u8]) {
        stream::response_body(self.context, bytes, false);
    }

    /// The error code and the close code that the client got, if it was told to close.
    pub fn closed_with(&self) -> Option<(String, u16)> {
        let received = stream::received(self.context);
        let at = received.windows(2).rposition(|pair| pair[0] == 0x88)?;
        let code = u16::from_be_bytes([received[at + 2], received[at + 3]]);
        let start = received.windows(16).rposition(|window| window == br#"{"type":"error","#.as_slice())?;
        let event: serde_json::Value =
            serde_json::Deserializer::from_slice(&received[start..]).into_iter().next()?.expect("an event");
        Some((event["error"]["code"].as_str().expect("a code").to_owned(), code))
    }

    /// The path of a request that was answered here, as the access log has it.
    pub fn logged_path(&self) -> String {
        stream::logged_path(self.context)
    }

    /// Envoy knows this of the stream.
    pub fn property(&self, path: &str, value: &str) {
        let set = |worker: &mut super::Worker| {
            let stream = worker.streams.get_mut(&self.context).expect("an open stream");
            stream.properties.insert(path.to_owned(), value.into());
        };
        worker(set);
    }

    /// Trailers of a response come.
    pub fn response_trailers(&self, lines: &[(String, Vec<u8>)]) {
        stream::response_trailers(self.context, Lines::from_iter(lines.iter().cloned()));
    }

    /// More of the body comes.
    pub fn send_chunk(&self, chunk: &[u8], ends: bool) {
        stream::request_body(self.context, chunk, ends);
    }

    /// All of the response's body that the client got.
    pub fn received(&self) -> Vec<u8> {
        stream::received(self.context)
    }

    /// The response's trailers that the client got.
    pub fn received_trailers(&self) -> Vec<String> {
        stream::received_trailers(self.context)
    }

    /// It is over, and about to be logged.
    pub fn log(&self) {
        call(self.context, &On::Log, || exports::log(self.context));
    }

    /// What the filter has left for a field of the access log; empty if nothing.
    pub fn access_log_field(&self, field: &str) -> String {
        let value = stream::property(self.context, &format!("wasm.realtime_byok.{field}"));
        String::from_utf8(value.unwrap_or_default()).expect("text")
    }

    fn send_body(&self, request: &Request<'_>) {
        if request.vm.withholds_bodies() && self.fate() == Fate::Waiting {
            return;
        }
        let last = request.chunks.len().saturating_sub(1);
        for (index, chunk) in request.chunks.iter().enumerate() {
            if stream::is_over(self.context) {
                return;
            }
            self.send_chunk(chunk, index == last && request.trailers.is_none());
        }
        if let Some(trailers) = &request.trailers
            && !stream::is_over(self.context)
        {
            stream::request_trailers(self.context, trailers.clone());
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            call(self.context, &On::Close, || exports::close(self.context));
            worker(|worker| worker.streams.remove(&self.context));
        }
    }
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        let status = self.lines.all(":status");
        status.concat().parse().expect("a status")
    }
}
