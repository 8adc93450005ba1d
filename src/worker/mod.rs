//! One worker: the owner of all its streams and of what they share. A host keeps one for each of its threads.
//!
//! Each of Envoy's callbacks is one method, which returns what the host is to do, one closed action. For one stream they
//! come in this order, of which any may be missing:
//!
//! ```text
//! open ▶ request_headers ▶ request_body … ▶ request_trailers ▶ response_headers ▶ response_body … ▶ response_trailers ▶ end ▶ close
//! ```
//!
//! Whatever else is to be done, lines of the log among it, waits in [`Worker::take_commands`] after
//! [`configure`](Worker::configure), [`tick`](Worker::tick), [`callout_answered`](Worker::callout_answered) and
//! [`end`](Worker::end). What was measured waits in [`Worker::drain_statistics`] after [`configure`](Worker::configure),
//! [`tick`](Worker::tick) and [`plugin_done`](Worker::plugin_done).

mod body_watch;
mod plugins;
mod streams;
mod tick;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::{self, Configuration, Instance, Plan, Planned};
use crate::host::{Attribute, CalloutId, Level, StreamHost, StreamNumber, WorkerHost};
use crate::http::Edits;
use crate::metrics::{Change, Statistic, StatisticId};
use crate::process::SharedData;
use crate::stream::{AccessLog, DetailedReply, Presentation, RequestAction, ResponseAction, Stream, WorkerState};
use crate::ws::ReadBuffer;

use body_watch::BodyWatch;
use plugins::{Plugins, Replaced};
use streams::Streams;

pub use streams::StreamId;

/// How often [`Worker::tick`] is to be called.
pub const TICK: Duration = Duration::from_secs(1);

/// One worker.
pub struct Worker {
    streams: Streams,
    state: WorkerState,
    plugins: Plugins,
    body_watch: BodyWatch,
    /// What is to be done with streams outside of their callbacks.
    commands: Vec<Command>,
}

/// What a host is to do beside what a callback of a stream returns.
pub enum Command {
    /// Write a line to Envoy's log.
    Log(Level, String),
    /// Reset a stream.
    Reset(StreamNumber),
    /// Answer a stream whose request waits, after these edits of its headers.
    Reply(StreamNumber, Edits, DetailedReply),
}

const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    is_send::<Worker>();
    is_send::<Plan>();
    is_sync::<Plan>();
};

impl Worker {
    /// A worker of this random id, among all that share the data.
    pub fn new(shared_data: Box<dyn SharedData + Send>, random: u64) -> Self {
        Self {
            streams: Streams::default(),
            state: WorkerState::new(shared_data, random),
            plugins: Plugins::default(),
            body_watch: BodyWatch::default(),
            commands: Vec::new(),
        }
    }

    /// The same worker, for a host that always hands bodies over while their headers wait: nobody is hurried there.
    #[must_use]
    pub fn with_all_bodies(mut self) -> Self {
        self.body_watch.body_came();
        self
    }

    /// Reads a configuration of the plugin of this name, `variable` giving those of the environment, and makes it known;
    /// `None` if it is wrong.
    pub fn configure(
        &mut self,
        name: &str,
        bytes: &[u8],
        variable: &dyn Fn(&str) -> Option<String>,
        host: &dyn WorkerHost,
    ) -> Option<Configuration> {
        match config::load(bytes, variable) {
            Ok(Planned { instance, warnings }) => {
                warnings.iter().for_each(|warning| self.state.log(Level::Warn, format_args!("{warning}")));
                self.can_read_all(&instance, host).then(|| self.adopt(name, instance, host))
            }
            Err(errors) => {
                errors.iter().for_each(|error| self.state.log(Level::Error, format_args!("{error}")));
                None
            }
        }
    }

    /// Whether the host can read each property that callers are known by. One that it cannot would let nobody in, and say
    /// nothing.
    fn can_read_all(&mut self, instance: &Instance, host: &dyn WorkerHost) -> bool {
        let Instance::Gateway(plan) = instance else { return true };
        let mut unreadable = plan.callers.property_paths().filter(|path| !host.can_read(path));
        let Some(path) = unreadable.next() else { return true };
        let path = path.segments().collect::<Vec<_>>().join(".");
        let message = format_args!("callers: the property {path} cannot be read in this host");
        self.state.log(Level::Error, message);
        false
    }

