//! The module on this thread's worker: its life, its configuration, its clock.

use std::cell::Cell;
use std::sync::{Mutex, Once};
use std::time::Duration;

use serde_json::Value;

use super::golden::On;
use super::request::Request;
use super::statistics::MEMORY;
use super::{HttpCall, Lines, call, exports, new_context, worker};

/// The environment of the VM, as `host_env_keys` pass it.
pub const ENVIRONMENT: [(&str, &str); 6] = [
    ("OPENAI_API_KEY", "sk-openai-provider-key"),
    ("AZURE_KEY", "azure-provider-key"),
    ("AZURE_KEY_B", "azure-provider-key-b"),
    ("EMPTY", ""),
    ("WITH_LINE_FEED", "sk-with-line-feed\n"),
    ("WEB_APP_TOKEN", "token-of-web-app"),
];

/// When every VM starts: 2026-11-15T00:00:00Z.
const START: Duration = Duration::from_secs(1_794_700_800);

/// How serious a line of the log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Anything below a warning.
    Info,
    /// What is right, but not wise.
    Warn,
    /// What is wrong.
    Error,
}

impl Level {
    /// The level of the ABI's number; none of a panic's.
    pub(super) fn of(level: u32) -> Option<Self> {
        match level {
            0..=2 => Some(Self::Info),
            3 => Some(Self::Warn),
            4 => Some(Self::Error),
            _ => None,
        }
    }
}

/// A plugin that runs.
pub struct Vm {
    root: u32,
    withholds_bodies: bool,
}

impl Vm {
    /// A plugin of this configuration, which must be good.
    pub fn start(configuration: &Value) -> Self {
        Self::configure(configuration.to_string().as_bytes()).unwrap_or_else(|log| panic!("refused: {log:?}"))
    }

    /// A plugin of these bytes; the log if it refuses them.
    pub fn configure(configuration: &[u8]) -> Result<Self, Vec<(Level, String)>> {
        initialize();
        let root = new_context();
        worker(|worker| {
            worker.statuses.clear();
            worker.clock = u64::try_from(START.as_nanos()).unwrap();
            worker.configuration = configuration.to_vec();
            worker.log.clear();
            worker.roots.push(root);
        });
        call(root, &On::Create, || exports::create(root, 0));
        assert!(call(root, &On::Start, || exports::vm_start(root, 0)));
        let vm = Self { root, withholds_bodies: false };
        if call(root, &On::Configure, || exports::configure(root, configuration.len())) {
            Ok(vm)
        } else {
            Err(vm.log())
        }
    }

    /// The same in an Envoy without `allow_on_headers_stop_iteration`: bodies wait while their headers do.
    pub fn withholding_bodies(mut self) -> Self {
        self.withholds_bodies = true;
        self
    }

    pub(super) fn withholds_bodies(&self) -> bool {
        self.withholds_bodies
    }

    /// The hostcalls that the module makes in the meantime, by their names without `proxy_`.
    pub fn hostcalls<T>(&self, meanwhile: impl FnOnce() -> T) -> (T, Vec<&'static str>) {
        worker(|worker| worker.hostcalls = Some(Vec::new()));
        let result = meanwhile();
        (result, worker(|worker| worker.hostcalls.take()).unwrap_or_default())
    }

