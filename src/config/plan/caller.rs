//! Who may come in, and who may list and stop what they do: callers, tokens, and the control API. What Envoy says of callers
//! is in `identity`.

use std::sync::Arc;

use super::{Builder, Control, listed};
use crate::config::{Path, raw};
use crate::credential::{Access, Caller, Callers, Token, Validity};

impl Builder<'_> {
    pub(super) fn callers(&mut self, path: &Path, raw: &[(String, raw::Caller)]) -> Callers {
        let mut callers = Callers::default();
        for (name, raw) in raw {
            let path = path.key(name);
            let caller = Arc::new(Caller {
                name: name.clone(),
                policies: self.access(&path.key("policies"), raw.policies.as_ref()),
                models: self.models(&path.key("models"), raw.models.as_ref()),
                origins: self.globs(&path.key("origins"), raw.origins.as_ref()),
                limits: self.caller_limits(&path.key("limits"), raw.limits.as_ref()),
                user: raw
                    .user
                    .as_ref()
                    .and_then(|user| self.property(&path.key("user").key("property"), &user.property)),
            });
            if raw.tokens.is_empty() && raw.identities.is_empty() {
                self.error(
                    &path.key("tokens"),
                    "found neither a token nor an identity, expected at least one of either",
                );
            }
            for (index, raw) in raw.identities.iter().enumerate() {
                self.identity(&path.key("identities").index(index), raw, &caller, &mut callers);
            }
            for (index, raw) in raw.tokens.iter().enumerate() {
                self.token(&path.key("tokens").index(index), raw, &caller, &mut callers);
            }
        }
        if raw.is_empty() && !self.declared.policies.is_empty() {
            self.warn(path, "there are none, so that every request is refused");
        }
        callers
    }

    fn token(&mut self, path: &Path, raw: &raw::Token, caller: &Arc<Caller>, callers: &mut Callers) {
        let validity = self.validity(path, raw);
        let Some(digest) = self.reader.token(path, raw) else { return };
        if let Err(owner) = callers.insert(digest, Token { caller: caller.clone(), validity }) {
            self.error(path, format!("caller \"{owner}\" has this token already"));
        }
    }

    fn validity(&mut self, path: &Path, raw: &raw::Token) -> Validity {
        let validity =
            Validity { not_before: raw.not_before.map(|time| time.0), not_after: raw.not_after.map(|time| time.0) };
        if let (Some(start), Some(end)) = (validity.not_before, validity.not_after)
            && start >= end
        {
            self.error(path, "not_after is not later than not_before");
        }
        validity
    }

    /// Whoever has a token of a caller's must not be able to stop the sessions of all.
    pub(super) fn control(&mut self, path: &Path, raw: &raw::Control, callers: &Callers) -> Option<Control> {
        let (path, token) = (path.key("path"), path.key("token"));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let segments = raw.path.strip_prefix('/').map(|rest| rest.split('/'));
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        if !raw.path.bytes().all(is_plain) || !segments.is_some_and(|mut segments| segments.all(is_segment)) {
            self.error(&path, "expected a path such as /realtime-byok, without a slash at its end");
        }
        let validity = self.validity(&token, &raw.token);
        let digest = self.reader.token(&token, &raw.token)?;
        if let Some(owner) = callers.owner(&digest) {
            self.error(&token, format!("caller \"{owner}\" has this token; the control API needs one of its own"));
        }
        Some(Control { path: raw.path.clone(), token: digest, validity })
    }

    fn access(&mut self, path: &Path, names: Option<&Vec<String>>) -> Access {
        let Some(names) = names else { return Access::All };
        for (index, name) in names.iter().enumerate() {
            if !self.declared.policies.contains(name) {
                let known = listed(&self.declared.policies);
                self.error(&path.index(index), format!("no policy is named \"{name}\"; known: {known}"));
            }
        }
        Access::Only(names.clone())
    }
}
