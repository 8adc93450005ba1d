//! Golden pairs: what went into each callback and what the module did in it, compared with `tests/fixtures/actions`.
//!
//! Each test has a section in the file of its module, a line for each callback but idle ones. What a line holds is what Envoy, the
//! client, the upstream or the operator can see: header lines that changed, replaced bodies, local replies, resets,
//! fields of the access log, requests of the module's own, warnings. How many hostcalls it took, and which stood before
//! which, is not seen. Statistics are told up to a second late, so what they come to stands where the plugin ends.
//! `GOLDEN=write cargo test --test filter` writes the files anew; what a change of them says is then in the diff.
//! Properties that are tried on random input have digests of cases that are always the same; `GOLDEN_CASES=folder` writes
//! these out whole, for two versions to be compared.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::{HttpCall, Level, Lines, Stream, Worker, worker};

/// Longer values are recorded by length and digest.
const WHOLE: usize = 2048;

/// The names of the ABI's maps of a stream.
const MAPS: [&str; 4] = ["request", "request_trailers", "response", "response_trailers"];

/// A callback and what it brings.
pub enum On<'a> {
    Start,
    Create,
    Configure,
    Tick,
    HttpCallResponse(Option<u16>),
    /// Headers or trailers: the ABI's number of the map, and whether nothing follows.
    Lines(u32, bool),
    /// Bytes of the request or of the response, and whether nothing follows.
    Body(&'static str, &'a [u8], bool),
    Log,
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Compare,
    Write,
    /// Nothing is recorded.
    Off,
}

struct Recorder {
    mode: Mode,
    module: String,
    test: String,
    /// What was recorded when the files were written.
    before: Vec<String>,
    lines: Vec<String>,
    callback: Option<Callback>,
    /// What was added to statistics since the last plugin ended.
    counts: BTreeMap<String, i64>,
    /// Whether something ran that is not recorded, and was counted too.
    counts_random: bool,
    /// Set while a case of a property is tried.
    case: Option<Vec<String>>,
}

/// A callback in which the module runs.
struct Callback {
    context: u32,
    on: &'static str,
    input: Value,
    /// Whether it is one of those through which a local reply passes.
    is_own_reply: bool,
    did: Map<String, Value>,
    /// Maps before the module changed them, by context and number.
    maps: BTreeMap<(u32, u32), Lines>,
    logs: Vec<String>,
    calls: Vec<Value>,
}