    /// A request of this method.
    pub fn request(&self, method: &str, path: impl AsRef<[u8]>) -> Request<'_> {
        Request::new(self, method, path.as_ref())
    }

    /// The opening of a WebSocket.
    pub fn upgrade(&self, path: &str) -> Request<'_> {
        self.request("GET", path)
            .line("connection", "Upgrade")
            .line("upgrade", "websocket")
            .line("sec-websocket-version", "13")
            .line("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// A JSON request.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Request<'_> {
        let body = body.as_ref();
        self.request("POST", path)
            .line("content-type", "application/json")
            .line("content-length", body.len().to_string())
            .body(body)
    }

    /// A context for a stream of this plugin.
    pub(super) fn new_stream(&self) -> u32 {
        let context = new_context();
        worker(|worker| worker.streams.insert(context, Default::default()));
        call(context, &On::Create, || exports::create(context, self.root));
        context
    }

    /// Time passes, tick by tick.
    pub fn wait(&self, time: Duration) {
        for _ in 0..time.as_secs() {
            worker(|worker| worker.clock += 1_000_000_000);
            call(self.root, &On::Tick, || exports::tick(self.root));
        }
    }

    /// What Envoy has counted under names of this end, a tick later; of a histogram, the sum.
    pub fn statistics(&self, end: &str) -> Vec<(String, i64)> {
        call(self.root, &On::Tick, || exports::tick(self.root));
        let named = |(name, value): (&String, &i64)| name.ends_with(end).then(|| (name.clone(), *value));
        worker(|worker| worker.statistics.values().iter().filter_map(named).collect())
    }

    /// The configuration becomes another; false if the module refuses it.
    pub fn reconfigure(&self, configuration: &[u8]) -> bool {
        worker(|worker| worker.configuration = configuration.to_vec());
        call(self.root, &On::Configure, || exports::configure(self.root, configuration.len()))
    }

    /// A queue of shared data that the module never asked for has something.
    pub fn queue_ready(&self) {
        call(self.root, &On::Tick, || exports::queue_ready(self.root, 1));
    }

    /// The next hostcalls of this thread's VMs return these, one after the other; 0 lets one do what it is for.
    pub fn fail(&self, statuses: &[u32]) {
        worker(|worker| worker.statuses = statuses.iter().copied().collect());
    }

    /// Says what is tried, which is shown where the module traps.
    pub fn trying(&self, case: String) {
        worker(|worker| worker.case = case);
    }

    /// The names of all statistics.
    pub fn statistic_names(&self) -> Vec<String> {
        worker(|worker| worker.statistics.values().keys().cloned().collect())
    }

    /// The requests that this thread's VMs sent by themselves.
    pub fn http_calls(&self) -> Vec<HttpCall> {
        worker(|worker| worker.http_calls.clone())
    }

    /// The upstream answers the latest of them with this status; without one, it does not answer in time.
    pub fn answer_http_call(&self, status: Option<u16>) {
        let token = worker(|worker| {
            let lines = status.map(|status| (":status", status.to_string()));
            worker.http_call_answer = Some(Lines::from_iter(lines));
            u32::try_from(worker.http_calls.len()).expect("few calls")
        });
        call(self.root, &On::HttpCallResponse(status), || {
            exports::http_call_response(self.root, token, usize::from(status.is_some()), 0, 0)
        });
        worker(|worker| worker.http_call_answer = None);
    }

    /// What this thread's VMs logged since the last one started.
    pub fn log(&self) -> Vec<(Level, String)> {
        worker(|worker| worker.log.clone())
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            call(self.root, &On::Close, || exports::close(self.root));
            assert_nothing_is_held();
        }
    }
}

/// What streams held is given back when they are gone.
fn assert_nothing_is_held() {
    let held = worker(|worker| {
        let is_known = worker.streams.is_empty() && !worker.has_failed;
        is_known.then(|| worker.statistics.values().get(MEMORY).copied()).flatten()
    });
    assert!(matches!(held, None | Some(0)), "streams that are gone hold memory: {held:?}");
}

/// Starts the module on this thread, once. The SDK sets a logger and a panic hook for the process, unguarded.
fn initialize() {
    static STARTING: Mutex<()> = Mutex::new(());
    static ENVIRON: Once = Once::new();
    thread_local! {
        static IS_STARTED: Cell<bool> = const { Cell::new(false) };
    }
    if IS_STARTED.replace(true) {
        return;
    }
    let _guard = STARTING.lock().unwrap();
    // SAFETY: the environment is read only through std, which locks it.
    #[allow(unsafe_code)]
    ENVIRON.call_once(|| ENVIRONMENT.iter().for_each(|(name, value)| unsafe { std::env::set_var(name, value) }));
    exports::initialize();
}
