//! The provider and the model of a request.

use std::sync::Arc;

use super::admission::Admission;
use super::denials::{model_of_another_secret, model_of_unknown_price, route_not_allowed, unpriced_model};
use crate::denial::{Denial, Subject};
use crate::endpoint::{Endpoint, Path};
use crate::http::Target;
use crate::policy::{Provider, QueryModels, in_path, in_query};
use crate::protocol::ModelRole;
use crate::usage::PriceList;

/// How much of the name of a denied request's model is logged, in bytes.
const MAX_MODEL: usize = 128;

/// Who serves a request, and by which name the model is known there.
pub(crate) struct Upstream<'a> {
    /// Who serves it.
    pub provider: &'a Arc<Provider>,
    /// The model's name there, if one is known.
    pub model: Option<&'a str>,
    /// The name there of another one that the query names: Azure's `model` and `deployment` may differ.
    pub beside: Option<String>,
}

impl<'a> Upstream<'a> {
    /// Resolves the model that a request names in its query or body, and checks it and those that its path names. With a
    /// body that was read, or without one, it may be subject to a rule on models even if it names none.
    ///
    /// # Errors
    ///
    /// If a model is not allowed, or has no price where dollars are limited, or is another one than the client secret is
    /// for; or if none is named where one must be.
    pub(crate) fn resolve(
        admission: &'a Admission,
        path: &Path<'_>,
        named: Option<&'a str>,
        has_body: bool,
    ) -> Result<Self, Denial> {
        let of_model = |denial: Denial| denial.of(Subject { model: named.map(shown), ..Subject::default() });
        Self::judge(admission, path, named, has_body).map_err(of_model)
    }

    fn judge(
        admission: &'a Admission,
        path: &Path<'_>,
        named: Option<&'a str>,
        has_body: bool,
    ) -> Result<Self, Denial> {
        let (policy, caller) = (&admission.policy, &admission.caller.models);
        let (explicit, named) = match named.map(|name| policy.resolve(name)) {
            Some(resolved) => (resolved.provider, Some(resolved.model)),
            None => (None, None),
        };
        let minted_for = admission.client_secret.as_ref().and_then(|secret| secret.models.session.as_deref());
        let mut bound = admission.bound_providers().chain(explicit);
        let provider = bound.next().unwrap_or(&policy.default_provider);
        if bound.any(|other| other.name != provider.name) {
            return Err(route_not_allowed());
        }
        if let (Some(named), Some(minted_for)) = (named, minted_for)
            && named != minted_for
        {
            return Err(model_of_another_secret());
        }
        let model = named.or(minted_for);
        let mut is_named = model.is_some();
        for model in in_path(path, &provider.kind) {
            is_named = true;
            if admission.binding_models().is_some_and(|minted| !minted.allows(ModelRole::Response, model)) {
                return Err(model_of_another_secret());
            }
            policy.check_model(Some(model), caller)?;
            check_price(admission.prices.as_deref(), Some(model))?;
        }
        if model.is_some() || (admission.endpoint.must_name_model(has_body) && !is_named) {
            policy.check_model(model, caller)?;
        }
        check_price(admission.prices.as_deref(), model)?;
        let is_made = matches!(admission.endpoint, Endpoint::Completions | Endpoint::Creation);
        if admission.prices.is_some() && is_made && has_body && !is_named {
            return Err(model_of_unknown_price());
        }
        Ok(Self { provider, model, beside: None })
    }

    /// Resolves the models that the query of a session's request names.
    ///
    /// # Errors
    ///
    /// If one of them may not be used.
    pub(crate) fn of_query(
        admission: &'a Admission,
        path: &Path<'_>,
        models: &'a QueryModels<'_>,
    ) -> Result<Self, Denial> {
        let mut upstream = Self::resolve(admission, path, models.named.as_deref(), false)?;
        if let Some(beside) = &models.beside {
            let denied = |denial: Denial| denial.of(Subject { model: Some(shown(beside)), ..Subject::default() });
            upstream.beside = Some(upstream.resolve_beside(admission, beside).map_err(denied)?.to_owned());
        }
        Ok(upstream)
    }

    /// Resolves another model that the same request names, which the same provider must serve.
    ///
    /// # Errors
    ///
    /// If it is not allowed, or not the one of a client secret whose model is all that holds.
    pub(crate) fn resolve_beside<'b>(&self, admission: &'b Admission, name: &'b str) -> Result<&'b str, Denial> {
        let resolved = admission.policy.resolve(name);
        if resolved.provider.is_some_and(|provider| provider.name != self.provider.name) {
            return Err(route_not_allowed());
        }
        if admission.binding_models().is_some_and(|minted| !minted.allows(ModelRole::Response, resolved.model)) {
            return Err(model_of_another_secret());
        }
        admission.policy.check_model(Some(resolved.model), &admission.caller.models)?;
        check_price(admission.prices.as_deref(), Some(resolved.model))?;
        Ok(resolved.model)
    }

    /// What is known of a request to it that is denied after all.
    pub(crate) fn subject(&self) -> Subject {
        let (provider, model) = (Some(self.provider.name.clone()), self.model.map(shown));
        Subject { provider, model, ..Subject::default() }
    }
}

/// A model's name, which may be of any length, as logs show it.
fn shown(model: &str) -> String {
    let (model, _) = model.split_at(model.floor_char_boundary(MAX_MODEL));
    model.to_owned()
}

/// Whether a model has a price, if one must.
///
/// # Errors
///
/// 403 for a model that has none.
pub(crate) fn check_price(prices: Option<&PriceList>, model: Option<&str>) -> Result<(), Denial> {
    let unpriced = prices.zip(model).filter(|(prices, model)| prices.price_of(model).is_none());
    unpriced.map_or(Ok(()), |_| Err(unpriced_model()))
}

/// The models that the query of a session's request names.
pub(crate) fn named_in_query<'a>(target: &Target<'a>, admission: &Admission) -> Result<QueryModels<'a>, Denial> {
    match admission.endpoint.begins_session() {
        true => in_query(target, &admission.policy),
        false => Ok(QueryModels::default()),
    }
}
