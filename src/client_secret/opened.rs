//! What an opened client secret allows: its provider, models, page, limits and lock, and what it hides. The user whom it
//! names is the request's.

use std::sync::Arc;

use super::claims::{Claims, LOCK_SEPARATOR, SecretLimits};
use crate::json::paths::InvalidPath;
use crate::policy::{Policy, Provider};
use crate::protocol::{Hide, Lock, ModelRole};
use crate::secret::Secret;

/// What an opened client secret says beyond its caller and policy.
pub struct OpenedSecret {
    /// The provider that it is good for.
    pub provider: Arc<Provider>,
    /// The models that it was minted for.
    pub models: MintedModels,
    /// The only page that may use it.
    pub origin: Option<String>,
    /// The limits of what it opens.
    pub limits: SecretLimits,
    /// What may not be changed in its sessions: what the policy locks, and what it locks itself.
    pub lock: Lock,
    /// What is hidden in its sessions: what the policy hides, and what it locks itself.
    pub hide: Hide,
    /// Whether that is more than the policy locks.
    pub has_lock: bool,
    /// The name of the provider's key that minted the upstream's own secret, if it is one of several.
    pub key: Option<String>,
    /// The upstream's own secret; without one, the provider's key is used.
    pub upstream: Option<Arc<Secret>>,
}

/// The models that a client secret was minted for, as the provider calls them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MintedModels {
    /// The one that responds; of a session that only transcribes, the one that does that.
    pub session: Option<String>,
    /// The one that transcribes beside it.
    pub transcription: Option<String>,
}

impl OpenedSecret {
    /// Bytes that are held beside the secret itself.
    pub fn held(&self) -> usize {
        let texts = [&self.models.session, &self.models.transcription, &self.origin];
        let texts: usize = texts.into_iter().flatten().map(String::capacity).sum();
        texts + self.upstream.as_ref().map_or(0, |upstream| upstream.expose().len())
    }

    /// What claims say of this provider's, under this policy.
    ///
    /// # Errors
    ///
    /// If they lock what is no field.
    pub fn new(claims: &Claims<'_>, policy: &Policy, provider: &Arc<Provider>) -> Result<Self, InvalidPath> {
        let (lock, hide) = match claims.lock.map(|fields| fields.split(LOCK_SEPARATOR)) {
            Some(fields) => (policy.lock.with(fields.clone())?, policy.hide.with(fields)?),
            None => (policy.lock.clone(), policy.hide.clone()),
        };
        let text = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            provider: provider.clone(),
            models: MintedModels { session: text(claims.model), transcription: text(claims.transcription_model) },
            origin: text(claims.origin),
            limits: claims.limits,
            lock,
            hide,
            has_lock: claims.lock.is_some(),
            key: text(claims.key),
            upstream: claims.upstream.map(|secret| Arc::new(Secret::new(secret.to_vec()))),
        })
    }

    /// The models that its sessions may name, and no others. There are none where the upstream's own secret, which the
    /// upstream minted for its session, keeps to them.
    pub fn binding_models(&self) -> Option<&MintedModels> {
        Some(&self.models).filter(|models| self.upstream.is_none() && **models != MintedModels::default())
    }
}

impl MintedModels {
    /// Whether this model may do this.
    pub fn allows(&self, role: ModelRole, name: &str) -> bool {
        let is_named = |model: &Option<String>| model.as_deref() == Some(name);
        match role {
            ModelRole::Response => self.session.is_none() || is_named(&self.session),
            ModelRole::Transcription => is_named(&self.transcription) || is_named(&self.session),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_secret::claims::Claims;
    use crate::client_secret::claims::tests::{FORMER, FULL, LEAST};
    use crate::testing::policy;

    fn opened(claims: &Claims<'_>, lock: &[&str]) -> Result<OpenedSecret, InvalidPath> {
        let policy = Policy { lock: Lock::new(lock)?, hide: Hide::new(["tracing"])?, ..policy() };
        OpenedSecret::new(claims, &policy, &policy.default_provider)
    }

    #[test]
    fn what_a_secret_locks_is_locked_beside_what_the_policy_locks() {
        for (claims, policys, want) in [
            (LEAST, &[][..], &[][..]),
            (LEAST, &["tools"], &["tools"]),
            (FULL, &[], &["instructions", "audio.output.voice"]),
            (FULL, &["tools"], &["tools", "instructions", "audio.output.voice"]),
            (FULL, &["instructions"], &["instructions", "instructions", "audio.output.voice"]),
        ] {
            let opened = opened(&claims, policys).ok().unwrap();
            assert_eq!(opened.lock, Lock::new(want).unwrap());
            assert_eq!(opened.has_lock, claims.lock.is_some());
            let own: &[&str] = if claims.lock.is_some() { &["instructions", "audio.output.voice"] } else { &[] };
            assert_eq!(opened.hide, Hide::new(["tracing"]).unwrap().with(own.iter().copied()).unwrap());
        }
        for lock in ["", "\n", "tools\n", "tools.*", "a..b"] {
            assert!(opened(&Claims { lock: Some(lock), ..LEAST }, &[]).is_err(), "{lock:?}");
        }
    }

    #[test]
    fn models_bind_where_no_upstream_keeps_to_them() {
        let local = Claims { upstream: None, ..FORMER };
        for (claims, binds) in [
            (FORMER, false),
            (local, true),
            (Claims { model: None, ..local }, false),
            (Claims { model: None, transcription_model: Some("w"), ..local }, true),
        ] {
            assert_eq!(opened(&claims, &[]).ok().unwrap().binding_models().is_some(), binds);
        }
    }

    #[test]
    fn only_models_that_were_named_at_minting_may_be_named_again() {
        use ModelRole::{Response, Transcription};

        let models = |session: &str, transcription: &str| {
            let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
            MintedModels { session: name(session), transcription: name(transcription) }
        };
        for (minted, role, name, want) in [
            (models("gpt-realtime", ""), Response, "gpt-realtime", true),
            (models("gpt-realtime", ""), Response, "gpt-realtime-mini", false),
            (models("gpt-realtime", ""), Response, "GPT-realtime", false),
            (models("gpt-realtime", ""), Response, "", false),
            (models("gpt-realtime", ""), Transcription, "whisper-1", false),
            (models("gpt-realtime", "whisper-1"), Transcription, "whisper-1", true),
            (models("gpt-realtime", "whisper-1"), Transcription, "gpt-4o-transcribe", false),
            (models("gpt-realtime", "whisper-1"), Response, "whisper-1", false),
            (models("whisper-1", ""), Transcription, "whisper-1", true),
            (models("whisper-1", ""), Transcription, "gpt-4o-transcribe", false),
            (models("", "whisper-1"), Response, "gpt-realtime", true),
            (models("", "whisper-1"), Transcription, "gpt-4o-transcribe", false),
        ] {
            assert_eq!(minted.allows(role, name), want, "{minted:?} {role:?} {name}");
        }
    }
}
