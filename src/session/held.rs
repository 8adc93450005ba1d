//! A request whose headers wait for its body, and what comes of it once that is there.

use super::admission::{Admission, BodyNeed, Choice, passes_without_model};
use super::asking::ask;
use super::called::call_hung_up;
use super::exchange::RestExchange;
use super::minting::{self, Minted};
use super::onward::edits_of_refused;
use super::refusal::{form_denial, route_not_allowed, unreadable_body};
use super::surroundings::{Answered, RequestStep, Surroundings};
use super::{Forwarded, State, onward};
use crate::answer::Answer;
use crate::auth::Offered;
use crate::config::Plan;
use crate::denial::Denial;
use crate::http::{Edits, Headers, Value};
use crate::inbound::Inbound;
use crate::metrics::{Metric, MintedBy};
use crate::mint::MintEndpoint;
use crate::policy::BodyModel;

/// Admitted; the body must be seen before the headers go on.
pub struct Held {
    /// The headers that wait.
    pub headers: Headers,
    /// What was found so far.
    pub admission: Admission,
    /// Why they wait.
    pub need: BodyNeed,
}

/// All of the body came.
pub fn complete(
    plan: &Plan,
    admission: Admission,
    headers: &Headers,
    need: BodyNeed,
    body: &[u8],
    around: &impl Surroundings,
) -> Result<(State, RequestStep), Denial> {
    match need {
        BodyNeed::Mint(endpoint) => mint(plan, admission, headers, endpoint, body, around),
        BodyNeed::Model | BodyNeed::Absence => forward(plan, admission, headers, body, around),
    }
}

/// Finds and resolves the model, and edits the request that waited for it.
fn forward(
    plan: &Plan,
    admission: Admission,
    headers: &Headers,
    body: &[u8],
    around: &impl Surroundings,
) -> Result<(State, RequestStep), Denial> {
    let inbound = Inbound::read(headers, &plan.gateway, &plan.strip);
    let model = if body.is_empty() { None } else { BodyModel::find(body).map_err(|_| unreadable_body())? };
    let name = model.as_ref().map(|model| model.name.as_str());
    let choice = admission.choose(&inbound, name, !body.is_empty() && !passes_without_model(&inbound))?;
    let rewritten = match (&model, choice.model) {
        (Some(named), Some(resolved)) if named.name != resolved => named.replace(body, resolved),
        _ => None,
    };
    let asking = ask(&admission, &inbound, choice.provider, rewritten.as_deref().unwrap_or(body))?;
    let exchange = RestExchange::new(&admission, &inbound, &choice, asking.is_some());
    let rewritten = asking.or(rewritten);
    let is_counted = exchange.is_some();
    let edits = edits_with_body(plan, &admission, headers, &choice, rewritten.as_deref(), is_counted, around)?;
    admission.start(around)?;
    let provider = choice.provider.clone();
    let sent = Forwarded {
        admission,
        handshake: None,
        live: None,
        joined: None,
        exchange,
        provider_key: None,
        hung_up: call_hung_up(&inbound),
        provider,
        model: None,
    };
    Ok((State::Forwarded(Box::new(sent)), RequestStep::Forward(edits, rewritten)))
}

/// The body says what secret to mint.
fn mint(
    plan: &Plan,
    admission: Admission,
    headers: &Headers,
    endpoint: MintEndpoint,
    body: &[u8],
    around: &impl Surroundings,
) -> Result<(State, RequestStep), Denial> {
    let secrets = plan.secrets.as_ref().ok_or_else(route_not_allowed)?;
    let request = minting::parse(endpoint, body)?;
    let inbound = Inbound::read(headers, &plan.gateway, &plan.strip);
    let choice = admission.choose(&inbound, request.model(), true)?;
    admission.start(around)?;
    match minting::request(secrets, &admission, endpoint, &request, &choice, around)? {
        Minted::Answer(body) => {
            around.process().borrow_mut().metrics.add(Metric::SecretMinted(MintedBy::Gateway));
            let answered = Answered { answer: Answer::json(200, body.into_bytes()), details: "realtime_byok.minted" };
            Ok((State::Answered, RequestStep::Answer(answered, edits_of_refused(plan, headers))))
        }
        Minted::Forward(body, minting) => {
            let body = body.into_bytes();
            let mut edits = edits_with_body(plan, &admission, headers, &choice, Some(&body), false, around)?;
            edits.set("accept-encoding", Value::Plain(b"identity".to_vec()));
            Ok((State::Minting(minting), RequestStep::Forward(edits, Some(body))))
        }
    }
}

/// The edits of a request whose body was held, and may be replaced.
fn edits_with_body(
    plan: &Plan,
    admission: &Admission,
    headers: &Headers,
    choice: &Choice<'_>,
    body: Option<&[u8]>,
    is_counted: bool,
    around: &impl Surroundings,
) -> Result<Edits, Denial> {
    let inbound = Inbound::read(headers, &plan.gateway, &plan.strip);
    let offered = Offered::parse(&inbound.subprotocols, &plan.gateway).map_err(form_denial)?;
    let credential = onward::credential(choice.provider, admission.upstream_secret(), around);
    let mut edits = onward::edits(plan, admission, inbound, &offered, choice, credential.as_ref(), is_counted);
    if let Some(body) = body
        && headers.first(b"content-length").is_some()
    {
        edits.set("content-length", Value::Plain(body.len().to_string().into_bytes()));
    }
    Ok(edits)
}
