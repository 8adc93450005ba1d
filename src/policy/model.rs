//! Which model a request names, and which provider and model that comes to.

use std::borrow::Cow;
use std::sync::Arc;

use super::Policy;
use super::provider::{Provider, ProviderKind};
use crate::denial::{Denial, DenialCode};
use crate::endpoint::Path;
use crate::http::{Param, Target};
use crate::name_rule::NameRule;

/// What a named model comes to.
pub struct Resolved<'a> {
    /// Who serves it, if the name says so.
    pub provider: Option<&'a Arc<Provider>>,
    /// Its name there.
    pub model: &'a str,
}

impl Policy {
    /// Resolves a name: a prefix `provider/` of the policy's own providers picks one; what remains may be an alias, which
    /// may hold such a prefix again. A slash after any other name is part of the model's.
    pub fn resolve<'a>(&'a self, name: &'a str) -> Resolved<'a> {
        let (provider, model) = self.split(name);
        match self.aliases.iter().find(|(alias, _)| alias == model) {
            None => Resolved { provider, model },
            Some((_, target)) => {
                let (aliased, model) = self.split(target);
                Resolved { provider: aliased.or(provider), model }
            }
        }
    }

    /// Checks a resolved name against the policy's and the caller's rules; none at all is an error where one of them has
    /// a rule.
    ///
    /// # Errors
    ///
    /// 403 for a model that one of the rules leaves out; 400 for none where one of them has a rule.
    pub fn check_model(&self, model: Option<&str>, caller: &NameRule) -> Result<(), Denial> {
        match model {
            Some(model) if self.models.allows(model) && caller.allows(model) => Ok(()),
            Some(_) => {
                let message = "This model is not allowed here. Choose one that the gateway's policy allows.";
                Err(Denial::new(DenialCode::ModelNotAllowed, message).param("model"))
            }
            None if self.models.is_restricted() || caller.is_restricted() => {
                let message = "Name a model: the gateway's policy allows only some.";
                Err(Denial::new(DenialCode::ModelRequired, message).param("model"))
            }
            None => Ok(()),
        }
    }

    /// Whether `param` names the model to one of the policy's providers. Azure takes a `deployment` for it.
    pub fn is_model_param(&self, param: &Param<'_>) -> bool {
        param.is("model") || (param.is("deployment") && self.has_kind(|kind| *kind == ProviderKind::AzureOpenAi))
    }

    fn split<'a>(&'a self, name: &'a str) -> (Option<&'a Arc<Provider>>, &'a str) {
        // Most names are short, and hold none.
        if !name.bytes().any(|byte| byte == b'/') {
            return (None, name);
        }
        let named = |prefix: &str| self.providers().find(|provider| provider.name == prefix);
        let prefixed = name.split_once('/').and_then(|(prefix, rest)| Some((named(prefix)?, rest)));
        match prefixed {
            Some((provider, rest)) => (Some(provider), rest),
            None => (None, name),
        }
    }
}

/// The models in a target's query.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QueryModels<'a> {
    /// The one that it names.
    pub named: Option<Cow<'a, str>>,
    /// Another one, of Azure's: its `model` and its `deployment` may differ, and nobody here knows which of them counts.
    pub beside: Option<Cow<'a, str>>,
}

/// The models in a target's query.
///
/// # Errors
///
/// 400 where the query names a model twice, in another case, not in percent-encoded UTF-8, or with a character that some
/// upstream would read on.
pub fn in_query<'a>(target: &Target<'a>, policy: &Policy) -> Result<QueryModels<'a>, Denial> {
    let malformed = |message| Denial::new(DenialCode::MalformedRequest, message).param("model");
    let mut models = QueryModels::default();
    let mut seen: Option<Param<'_>> = None;
    for param in target.params().filter(|param| policy.is_model_param(param)) {
        if !param.is_exactly("model") && !param.is_exactly("deployment") {
            return Err(malformed("Write the parameter `model` in lower case: upstreams know no other."));
        }
        if models.beside.is_some()
            || seen.as_ref().is_some_and(|seen| seen.is_exactly("model") == param.is_exactly("model"))
        {
            return Err(malformed("Name the model once: the query names it more than once."));
        }
        let value = param.value().ok_or_else(|| malformed("The query's `model` is not percent-encoded UTF-8."))?;
        // Upstreams that decode twice, or take `;` for `&`, would read another model.
        let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'&' | b';' | b'%'));
        if !is_plain && value.contains(|character: char| matches!(character, '&' | ';' | '%') || character.is_control())
        {
            return Err(malformed("The query's `model` may hold none of & ; % and no control character."));
        }
        match seen.replace(param) {
            _ if value.is_empty() => {}
            Some(_) if models.named.is_some() => models.beside = Some(value),
            _ => models.named = Some(value),
        }
    }
    if models.beside == models.named {
        models.beside = None;
    }
    Ok(models)
}

