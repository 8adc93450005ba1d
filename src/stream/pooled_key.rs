//! The key of a pool that a request went on with: whether the upstream takes it, or it is to rest.

use std::sync::Arc;

use super::context::{Context, WorkerState};
use super::response_head::UpstreamResponse;
use crate::host::Level;
use crate::http::{is_json, media_type};
use crate::metrics::Metric;
use crate::policy::{Credential, KeyChoice, Placement, Provider};
use crate::protocol::RefusedRequest;
use crate::secret::Secret;

/// A key that is one of several, until it is known what the upstream says of it.
pub(crate) struct PooledKey {
    provider: Arc<Provider>,
    value: Arc<Secret>,
    /// The body of a 429, which may be the request's own fault.
    refused: Option<RefusedRequest>,
}

impl PooledKey {
    /// The key that a request goes on with, if its provider has others.
    pub(crate) fn of(provider: &Arc<Provider>, sent: Option<&(Placement, Arc<Secret>)>) -> Option<Box<Self>> {
        let (_, value) = sent?;
        provider
            .has_others_than(value)
            .then(|| Box::new(Self { provider: provider.clone(), value: value.clone(), refused: None }))
    }

    /// Its name in the pool.
    pub(crate) fn name(&self) -> &str {
        self.provider.key_name(&self.value).unwrap_or_default()
    }

    /// The response's headers came. `ends` says that no body follows.
    pub(crate) fn answered(
        &mut self,
        status: u16,
        ends: bool,
        response: &UpstreamResponse<'_>,
        worker: &mut WorkerState,
    ) {
        if !response.is_from_upstream() {
            return;
        }
        match status {
            401 | 403 => self.rest(status, worker),
            429 if !ends && is_json(media_type(response.content_type())) && response.content_encoding().is_empty() => {
                self.refused = Some(RefusedRequest::default());
            }
            429 => self.rest(status, worker),
            500.. => {}
            _ => self.taken(worker),
        }
    }

    /// Whether the response's body says what becomes of the key.
    pub(crate) fn reads_body(&self) -> bool {
        self.refused.is_some()
    }

    /// More of that came, or its end.
    pub(crate) fn body(&mut self, bytes: &[u8], ends: bool, worker: &mut WorkerState) {
        if let Some(refused) = &mut self.refused {
            refused.feed(bytes);
        }
        if ends {
            self.end(worker);
        }
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self, worker: &mut WorkerState) {
        if self.refused.take().is_some_and(|refused| !refused.is_own_fault()) {
            self.rest(429, worker);
        }
    }

    fn rest(&self, status: u16, worker: &mut WorkerState) {
        let Credential::Keys(_, pool) = &self.provider.credential else { return };
        let (provider, key) = (self.provider.name.as_str(), self.name());
        if let Some(span) = worker.resting.refused(pool, &self.value, worker.clock) {
            worker.sessions.metrics.add(Metric::KeyRests { provider, key });
            let seconds = span.as_secs();
            let message = format_args!(
                "provider {provider} refused its key {key} with {status}: it rests for {seconds} seconds, as long as another is left"
            );
            worker.log(Level::Warn, message);
        }
    }

    fn taken(&self, worker: &mut WorkerState) {
        if worker.resting.taken(&self.value, worker.clock) {
            let (provider, key) = (&self.provider.name, self.name());
            worker.log(Level::Warn, format_args!("provider {provider} takes its key {key} again"));
        }
    }
}

impl Context<'_> {
    /// A key, drawn now from those of a provider that do not rest.
    pub(crate) fn choose_key<T>(&self, choose: impl FnOnce(&KeyChoice<'_>) -> T) -> T {
        let WorkerState { resting, clock, .. } = &*self.worker;
        choose(&KeyChoice { resting, now: *clock, roll: &|| self.host.roll() })
    }
}
