//! Providers: what they are, and the credentials that they take.

use std::borrow::Cow;
use std::time::Duration;

use super::Builder;
use crate::config::{Path, raw};
use crate::http::HeaderName;
use crate::policy::{Credential, Key, KeyPool, LONGEST_REST, Placement, Provider, ProviderKind};

/// How long a refused key rests at first, where the configuration does not say.
const COOL_DOWN: Duration = Duration::from_secs(30);

impl Builder<'_> {
    pub(super) fn provider(&mut self, path: &Path, name: &str, raw: &raw::Provider) -> Option<Provider> {
        if name.is_empty() || name.contains('/') {
            self.error(
                path,
                "a provider's name stands before a slash in a model's: it must have characters, and no slash",
            );
        }
        let kind = self.kind(path, raw);
        let account = self.account(path, raw);
        let credential = self.credential(path, raw, kind.as_ref());
        Some(Provider { name: name.to_owned(), kind: kind?, credential: credential?, account })
    }

    fn kind(&mut self, path: &Path, raw: &raw::Provider) -> Option<ProviderKind> {
        if raw.kind != raw::ProviderKind::Custom {
            for (name, is_given) in [("header", raw.header.is_some()), ("query", raw.query.is_some())] {
                if is_given {
                    self.error(&path.key(name), "only a provider of kind \"custom\" has this");
                }
            }
        }
        match raw.kind {
            raw::ProviderKind::OpenAi => Some(ProviderKind::OpenAi),
            raw::ProviderKind::AzureOpenAi => Some(ProviderKind::AzureOpenAi),
            raw::ProviderKind::Xai => Some(ProviderKind::Xai),
            raw::ProviderKind::Gemini => Some(ProviderKind::Gemini),
            raw::ProviderKind::Anthropic => Some(ProviderKind::Anthropic),
            raw::ProviderKind::Custom => self.placement(path, raw).map(ProviderKind::Custom),
        }
    }

    fn placement(&mut self, path: &Path, raw: &raw::Provider) -> Option<Placement> {
        match (&raw.header, &raw.query) {
            (Some(header), None) => {
                let path = path.key("header");
                self.header_name(&path.key("name"), &header.name);
                if !header.prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                    self.error(&path.key("prefix"), "holds a character that a header value cannot");
                }
                let name = HeaderName::Shared(header.name.to_ascii_lowercase().into());
                Some(Placement::Header { name, prefix: Cow::Owned(header.prefix.clone()) })
            }
            (None, Some(query)) if query.is_empty() => {
                self.error(&path.key("query"), "empty; expected a parameter's name");
                None
            }
            (None, Some(query)) => {
                if !matches!(raw.key, Some(raw::Key::External)) {
                    let warning = "Envoy's own logs of :path show this key; log it without its query";
                    self.warn(&path.key("query"), warning);
                }
                Some(Placement::Query(query.clone()))
            }
            _ => {
                self.error(path, "a provider of kind \"custom\" needs one of header and query");
                None
            }
        }
    }

    fn account(&mut self, path: &Path, raw: &raw::Provider) -> Vec<(&'static str, String)> {
        let mut account = Vec::new();
        let settings =
            [("organization", "openai-organization", &raw.organization), ("project", "openai-project", &raw.project)];
        for (name, header, value) in settings {
            let Some(value) = value else { continue };
            if raw.kind != raw::ProviderKind::OpenAi {
                self.error(&path.key(name), "only a provider of kind \"openai\" has this");
            } else if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.error(&path.key(name), "not an identifier such as org-a1b2");
            }
            account.push((header, value.clone()));
        }
        account
    }

    fn credential(&mut self, path: &Path, raw: &raw::Provider, kind: Option<&ProviderKind>) -> Option<Credential> {
        let cool_down = self.cool_down(&path.key("cool_down"), raw);
        match (&raw.key, &raw.keys) {
            (Some(raw::Key::External), None) => Some(Credential::External),
            (Some(raw::Key::Held(source)), None) => {
                let secret = self.reader.key(&path.key("key"), source)?;
                let placement = kind?.placement();
                let key = Key { name: String::new(), value: placement.value(&secret), weight: 1 };
                Some(Credential::Keys(placement, KeyPool::new(key, Vec::new(), cool_down)))
            }
            (None, Some(keys)) => self.pool(&path.key("keys"), (keys, cool_down), kind?.placement()),
            _ => {
                self.error(path, "needs one of key and keys");
                None
            }
        }
    }

    fn cool_down(&mut self, path: &Path, raw: &raw::Provider) -> Duration {
        let Some(raw::Span(span)) = raw.cool_down else { return COOL_DOWN };
        if raw.keys.is_none() {
            self.error(path, "only a pool of keys has this");
        } else if span > LONGEST_REST {
            self.error(path, "longer than 10m, which is how long a key rests at most");
        }
        span
    }

    fn pool(
        &mut self,
        path: &Path,
        (raw, cool_down): (&[raw::PoolKey], Duration),
        placement: Placement,
    ) -> Option<Credential> {
        let mut names: Vec<&str> = Vec::new();
        let mut keys = Vec::new();
        for (index, raw) in raw.iter().enumerate() {
            let path = path.index(index);
            if names.contains(&raw.name.as_str()) {
                self.error(&path.key("name"), format!("the pool has a key named \"{}\" already", raw.name));
            }
            names.push(&raw.name);
            if raw.weight == 0 {
                self.error(&path.key("weight"), "found 0, expected at least 1");
            }
            match &raw.key {
                raw::Key::External => self.error(&path.key("key"), "a key of a pool cannot be external"),
                raw::Key::Held(source) => {
                    let secret = self.reader.key(&path.key("key"), source);
                    let name = raw.name.clone();
                    keys.extend(secret.map(|secret| Key { name, value: placement.value(&secret), weight: raw.weight }));
                }
            }
        }
        if raw.is_empty() {
            self.error(path, "found no key, expected at least one");
        }
        let mut keys = keys.into_iter();
        let first = keys.next()?;
        Some(Credential::Keys(placement, KeyPool::new(first, keys.collect(), cool_down)))
    }
}