thread_local! {
    static RECORDER: RefCell<Recorder> = RefCell::new(Recorder::of_this_test());
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    /// How often the module asked for so many random bytes.
    static DRAWN: RefCell<BTreeMap<usize, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// The module is called.
pub fn begin(context: u32, on: &On<'_>) {
    let input = worker(|worker| on.input(worker, context));
    let callback = Callback {
        context,
        on: on.name(),
        input,
        is_own_reply: worker(|worker| worker.streams.get(&context).is_some_and(Stream::is_answered_here)),
        did: Map::new(),
        maps: BTreeMap::new(),
        logs: Vec::new(),
        calls: Vec::new(),
    };
    recorder(|recorder| recorder.callback = Some(callback));
    IS_INSIDE.set(true);
}

/// The module returns.
#[track_caller]
pub fn end(returned: &dyn Debug) {
    IS_INSIDE.set(false);
    let Some(callback) = recorder(|recorder| recorder.callback.take()) else { return };
    let counts = recorder(|recorder| {
        let is_recorded = callback.ends_plugin() && !recorder.counts_random;
        is_recorded.then(|| std::mem::take(&mut recorder.counts))
    });
    let line = worker(|worker| callback.line(worker, &format!("{returned:?}"), counts.unwrap_or_default()));
    let Some(line) = line else { return };
    let difference = recorder(|recorder| recorder.add(line));
    if let Some(difference) = difference {
        panic!("{difference}");
    }
}

/// The module is about to change a map of the effective context.
pub(super) fn edits(map: u32, worker: &mut Worker) {
    let context = worker.effective;
    let Some(lines) = worker.stream().and_then(|stream| stream.map(map)).cloned() else { return };
    note(|callback| _ = callback.maps.entry((context, map)).or_insert(lines));
}

/// What a buffer of the effective context holds now.
pub(super) fn replaced(is_request: bool, worker: &mut Worker) {
    let context = worker.effective;
    let name = if is_request { "request_body" } else { "response_body" };
    let Some(body) = worker.stream().and_then(|stream| stream.body(is_request)).map(|body| bytes(body)) else { return };
    note(|callback| callback.put(context, name, body));
}

/// The effective context is answered.
pub fn replied(context: u32, status: u32, details: &str, lines: &Lines, body: &[u8]) {
    let reply = json!({ "status": status, "details": details, "lines": lines.text(), "body": bytes(body) });
    note(|callback| callback.put(context, "reply", reply));
}

/// The effective context is reset.
pub fn reset(context: u32) {
    note(|callback| callback.put(context, "reset", true.into()));
}

/// The effective context has a property now.
pub fn property(context: u32, path: &str, value: &[u8]) {
    note(|callback| callback.put(context, path, bytes(value)));
}

/// So much is added to a statistic.
pub fn counted(name: &str, amount: i64) {
    let add = |recorder: &mut Recorder| *recorder.counts.entry(name.to_owned()).or_default() += amount;
    // A module that ends with its thread may still count.
    let _ = RECORDER.try_with(|recorder| add(&mut recorder.borrow_mut()));
}

/// Something is logged.
pub fn logged(level: Level, message: &str) {
    if level != Level::Info {
        note(|callback| callback.logs.push(format!("{level:?}: {message}")));
    }
}

/// The module sends a request of its own.
pub fn called(call: &HttpCall, timeout: u32) {
    let call = json!({ "cluster": call.cluster, "lines": call.lines.text(), "timeout_ms": timeout });
    note(|callback| callback.calls.push(call));
}

/// Tries one of the cases of a property that are always the same; only its digest is recorded.
#[track_caller]
pub fn case(index: usize, run: impl FnOnce()) {
    recorder(|recorder| recorder.case = Some(Vec::new()));
    run();
    let lines = recorder(|recorder| recorder.case.take()).unwrap_or_default();
    if let Ok(folder) = std::env::var("GOLDEN_CASES") {
        let test = recorder(|recorder| recorder.test.clone());
        std::fs::write(format!("{folder}/{test}.{:04}", recorder(|recorder| recorder.lines.len())), lines.join("\n"))
            .expect("the folder can be written");
    }
    let digest = format!("{:016x}", fnv(lines.join("\n").as_bytes()));
    if let Some(difference) = recorder(|recorder| recorder.add(json!({ "case": index, "digest": digest }).to_string()))
    {
        panic!("{difference}\nthe case is now:\n{}", lines.join("\n"));
    }
}

/// Runs what is not recorded.
pub fn unrecorded<T>(run: impl FnOnce() -> T) -> T {
    let mode = recorder(|recorder| std::mem::replace(&mut recorder.mode, Mode::Off));
    let result = run();
    recorder(|recorder| (recorder.mode, recorder.counts_random) = (mode, true));
    result
}

fn recorder<T>(use_it: impl FnOnce(&mut Recorder) -> T) -> T {
    RECORDER.with_borrow_mut(use_it)
}

fn note(note: impl FnOnce(&mut Callback)) {
    // A module that ends with its thread may still log.
    let _ = RECORDER.try_with(|recorder| recorder.borrow_mut().callback.as_mut().map(note));
}

impl On<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Create => "create",
            Self::Configure => "configure",
            Self::Tick => "tick",
            Self::HttpCallResponse(_) => "http_call_response",
            Self::Lines(map, _) => MAPS[*map as usize],
            Self::Body(name, ..) => name,
            Self::Log => "log",
            Self::Close => "close",
        }
    }

    fn input(&self, worker: &mut Worker, context: u32) -> Value {
        match self {
            Self::Start | Self::Create | Self::Log | Self::Close => Value::Null,
            Self::Configure => bytes(&worker.configuration),
            Self::Tick => (worker.clock / 1_000_000_000).into(),
            Self::HttpCallResponse(status) => json!(status),
            Self::Body(_, chunk, ends) => json!([bytes(chunk), ends]),
            Self::Lines(map, ends) => {
                let Some(stream) = worker.streams.get_mut(&context) else { return Value::Null };
                let known = |(path, value): (&String, &Vec<u8>)| {
                    let is_usual = value.is_empty() || value == b"HTTP/1.1" || path.starts_with("wasm.");
                    (!is_usual).then(|| (path.replace('\0', "."), bytes(value)))
                };
                let is_own = |(name, _): &(&str, &[u8])| ![":authority", ":scheme"].contains(name);
                let properties: Map<_, _> = stream.properties.iter().filter_map(known).collect();
                let lines = stream.map(*map).map(|lines| lines.iter().filter(is_own).map(line).collect::<Vec<_>>());
                json!([lines, properties, ends])
            }
        }
    }
}

