//! The plugin on one worker: its configuration and its clock.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use log::{error, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, MapType};

use super::stream::StreamContext;
use super::worker::Worker;
use super::{abi, calls};
use realtime_byok::call::{Hangup, Overdue};
use realtime_byok::config::{self, Plan, Planned};
use realtime_byok::metrics::Metric;
use realtime_byok::stream;

/// How often what is overdue is looked for.
const TICK: Duration = Duration::from_secs(1);

/// The plugin's root context.
pub struct Root {
    plan: Option<Rc<Plan>>,
    worker: Rc<Worker>,
}

impl Root {
    /// A plugin without a configuration.
    pub fn new() -> Self {
        Self { plan: None, worker: Worker::this() }
    }

    fn end_calls(&self, now: SystemTime) {
        let mut send = |hangup: &Hangup| calls::hang_up(hangup).ok();
        let Overdue { keyless, unsent } =
            self.worker.calls.tick(&mut self.worker.sessions.borrow_mut(), now, &mut send);
        for id in keyless {
            warn!("realtime_byok: cannot end call {id}, which must end: the filter has no key for it");
        }
        for id in unsent {
            warn!("realtime_byok: cannot end call {id} yet: its cluster takes no request; it is tried again");
        }
    }

    /// The contexts of sessions that are to be cut; forgets those that are over.
    fn overdue_sessions(&self, now: SystemTime) -> Vec<u32> {
        let mut overdue = Vec::new();
        let mut sessions = self.worker.sessions.borrow_mut();
        self.worker.open.borrow_mut().retain(|(context, stream)| {
            let Some(stream) = stream.upgrade() else { return false };
            let is_overdue = stream.borrow_mut().tick(&mut sessions, now);
            overdue.extend(is_overdue.then_some(*context));
            !is_overdue
        });
        overdue
    }

    fn cut(&self, contexts: &[u32]) {
        for &context in contexts {
            let done = abi::set_effective_context(context).and_then(|()| abi::reset_stream());
            if let Err(status) = done {
                warn!("realtime_byok: cannot cut a session whose time is up; status {}", status as u32);
            }
        }
    }

    fn answer_withheld(&self, contexts: &[u32]) {
        if contexts.is_empty() {
            return;
        }
        error!(
            "realtime_byok: Envoy keeps the bodies of {} waiting requests back; set `allow_on_headers_stop_iteration: \
             true` in the plugin's configuration",
            contexts.len()
        );
        let denial = stream::body_unavailable();
        for &context in contexts {
            let edits = || self.plan.as_ref().map(|plan| stream::edits_of_denied(plan, &calls::request_headers()));
            let answered = abi::set_effective_context(context)
                .and_then(|()| calls::edit(MapType::HttpRequestHeaders, &edits().unwrap_or_default()))
                .and_then(|()| calls::deny(&denial));
            if answered.is_err() {
                error!("realtime_byok: cannot answer a request that waits for its body");
            }
            self.worker.sessions.borrow_mut().metrics.add(Metric::Rejected(denial.code));
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, _: usize, _: usize) {
        let status = abi::header_map_value(MapType::HttpCallResponseHeaders, ":status");
        let status = status.and_then(|status| str::from_utf8(&status).ok()?.parse().ok());
        let Worker { calls, sessions, .. } = &*self.worker;
        if let Some(id) = calls.answered(token, status, sessions, self.get_current_time()) {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            warn!("realtime_byok: the provider has not ended call {id} yet, and is asked again; its status: {status}");
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        match config::load(&configuration, &|name| std::env::var(name).ok()) {
            Ok(Planned { plan, warnings }) => {
                warnings.iter().for_each(|warning| warn!("realtime_byok: {warning}"));
                let mut sessions = self.worker.sessions.borrow_mut();
                sessions.add_callers(plan.callers.names());
                if plan.control.is_some() {
                    sessions.list_sessions();
                }
                plan.policies.guarded().for_each(|policy| sessions.metrics.expect(policy));
                drop(sessions);
                self.worker.flush();
                self.worker.clock.set(self.get_current_time());
                self.plan = Some(Rc::new(plan));
                self.set_tick_period(TICK);
                true
            }
            Err(errors) => {
                errors.iter().for_each(|fault| error!("realtime_byok: {fault}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let now = self.get_current_time();
        self.worker.clock.set(now);
        self.answer_withheld(&self.worker.holds.overdue(now));
        self.worker.flush();
        if !self.worker.sessions.borrow_mut().tick(now) {
            return;
        }
        self.cut(&self.overdue_sessions(now));
        if self.worker.sessions.borrow_mut().sync() {
            self.cut(&self.overdue_sessions(now));
        }
        self.end_calls(now);
        for key in self.worker.sessions.borrow_mut().take_corrupt_keys() {
            error!("realtime_byok: shared data at {key} cannot be read; what was counted there begins anew");
        }
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(StreamContext::new(context, self.plan.clone(), self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
