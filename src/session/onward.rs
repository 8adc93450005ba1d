//! The edits of a request that goes on: what is removed, then what is added.

use std::rc::Rc;

use super::Surroundings;
use super::admission::{Admission, Choice, Purpose};
use super::called::call_joined;
use crate::auth::Offered;
use crate::config::Plan;
use crate::http::{Edits, Fate, Headers, Param, Target, Value};
use crate::inbound::Inbound;
use crate::policy::{Credential, Placement, Provider};
use crate::secret::Secret;

/// The header by which routes can tell providers apart.
const PROVIDER_HEADER: &str = "x-realtime-byok-provider";

/// All edits of a request that goes on to `choice` with this credential. `is_counted` says that its answer must be readable.
pub fn edits(
    plan: &Plan,
    admission: &Admission,
    inbound: Inbound<'_>,
    offered: &Offered<'_>,
    choice: &Choice<'_>,
    credential: Option<&(Placement, Rc<Secret>)>,
    is_counted: bool,
) -> Edits {
    let (policy, target) = (&admission.policy, inbound.target);
    let must_be_plain = inbound.has_accept_encoding && is_counted;
    let mut edits = inbound.strip(offered);
    if must_be_plain {
        edits.set("accept-encoding", Value::Plain(b"identity".to_vec()));
    }
    let mut added: Vec<(&str, &[u8])> = Vec::new();
    match credential {
        Some((Placement::Header { name, .. }, value)) => edits.set(name.clone(), Value::Secret(value.clone())),
        Some((Placement::Query(name), value)) => added.push((name, value.expose())),
        None => {}
    }
    for (name, value) in &choice.provider.account {
        edits.set(*name, Value::Plain(value.clone().into_bytes()));
    }
    if policy.has_choice() {
        edits.set(PROVIDER_HEADER, Value::Plain(choice.provider.name.clone().into_bytes()));
    }
    let in_query = matches!(admission.purpose, Purpose::WebSocket | Purpose::Call);
    let model = choice.model.filter(|_| in_query);
    let is_local_grant = admission.grant.as_ref().is_some_and(|grant| grant.upstream.is_none());
    let needs_model = is_local_grant && call_joined(&target).is_none();
    if let Some(model) = model.filter(|_| needs_model && !target.params().any(|param| policy.is_model_param(&param))) {
        added.push(("model", model.as_bytes()));
    }
    let fate = |param: &Param<'_>| match model {
        _ if plan.strip.takes(param) => Fate::Drop,
        Some(model) if policy.is_model_param(param) && param.value().as_deref() != Some(model) => {
            Fate::Value(model.as_bytes())
        }
        _ => Fate::Keep,
    };
    if let Some(path) = target.rewrite(&fate, &added) {
        edits.set(":path", Value::Secret(Rc::new(Secret::new(path))));
    }
    edits
}

/// The edits of a request that is answered here: its path without credentials, as access logs show paths.
pub fn edits_of_refused(plan: &Plan, headers: &Headers) -> Edits {
    let mut edits = Edits::default();
    let target = Target::parse(headers.first(b":path").unwrap_or_default());
    let fate = |param: &Param<'_>| if plan.strip.takes(param) { Fate::Drop } else { Fate::Keep };
    if let Some(path) = target.rewrite(&fate, &[]) {
        edits.set(":path", Value::Plain(path));
    }
    edits
}

/// What the request goes on with, and where that is put: the upstream's own secret if it came with one, else a key of the
/// provider's, else nothing.
pub fn credential(
    provider: &Provider,
    upstream: Option<&Secret>,
    around: &impl Surroundings,
) -> Option<(Placement, Rc<Secret>)> {
    match (upstream, &provider.credential) {
        (Some(secret), _) => {
            let placement = provider.kind.placement();
            let value = placement.value(secret);
            Some((placement, value))
        }
        (None, Credential::External) => None,
        (None, Credential::Keys(placement, pool)) => {
            let roll = || around.random().map_or(0, u64::from_le_bytes);
            Some((placement.clone(), pool.pick(roll).clone()))
        }
    }
}
