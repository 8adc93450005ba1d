//! Configurations: each is one plugin, which serves all workers. The main thread alone makes them, and comes by with the time.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use realtime_byok::config::Configuration;
use realtime_byok::host::CalloutId;

use super::abi::{Config, ConfigScheduler, Defined};
use super::envoy::EnvoyWorker;
use super::process::{lock, process};
use super::statistics;
use super::ticker::Ticker;

/// One plugin.
pub(crate) struct Plugin {
    /// Its number among all that there ever were.
    number: usize,
    /// Its configuration, as each worker knows it.
    pub(crate) configurations: Vec<Configuration>,
    /// Its numbers of the families of statistics.
    pub(crate) families: Vec<Option<Defined>>,
}

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
    live: Vec<(usize, ConfigScheduler)>,
    ticker: Option<Ticker>,
}

static PLUGINS: LazyLock<Mutex<Plugins>> = LazyLock::new(Mutex::default);
static CALLOUTS: LazyLock<Callouts> = LazyLock::new(Callouts::default);

/// A configuration came, of the plugin of this name; `None` if it is wrong.
pub(crate) fn configured(config: &Config<'_>, name: &[u8], bytes: &[u8]) -> Option<Arc<Plugin>> {
    let number = {
        let mut plugins = lock(&PLUGINS);
        plugins.last += 1;
        plugins.last
    };
    let name = String::from_utf8_lossy(name);
    let variable = |name: &str| std::env::var(name).ok();
    let families = statistics::defined(config);
    let mut configurations: Vec<Configuration> = Vec::new();
    for (at, mut worker) in process().workers().enumerate() {
        let host = host(config, number, at);
        let configuration = match configurations.first() {
            None => worker.worker.configure(&name, bytes, &variable, &host),
            Some(first) => Some(worker.worker.adopt(&name, Arc::clone(&first.plan), &host)),
        };
        worker.run_commands();
        configurations.push(configuration?);
        statistics::drain(&mut worker, config, &families);
    }
    statistics::hand_on(config, &families);
    let mut plugins = lock(&PLUGINS);
    plugins.live.push((number, config.scheduler()));
    plugins.ticker.get_or_insert_with(|| Ticker::start(commit));
    Some(Arc::new(Plugin { number, configurations, families }))
}

/// A plugin ends: no stream of it is left.
pub(crate) fn done(plugin: &Plugin) {
    for (mut worker, configuration) in process().workers().zip(&plugin.configurations) {
        worker.worker.plugin_done(Some(configuration));
        worker.run_commands();
    }
    lock(&CALLOUTS.0).sent.retain(|(number, _), _| *number != plugin.number);
    let ticker = {
        let mut plugins = lock(&PLUGINS);
        plugins.live.retain(|(number, _)| *number != plugin.number);
        if plugins.live.is_empty() { plugins.ticker.take() } else { None }
    };
    // It may be waiting for the lock.
    drop(ticker);
}

/// A second has passed.
pub(crate) fn tick(plugin: &Plugin, config: &Config<'_>) {
    for (at, mut worker) in process().workers().enumerate() {
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
