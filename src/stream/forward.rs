//! The edits of a request that goes on: what is removed, then what is added.

use std::rc::Rc;

use super::admission::{Admission, Purpose};
use super::call::call_joined;
use super::request_head::RequestHead;
use super::upstream::Upstream;
use crate::config::Plan;
use crate::credential::SubprotocolOffer;
use crate::http::{Edits, HeaderValue, Headers, Param, ParamEdit, Target};
use crate::policy::Placement;
use crate::secret::Secret;

/// The header by which routes can tell providers apart.
const PROVIDER_HEADER: &str = "x-realtime-byok-provider";

/// All edits of a request that goes on to `choice` with this credential. `is_counted` says that its answer must be readable.
pub fn edits(
    plan: &Plan,
    admission: &Admission,
    head: RequestHead<'_>,
    offer: &SubprotocolOffer<'_>,
    upstream: &Upstream<'_>,
    credential: Option<&(Placement, Rc<Secret>)>,
    is_counted: bool,
) -> Edits {
    let (policy, target) = (&admission.policy, head.target);
    let must_be_plain = head.has_accept_encoding && is_counted;
    let mut edits = head.strip(offer);
    if must_be_plain {
        edits.set("accept-encoding", HeaderValue::Plain(b"identity".to_vec()));
    }
    let mut added: Vec<(&str, &[u8])> = Vec::new();
    match credential {
        Some((Placement::Header { name, .. }, value)) => edits.set(name.clone(), HeaderValue::Secret(value.clone())),
        Some((Placement::Query(name), value)) => added.push((name, value.expose())),
        None => {}
    }
    for (name, value) in &upstream.provider.account {
        edits.set(*name, HeaderValue::Plain(value.clone().into_bytes()));
    }
    if policy.has_several_providers() {
        edits.set(PROVIDER_HEADER, HeaderValue::Plain(upstream.provider.name.clone().into_bytes()));
    }
    let in_query = matches!(admission.purpose, Purpose::WebSocket | Purpose::Call);
    let model = upstream.model.filter(|_| in_query);
    let is_local_secret =
        admission.client_secret.as_ref().is_some_and(|client_secret| client_secret.upstream.is_none());
    let needs_model = is_local_secret && call_joined(&target).is_none();
    if let Some(model) = model.filter(|_| needs_model && !target.params().any(|param| policy.is_model_param(&param))) {
        added.push(("model", model.as_bytes()));
    }
    let edit = |param: &Param<'_>| match model {
        _ if plan.strip.takes(param) => ParamEdit::Remove,
        Some(model) if policy.is_model_param(param) && param.value().as_deref() != Some(model) => {
            ParamEdit::Replace(model.as_bytes())
        }
        _ => ParamEdit::Keep,
    };
    if let Some(path) = target.rewrite(&edit, &added) {
        edits.set(":path", HeaderValue::Secret(Rc::new(Secret::new(path))));
    }
    edits
}

/// The edits of a request that is answered here: its path without credentials, as access logs show paths.
pub fn edits_of_denied(plan: &Plan, headers: &Headers) -> Edits {
    let mut edits = Edits::default();
    let target = Target::parse(headers.first(b":path").unwrap_or_default());
    let edit = |param: &Param<'_>| if plan.strip.takes(param) { ParamEdit::Remove } else { ParamEdit::Keep };
    if let Some(path) = target.rewrite(&edit, &[]) {
        edits.set(":path", HeaderValue::Plain(path));
    }
    edits
}
