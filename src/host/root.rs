//! The plugin on one worker: its configuration and its clock.

use std::rc::Rc;
use std::time::Duration;

use log::{error, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::holds::Holds;
use super::stream::Stream;
use super::{abi, calls};
use crate::config::{self, Plan, Planned};
use crate::session;

/// How often what is overdue is looked for.
const TICK: Duration = Duration::from_secs(1);

/// The plugin's root context.
#[derive(Default)]
pub struct Root {
    plan: Option<Rc<Plan>>,
    holds: Rc<Holds>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        match config::load(&configuration, &|name| std::env::var(name).ok()) {
            Ok(Planned { plan, warnings }) => {
                warnings.iter().for_each(|warning| warn!("realtime_byok: {warning}"));
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
        let overdue = self.holds.overdue(self.get_current_time());
        if overdue.is_empty() {
            return;
        }
        error!(
            "realtime_byok: Envoy keeps the bodies of {} waiting requests back; set `allow_on_headers_stop_iteration: \
             true` in the plugin's configuration",
            overdue.len()
        );
        let denial = session::body_unavailable();
        for context in overdue {
            if abi::set_effective_context(context).is_ok() && calls::refuse(&denial).is_err() {
                error!("realtime_byok: cannot answer a request that waits for its body");
            }
        }
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(context, self.plan.clone(), self.holds.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