    /// Makes a configuration of the plugin of this name known, under which streams will be opened. It takes the place of
    /// those that the plugin had before.
    pub fn adopt(&mut self, name: &str, instance: Instance, host: &dyn WorkerHost) -> Configuration {
        let plan = match &instance {
            Instance::Gateway(plan) => plan.clone(),
            Instance::Presenter(_) => {
                self.state.clock = host.now();
                // It has no sessions, and may have been given the name of the gateway behind it.
                let (id, _) = self.plugins.configure(&format!("present\0{name}"), &|_| false);
                return Configuration { id, instance };
            }
        };
        let sessions = &mut self.state.sessions;
        sessions.add_callers(plan.callers.limits());
        if plan.control.is_some() {
            sessions.list_sessions();
        }
        plan.policies.guarded().for_each(|policy| sessions.metrics.expect(policy));
        self.state.flush_metrics();
        self.state.resting.clear();
        self.state.clock = host.now();
        let Self { plugins, streams, state, .. } = self;
        let in_use: BTreeSet<_> = streams.iter_mut().map(|(_, stream)| stream.configuration()).collect();
        let (id, replaced) = plugins.configure(name, &|id| in_use.contains(&id) || state.calls.has_one_of(id));
        self.judge(&plan, &replaced);
        Configuration { id, instance }
    }

    /// The sessions of these configurations go on under another, if that has what they stand on.
    fn judge(&mut self, plan: &Plan, replaced: &Replaced) {
        for (_, stream) in self.streams.iter_mut().filter(|(_, stream)| replaced.contains(&stream.configuration())) {
            stream.judge(plan);
        }
        self.state.calls.judge(plan, &|id| replaced.contains(&id));
    }

    /// A stream begins; without a configuration, nothing of it may pass. `number` is the host's name for it.
    pub fn open(&mut self, number: StreamNumber, configuration: Option<Configuration>) -> StreamId {
        match configuration {
            Some(Configuration { id, instance: Instance::Gateway(plan) }) => {
                self.streams.insert(number, Stream::new(id, plan))
            }
            Some(Configuration { instance: Instance::Presenter(presenter), .. }) => {
                self.streams.insert_presentation(Presentation::new(presenter))
            }
            None => self.streams.insert_unconfigured(),
        }
    }

    /// The request's headers came. `ends` says that neither body nor trailers follow.
    pub fn request_headers(&mut self, id: StreamId, ends: bool, host: &dyn StreamHost) -> RequestAction {
        if self.plugins.are_several() {
            self.look_at_port(id, host);
        }
        let Some((_, stream)) = self.streams.get_mut(id) else {
            let presentation = self.streams.presentation(id);
            return presentation.map_or(RequestAction::Reset, |one| one.request_headers(&mut self.state.context(host)));
        };
        let action = stream.request_headers(ends, &mut self.state.context(host));
        if let RequestAction::Hold = action {
            self.body_watch.wait(id, host.now());
        }
        action
    }

    /// Where a plugin has several configurations, their streams tell which ports each serves.
    fn look_at_port(&mut self, id: StreamId, host: &dyn StreamHost) {
        let Some((_, stream)) = self.streams.get_mut(id) else { return };
        let configuration = stream.configuration();
        if self.plugins.asks_for_port(configuration)
            && let Some(port) = host.attribute(Attribute::LocalPort)
        {
            let plan = stream.plan();
            let replaced = self.plugins.serves(configuration, &port);
            self.judge(&plan, &replaced);
        }
    }

    /// More of the request's body came, or its end. `body` is all of it that waits, or what came just now if none waits.
    #[inline]
    pub fn request_body(
        &mut self,
        id: StreamId,
        body: &mut dyn ReadBuffer,
        ends: bool,
        host: &dyn StreamHost,
    ) -> RequestAction {
        let Some((_, stream)) = self.streams.get_mut(id) else { return self.streams.other_action(id) };
        if stream.is_waiting_for_body() {
            self.body_watch.body_came();
        }
        stream.request_body(body, ends, &mut self.state.context(host))
    }

