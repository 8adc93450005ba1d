//! Policies: their providers, models, limits, locks and presets.

use std::sync::Arc;

use super::{Builder, listed};
use crate::config::{Path, raw};
use crate::policy::{CallRules, Guard, Permission, Policy, Provider, ProviderKind, TokenEnd};

impl Builder<'_> {
    pub(super) fn policy(
        &mut self,
        path: &Path,
        name: &str,
        raw: &raw::Policy,
        providers: &[Arc<Provider>],
    ) -> Option<Guard> {
        if raw.auth == Some(raw::Auth::Off) {
            if raw.has_others_than_auth() {
                self.error(path, "with auth \"off\" requests pass as they are; remove the other settings");
            }
            if name == "default" {
                self.warn(
                    path,
                    "every route that has no other policy passes requests as they are, those to a provider too",
                );
            }
            return Some(Guard::Off);
        }
        let names = self.provider_names(path, raw);
        for (from, to) in &raw.aliases.0 {
            if from.is_empty() || to.is_empty() {
                self.error(&path.key("aliases").key(from), "empty; expected a model's name on both sides");
            }
        }
        let models = self.models(&path.key("models"), raw.models.as_ref());
        let mut chosen = names.iter().filter_map(|name| providers.iter().find(|known| known.name == *name)).cloned();
        let limits = self.session_limits(&path.key("session"), raw.session.as_ref());
        let policy = Policy {
            name: name.to_owned(),
            default_provider: chosen.next()?,
            other_providers: chosen.collect(),
            models,
            aliases: raw.aliases.0.clone(),
            limits,
            lock: self.lock(path, raw),
            preset: self.preset(path, raw.preset.as_ref()),
            hide: self.hide(path, raw.hide.as_ref()),
            calls: self.calls(&path.key("calls"), raw.calls.as_ref()),
            is_metered: self.metered(path, raw),
            token_end: token_end(raw.session.as_ref()),
        };
        let is_unknown = |provider: &&Arc<Provider>| matches!(provider.kind, ProviderKind::Gemini);
        if (limits.max_tokens.is_some() || limits.max_cost.is_some())
            && let Some(provider) = policy.providers().find(is_unknown)
        {
            let name = &provider.name;
            let warning =
                format!("what sessions use at \"{name}\" is not known, so that its tokens and dollars limit nothing");
            self.warn(&path.key("session"), warning);
        }
        Some(Guard::On(Arc::new(policy)))
    }

    fn provider_names(&mut self, path: &Path, raw: &raw::Policy) -> Vec<String> {
        let named: Vec<(Path, &String)> = match (&raw.provider, &raw.providers) {
            (Some(name), None) => vec![(path.key("provider"), name)],
            (None, Some(names)) => {
                let path = path.key("providers");
                names.iter().enumerate().map(|(index, name)| (path.index(index), name)).collect()
            }
            _ => {
                self.error(path, "needs one of provider and providers, or auth: \"off\"");
                return Vec::new();
            }
        };
        if named.is_empty() {
            self.error(&path.key("providers"), "found no provider, expected at least one");
        }
        let mut seen: Vec<&String> = Vec::new();
        for (path, name) in &named {
            if !self.declared.providers.contains(*name) {
                let known = listed(&self.declared.providers);
                self.error(path, format!("no provider is named \"{name}\"; known: {known}"));
            } else if seen.contains(name) {
                self.error(path, format!("\"{name}\" is listed already"));
            }
            seen.push(name);
        }
        named.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Limits and locks are about what frames hold: without following those, they could not be kept.
    fn metered(&mut self, path: &Path, raw: &raw::Policy) -> bool {
        let is_metered = raw.meter.unwrap_or(true);
        let need_it = [
            ("session", raw.session.is_some()),
            ("lock", raw.lock.is_some()),
            ("tool_types", raw.tool_types.is_some()),
            ("preset", raw.preset.is_some()),
            ("hide", raw.hide.is_some()),
        ];
        for (name, is_given) in need_it {
            if is_given && !is_metered {
                self.error(&path.key(name), "cannot be kept with meter: false");
            }
        }
        is_metered
    }

    fn calls(&mut self, path: &Path, raw: Option<&raw::Calls>) -> CallRules {
        let Some(raw) = raw else { return CallRules::default() };
        let permission = |raw| match raw {
            raw::Permission::Refuse => Permission::Refused,
            raw::Permission::Allow => Permission::Allowed,
        };
        if raw.sidebands == 0 {
            self.error(&path.key("sidebands"), "found 0, expected at least 1");
        }
        CallRules { unwatched: permission(raw.unwatched), raw_ids: permission(raw.raw_ids), sidebands: raw.sidebands }
    }
}

fn token_end(raw: Option<&raw::SessionLimits>) -> TokenEnd {
    let is_outlived = raw.is_some_and(|session| session.outlive_token);
    if is_outlived { TokenEnd::Outlived } else { TokenEnd::EndsSessions }
}
