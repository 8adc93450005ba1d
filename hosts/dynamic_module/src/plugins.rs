//! Configurations, each of which serves all workers. The main thread alone makes them, and comes by with the time.
//!
//! Listeners that have the same configuration under the same name have one plugin together, as in Envoy's host for
//! WebAssembly: to the workers it is one.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use realtime_byok::config::Configuration;
use realtime_byok::host::{CalloutId, Level};
use realtime_byok::secret::Digest;

use super::abi::{self, Config, ConfigScheduler, Defined};
use super::envoy::EnvoyWorker;
use super::faults::fault_at;
use super::process::{lock, process};
use super::statistics;
use super::ticker::Ticker;

/// One of Envoy's configurations.
pub(crate) struct Plugin {
    /// Its number among all that there ever were.
    number: usize,
    /// What the workers know of it.
    adopted: Arc<Adopted>,
    /// Its numbers of the families of statistics.
    families: Vec<Option<Defined>>,
}

/// A plugin, as each worker knows it. It ends with the last of Envoy's configurations that are this.
struct Adopted(Vec<Configuration>);

/// Requests of the module's own that are under way, by the plugin and Envoy's number: whose they are.
#[derive(Default)]
pub(crate) struct Callouts(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    last: u32,
    sent: BTreeMap<(usize, u64), (usize, CalloutId)>,
}

/// All plugins that live, the last of which has the time of day told.
#[derive(Default)]
struct Plugins {
    last: usize,
    /// Those of the same name and bytes are one.
    adopted: Vec<((String, Digest), Weak<Adopted>)>,
    live: Vec<(usize, ConfigScheduler)>,
    ticker: Option<Ticker>,
}

static PLUGINS: LazyLock<Mutex<Plugins>> = LazyLock::new(Mutex::default);
static CALLOUTS: LazyLock<Callouts> = LazyLock::new(Callouts::default);

/// A configuration came, of the plugin of this name; `None` if it is wrong.
pub(crate) fn configured(config: &Config<'_>, name: &[u8], bytes: &[u8]) -> Option<Arc<Plugin>> {
    let (name, digest) = (String::from_utf8_lossy(name).into_owned(), Digest::of(bytes));
    let (number, known) = {
        let mut plugins = lock(&PLUGINS);
        plugins.last += 1;
        plugins.adopted.retain(|(_, adopted)| adopted.strong_count() > 0);
        let known = plugins.adopted.iter().find(|((other, digests), _)| *other == name && *digests == digest);
        (plugins.last, known.and_then(|(_, adopted)| adopted.upgrade()))
    };
    let families = statistics::defined(config);
    let adopted = match known {
        Some(known) => known,
        None => Arc::new(Adopted::new(&name, bytes, (config, number))?),
    };
    process().workers().for_each(|mut worker| statistics::drain(&mut worker, config, &families));
    statistics::hand_on(config, &families);
    let mut plugins = lock(&PLUGINS);
    plugins.adopted.push(((name, digest), Arc::downgrade(&adopted)));
    plugins.live.push((number, config.scheduler()));
    plugins.ticker.get_or_insert_with(|| Ticker::start(commit));
    Some(Arc::new(Plugin { number, adopted, families }))
}

/// One of Envoy's configurations ends: no stream of it is left.
pub(crate) fn done(plugin: Arc<Plugin>) {
    lock(&CALLOUTS.0).sent.retain(|(number, _), _| *number != plugin.number);
    let ticker = {
        let mut plugins = lock(&PLUGINS);
        plugins.live.retain(|(number, _)| *number != plugin.number);
        if plugins.live.is_empty() { plugins.ticker.take() } else { None }
    };
    // It may be waiting for the lock.
    drop(ticker);
    // The workers hear of it where a panic is caught.
    drop(plugin);
}

impl Plugin {
    /// The configuration, as a worker knows it.
    pub(crate) fn configuration(&self, worker: usize) -> Option<&Configuration> {
        self.adopted.0.get(worker)
    }
}

impl Adopted {
    /// Makes a configuration known to all workers; `None` if it is wrong.
    fn new(name: &str, bytes: &[u8], (config, number): (&Config<'_>, usize)) -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let mut configurations: Vec<Configuration> = Vec::new();
        for (at, mut worker) in process().workers().enumerate() {
            let host = host(config, number, at);
            fault_at("config_new");
            let configuration = match configurations.first() {
                None => worker.worker.configure(name, bytes, &variable, &host),
                Some(first) => Some(worker.worker.adopt(name, first.instance.clone(), &host)),
            };
            worker.run_commands();
            configurations.push(configuration?);
        }
        Some(Self(configurations))
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        abi::log(Level::Debug, "realtime_byok: a configuration ends, and no stream of it is left");
        for (mut worker, configuration) in process().workers().zip(&self.0) {
            fault_at("config_destroy");
            worker.worker.plugin_done(Some(configuration));
            worker.run_commands();
        }
    }
}

/// A second has passed.
pub(crate) fn tick(plugin: &Plugin, config: &Config<'_>) {
    for (at, mut worker) in process().workers().enumerate() {
        fault_at("config_scheduled");
        worker.worker.tick(&mut host(config, plugin.number, at));
        statistics::drain(&mut worker, config, &plugin.families);
        worker.run_commands();
    }
}

/// A request of the module's own was answered with this `:status`, or not at all.
pub(crate) fn callout_answered(plugin: &Plugin, number: u64, status: Option<&[u8]>, config: &Config<'_>) {
    let sent = lock(&CALLOUTS.0).sent.remove(&(plugin.number, number));
    if let Some((at, id)) = sent
        && let Some(mut worker) = process().worker(at)
    {
        fault_at("callout_done");
        worker.worker.callout_answered(id, status, &host(config, plugin.number, at));
        worker.run_commands();
    }
}

/// Has the time told to the plugin that came last.
fn commit() {
    if let Some((_, scheduler)) = lock(&PLUGINS).live.last() {
        scheduler.commit();
    }
}

fn host<'a>(config: &'a Config<'a>, plugin: usize, worker: usize) -> EnvoyWorker<'a> {
    EnvoyWorker { config, callouts: &CALLOUTS, plugin, worker }
}

impl Callouts {
    /// A request was sent for a worker: how that knows it.
    pub(crate) fn sent(&self, plugin: usize, number: u64, worker: usize) -> CalloutId {
        let mut under_way = lock(&self.0);
        under_way.last = under_way.last.wrapping_add(1);
        let id = CalloutId(under_way.last);
        under_way.sent.insert((plugin, number), (worker, id));
        id
    }
}