    /// The request's trailers came, which end it: the edits of them, and what becomes of the request. `body` is all of its
    /// body that waits.
    pub fn request_trailers(
        &mut self,
        id: StreamId,
        body: &mut dyn ReadBuffer,
        host: &dyn StreamHost,
    ) -> (Edits, RequestAction) {
        let Some((_, stream)) = self.streams.get_mut(id) else {
            return (Edits::default(), self.streams.other_action(id));
        };
        if stream.is_waiting_for_body() {
            self.body_watch.forget(id);
        }
        stream.request_trailers(body, &mut self.state.context(host))
    }

    /// The response's headers came. `ends` says that neither body nor trailers follow.
    pub fn response_headers(&mut self, id: StreamId, ends: bool, host: &dyn StreamHost) -> ResponseAction {
        let Some((_, stream)) = self.streams.get_mut(id) else { return ResponseAction::Pass };
        stream.response_headers(ends, &mut self.state.context(host))
    }

    /// More of the response's body came, or its end.
    #[inline]
    pub fn response_body(
        &mut self,
        id: StreamId,
        body: &mut dyn ReadBuffer,
        ends: bool,
        host: &dyn StreamHost,
    ) -> ResponseAction {
        let Some((_, stream)) = self.streams.get_mut(id) else { return ResponseAction::Pass };
        stream.response_body(body, ends, &mut self.state.context(host))
    }

    /// The response's trailers came, which end it.
    pub fn response_trailers(&mut self, id: StreamId, host: &dyn StreamHost) -> (Edits, ResponseAction) {
        let Some((_, stream)) = self.streams.get_mut(id) else { return (Edits::default(), ResponseAction::Pass) };
        stream.response_trailers(&mut self.state.context(host))
    }

    /// The stream is over, and about to be logged: what the access log is to show.
    pub fn end(&mut self, id: StreamId, host: &dyn StreamHost) -> AccessLog {
        let Some((_, stream)) = self.streams.get_mut(id) else {
            return self.streams.presentation(id).map_or(AccessLog::Nothing, Presentation::end);
        };
        stream.end(&mut self.state.context(host))
    }

    /// The stream is gone; its id may be another's from now on.
    pub fn close(&mut self, id: StreamId) {
        self.body_watch.forget(id);
        self.streams.remove(id);
    }

    /// A request of the filter's own was answered with this `:status`, or not at all.
    pub fn callout_answered(&mut self, callout: CalloutId, status: Option<&[u8]>, host: &dyn WorkerHost) {
        let status = status.and_then(|status| str::from_utf8(status).ok()?.parse().ok());
        let WorkerState { calls, sessions, .. } = &mut self.state;
        if let Some(id) = calls.answered(callout, status, sessions, host.now()) {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            let message =
                format_args!("the provider has not ended call {id} yet, and is asked again; its status: {status}");
            self.state.log(Level::Warn, message);
        }
    }

    /// A plugin of this configuration ends on this worker, and may not hear of another tick: what was measured since the last
    /// is due.
    pub fn plugin_done(&mut self, configuration: Option<&Configuration>) {
        if let Some(Configuration { id, .. }) = configuration {
            self.plugins.done(*id);
        }
        self.state.calls.forget_callouts(self.state.clock);
        self.state.flush_metrics();
    }

    /// Whether something is to be taken of that.
    pub fn has_commands(&self) -> bool {
        !self.commands.is_empty() || self.state.has_log()
    }

    /// Takes what is to be done since this was last asked.
    pub fn take_commands(&mut self) -> Vec<Command> {
        let commands = std::mem::take(&mut self.commands);
        let log = self.state.take_log();
        if log.len() == 0 {
            return commands;
        }
        log.map(|(level, line)| Command::Log(level, line)).chain(commands).collect()
    }

    /// Takes what has changed in statistics: one change of each counter and gauge, and each value of a histogram.
    pub fn drain_statistics(&mut self, each: impl FnMut(StatisticId, &Statistic, Change)) {
        self.state.sessions.metrics.drain(each);
    }
}

#[cfg(test)]
mod tests;