impl Callback {
    /// Whether it is the last one of a plugin.
    fn ends_plugin(&self) -> bool {
        self.on == "close" && worker(|worker| worker.roots.contains(&self.context))
    }

    fn put(&mut self, context: u32, name: &str, value: Value) {
        let name = if context == self.context { name.to_owned() } else { format!("{name}@{context}") };
        self.did.insert(name, value);
    }

    /// The callback as a line; none where nothing came and nothing was done.
    fn line(mut self, worker: &mut Worker, returned: &str, counts: BTreeMap<String, i64>) -> Option<String> {
        for ((context, map), before) in std::mem::take(&mut self.maps) {
            let after = worker.streams.get_mut(&context).and_then(|stream| stream.map(map));
            let changed = after.map(|after| difference(&before, after)).unwrap_or_default();
            if !changed.is_empty() {
                self.put(context, MAPS[map as usize], changed.into());
            }
        }
        if !["()", "0", "true"].contains(&returned) {
            let returned = if returned == "1" { "pause" } else { returned };
            self.did.insert("returns".into(), returned.into());
        }
        for (name, list) in [("logs", json!(self.logs)), ("calls", json!(self.calls)), ("counts", json!(counts))] {
            let is_empty = list == json!([]) || list == json!({});
            drop((!is_empty).then(|| self.did.insert(name.into(), list)));
        }
        let is_quiet = self.did.is_empty() && (self.is_own_reply || ["start", "create", "tick"].contains(&self.on));
        let (on, context, input, did) = (self.on, self.context, self.input, Value::Object(self.did));
        (!is_quiet).then(|| format!(r#"{{"on":"{on}","context":{context},"in":{input},"did":{did}}}"#))
    }
}

/// `-name` for names whose lines are not what they were, then `+name: value` for what they are.
fn difference(before: &Lines, after: &Lines) -> Vec<Value> {
    let mut changed: Vec<&str> = Vec::new();
    for (name, _) in before.iter().chain(after.iter()) {
        if !changed.contains(&name) && before.all(name) != after.all(name) {
            changed.push(name);
        }
    }
    let removed = changed.iter().filter(|name| before.first(name).is_some()).map(|name| format!("-{name}").into());
    let added =
        after.iter().filter(|(name, _)| changed.contains(name)).map(|(name, value)| match line((name, value)) {
            Value::String(line) => format!("+{line}").into(),
            line => line,
        });
    removed.chain(added).collect()
}

fn line((name, value): (&str, &[u8])) -> Value {
    match bytes(value) {
        Value::String(value) => format!("{name}: {value}").into(),
        value => json!({ name: value }),
    }
}

/// Bytes as text if they are, else as the characters of the same numbers; long ones by their digest.
fn bytes(bytes: &[u8]) -> Value {
    if bytes.len() > WHOLE {
        return json!({ "length": bytes.len(), "fnv": format!("{:016x}", fnv(bytes)) });
    }
    let latin1 = || json!({ "latin1": bytes.iter().copied().map(char::from).collect::<String>() });
    std::str::from_utf8(bytes).map_or_else(|_| latin1(), Value::from)
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The sections that this process wrote, by module and test.
static WRITTEN: Mutex<BTreeMap<String, BTreeMap<String, Vec<String>>>> = Mutex::new(BTreeMap::new());

impl Recorder {
    fn of_this_test() -> Self {
        let thread = std::thread::current();
        let name = thread.name().and_then(|name| name.split_once("::"));
        let mode = match std::env::var("GOLDEN").as_deref() {
            // Elsewhere the module's randomness is not the model's.
            _ if name.is_none() || !cfg!(target_os = "linux") => Mode::Off,
            Ok("write") => Mode::Write,
            _ => Mode::Compare,
        };
        let (module, test) = name.unwrap_or_default();
        let before = if mode == Mode::Compare { sections(module).remove(test).unwrap_or_default() } else { Vec::new() };
        Self {
            mode,
            module: module.to_owned(),
            test: test.to_owned(),
            before,
            lines: Vec::new(),
            callback: None,
            counts: BTreeMap::new(),
            counts_random: false,
            case: None,
        }
    }

    /// Adds a line. Tells how it is not what it was.
    fn add(&mut self, line: String) -> Option<String> {
        if self.mode == Mode::Off {
            return None;
        }
        if let Some(case) = &mut self.case {
            case.push(line);
            return None;
        }
        let index = self.lines.len();
        self.lines.push(line.clone());
        if self.mode == Mode::Write || self.before.get(index) == Some(&line) {
            return None;
        }
        let path = file(&self.module);
        let was = self.before.get(index).map_or("nothing", String::as_str);
        let test = &self.test;
        Some(format!(
            "callback {index} of {test} is not as in {}; GOLDEN=write writes it anew\nwas: {was}\nis:  {line}",
            path.display()
        ))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.mode != Mode::Write || std::thread::panicking() || self.lines.is_empty() {
            return;
        }
        let mut written = WRITTEN.lock().expect("no other test panicked here");
        let module = written.entry(self.module.clone()).or_insert_with(|| sections(&self.module));
        module.insert(self.test.clone(), std::mem::take(&mut self.lines));
        let mut text = String::new();
        for (test, lines) in module {
            writeln!(text, "# {test}\n{}\n", lines.join("\n")).expect("a String takes all");
        }
        std::fs::write(file(&self.module), text).expect("the folder of golden pairs can be written");
    }
}

/// The file of a module's tests.
fn file(module: &str) -> PathBuf {
    let packages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder = packages.map(|package| package.join("tests/fixtures/actions")).find(|folder| folder.is_dir());
    folder.expect("tests/fixtures/actions").join(module).with_extension("jsonl")
}

/// The recorded lines of each of a module's tests.
fn sections(module: &str) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(file(module)).unwrap_or_default();
    let section = |section: &str| {
        let mut lines = section.trim_start().lines().map(str::to_owned);
        Some((lines.next()?.strip_prefix("# ")?.to_owned(), lines.collect()))
    };
    text.split("\n\n").filter_map(section).collect()
}

/// The module's randomness is its host's, so it is modelled: the same bytes each time that a test runs, others each
/// time that it asks. By length, so that who asks first for what does not matter. Everyone else gets the machine's.
///
/// # Safety
///
/// `data` is valid for `size` bytes, as for the function of the C library in whose place this stands.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(data: *mut u8, size: usize, _flags: u32) -> isize {
    // SAFETY: as promised.
    let bytes = if size == 0 { &mut [][..] } else { unsafe { std::slice::from_raw_parts_mut(data, size) } };
    if !IS_INSIDE.try_with(Cell::get).unwrap_or_default() {
        let read = std::fs::File::open("/dev/urandom").and_then(|mut machine| machine.read_exact(bytes));
        return read.map_or(-1, |()| size as isize);
    }
    let drawn = DRAWN.with_borrow_mut(|drawn| {
        let drawn = drawn.entry(size).or_default();
        *drawn += 1;
        *drawn
    });
    for (index, word) in bytes.chunks_mut(8).enumerate() {
        let random = fnv(format!("{size} {drawn} {index}").as_bytes()).to_le_bytes();
        word.copy_from_slice(&random[..word.len()]);
    }
    size as isize
}