/// The models in a path, where the provider reads them there: `deployments/{model}` on Azure,
/// `models/{model}:{method}` on Gemini.
pub fn in_path<'a>(path: &'a Path<'_>, kind: &ProviderKind) -> impl Iterator<Item = &'a str> {
    let folder = match kind {
        ProviderKind::AzureOpenAi => Some("deployments"),
        ProviderKind::Gemini => Some("models"),
        _ => None,
    };
    let models = folder.map(|folder| path.below(folder)).into_iter().flatten();
    models.map(|model| model.split_once(':').map_or(model, |(model, _)| model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::provider::Provider;
    use crate::testing;

    fn policy(kinds: &[(&str, ProviderKind)], aliases: &[(&str, &str)], models: NameRule) -> Policy {
        let provider = |name: &str, kind: &ProviderKind| {
            Arc::new(Provider { name: name.into(), kind: kind.clone(), ..testing::provider() })
        };
        let mut providers = kinds.iter().map(|(name, kind)| provider(name, kind));
        Policy {
            default_provider: providers.next().unwrap(),
            other_providers: providers.collect(),
            models,
            aliases: aliases.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect(),
            ..testing::policy()
        }
    }

    #[test]
    fn a_name_comes_to_a_provider_and_its_model() {
        let kinds = [("openai", ProviderKind::OpenAi), ("azure-eu", ProviderKind::AzureOpenAi)];
        let aliases = [("voice", "gpt-realtime-2"), ("eu", "azure-eu/gpt-eu"), ("loop", "loop")];
        let policy = policy(&kinds, &aliases, NameRule::Any);
        for (name, provider, model) in [
            ("gpt-realtime", "", "gpt-realtime"),
            ("openai/gpt-realtime", "openai", "gpt-realtime"),
            ("azure-eu/gpt-realtime", "azure-eu", "gpt-realtime"),
            ("azure-us/gpt-realtime", "", "azure-us/gpt-realtime"),
            ("voice", "", "gpt-realtime-2"),
            ("azure-eu/voice", "azure-eu", "gpt-realtime-2"),
            ("eu", "azure-eu", "gpt-eu"),
            ("openai/eu", "azure-eu", "gpt-eu"),
            ("azure-eu/openai/x", "azure-eu", "openai/x"),
            ("loop", "", "loop"),
            ("openai/", "openai", ""),
            ("/", "", "/"),
        ] {
            let resolved = policy.resolve(name);
            let found = resolved.provider.map_or("", |provider| provider.name.as_str());
            assert_eq!((found, resolved.model), (provider, model), "{name}");
        }
    }

    #[test]
    fn rules_of_policy_and_caller_both_hold() {
        let policy = policy(&[("openai", ProviderKind::OpenAi)], &[], NameRule::globs(["gpt-*"]));
        let caller = NameRule::globs(["*-mini"]);
        for (model, want) in [
            (Some("gpt-mini"), None),
            (Some("gpt-big"), Some(DenialCode::ModelNotAllowed)),
            (Some("o-mini"), Some(DenialCode::ModelNotAllowed)),
            (None, Some(DenialCode::ModelRequired)),
        ] {
            let denial = policy.check_model(model, &caller).err();
            assert_eq!(denial.map(|denial| denial.code), want, "{model:?}");
        }
    }

    #[test]
    fn the_query_names_one_model_or_none() {
        let plain = policy(&[("openai", ProviderKind::OpenAi)], &[], NameRule::Any);
        let azure = policy(&[("azure", ProviderKind::AzureOpenAi)], &[], NameRule::Any);
        let models = |names: &[&'static str]| QueryModels {
            named: names.first().map(|name| (*name).into()),
            beside: names.get(1).map(|name| (*name).into()),
        };
        let model = |name: &'static str| Ok(models(&[name]));
        for (policy, path, want) in [
            (&plain, "/r", Ok(models(&[]))),
            (&plain, "/r?model=", Ok(models(&[]))),
            (&plain, "/r?x=1&model=m", model("m")),
            (&plain, "/r?%6dodel=a%2Fb", model("a/b")),
            (&plain, "/r?Model=a", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=m&model=m", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=m&Model=n", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=%f", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=a%26model=b", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=a;model=b", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=a%3Bb", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=a%2562", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=a%0Ab", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=a%00", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=a%7f", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=a%C2%85", Err(DenialCode::MalformedRequest)),
            (&plain, "/r?model=ft:gpt%2Bx@y%20z", model("ft:gpt+x@y z")),
            (&plain, "/r?deployment=d&model=m", model("m")),
            (&azure, "/r?deployment=d", model("d")),
            (&azure, "/r?deployment=d%26x", Err(DenialCode::MalformedRequest)),
            (&azure, "/r?deployment=d&model=m", Ok(models(&["d", "m"]))),
            (&azure, "/r?model=m&deployment=m", model("m")),
            (&azure, "/r?model=&deployment=d", model("d")),
            (&azure, "/r?deployment=d&deployment=d", Err(DenialCode::MalformedRequest)),
            (&azure, "/r?model=m&deployment=m&model=m", Err(DenialCode::MalformedRequest)),
            (&azure, "/r?model=m&deployment=d&model=n", Err(DenialCode::MalformedRequest)),
        ] {
            let found = in_query(&Target::parse(path.as_bytes()), policy).map_err(|denial| denial.code);
            assert_eq!(found, want, "{path}");
        }
    }

    #[test]
    fn the_path_names_models_where_the_provider_reads_them_there() {
        for (path, kind, want) in [
            ("/openai/deployments/d/chat/completions", ProviderKind::AzureOpenAi, vec!["d"]),
            ("/openai//%64eployments//d/x/Deployments/e", ProviderKind::AzureOpenAi, vec!["d", "e"]),
            ("/v1beta/models/gemini:generateContent", ProviderKind::Gemini, vec!["gemini"]),
            ("/v1/models/gpt", ProviderKind::OpenAi, vec![]),
        ] {
            let path = Path::decode(path.as_bytes()).unwrap();
            assert_eq!(in_path(&path, &kind).collect::<Vec<_>>(), want, "{path:?}");
        }
    }
}
