//! What of a response's header lines no client gets: a key that they quote, cookies, the provider's account.

use std::sync::Arc;

use super::action::ResponseAction;
use super::admission::Admission;
use crate::http::{Edit, Edits, HeaderValue, Headers};
use crate::policy::Provider;
use crate::secret::{Secret, redacted};

/// Lines of an upstream's that are about the gateway's account there, and not for its clients.
const REMOVED: [&[u8]; 3] = [b"openai-organization", b"openai-project", b"set-cookie"];

/// What must not come back of what a request went on with. An upstream may know all keys of a provider, whichever it was.
#[derive(Clone)]
pub(crate) struct Redaction {
    provider: Arc<Provider>,
    /// The upstream's own secret.
    upstream_secret: Option<Arc<Secret>>,
}

impl Redaction {
    /// Of a request that this provider serves.
    pub(crate) fn new(provider: &Arc<Provider>, admission: &Admission) -> Self {
        let upstream_secret = admission.client_secret.as_ref().and_then(|client_secret| client_secret.upstream.clone());
        Self { provider: provider.clone(), upstream_secret }
    }

    /// Of a request that goes on with a key of the provider's.
    pub(crate) fn of_key(provider: &Arc<Provider>) -> Self {
        Self { provider: provider.clone(), upstream_secret: None }
    }

    /// The edits of these lines, of a head or of trailers.
    pub(crate) fn edits(&self, lines: &Headers) -> Edits {
        let mut edits = Edits::default();
        // Most lines are shorter than any key, and nothing more is asked of them.
        let shortest = self.secrets().map(<[u8]>::len).min().unwrap_or(usize::MAX);
        for (name, value) in lines.iter() {
            if REMOVED.contains(&name) || (name.len() >= shortest && self.redacted(name).is_some()) {
                edits.remove(Arc::<str>::from(String::from_utf8_lossy(name)));
            } else if value.len() >= shortest && self.redacted(value).is_some() {
                // RFC 9110 section 5.3: lines of one name may be joined.
                let values: Vec<_> = lines.all(name).map(|value| self.shown(value)).collect();
                let value = HeaderValue::Plain(values.join(b", ".as_slice()));
                edits.set(Arc::<str>::from(String::from_utf8_lossy(name)), value);
            }
        }
        edits
    }

    /// What becomes of a response whose head has these edits, whatever else is to be done with it.
    pub(crate) fn applied(&self, edits: Edits, action: ResponseAction) -> ResponseAction {
        match action {
            ResponseAction::Pass if edits.is_empty() => ResponseAction::Pass,
            ResponseAction::Pass => ResponseAction::Edit(edits),
            ResponseAction::Edit(more) => ResponseAction::Edit(self.merged(edits, more)),
            ResponseAction::Release(more, body) => ResponseAction::Release(self.merged(edits, more), body),
            // Their heads are the filter's own, or were edited before.
            ResponseAction::Hold
            | ResponseAction::Withhold
            | ResponseAction::Replace(..)
            | ResponseAction::Reply(_) => action,
        }
    }

    /// These edits and then more, which set nothing that no client gets.
    fn merged(&self, mut edits: Edits, mut more: Edits) -> Edits {
        more.retain_mut(|edit| match edit {
            Edit::Set(name, _) if REMOVED.contains(&name.as_bytes()) => false,
            Edit::Set(_, HeaderValue::Plain(value)) => {
                if let Some(shown) = self.redacted(value) {
                    *value = shown;
                }
                true
            }
            Edit::Set(..) | Edit::Remove(_) => true,
        });
        if edits.is_empty() {
            return more;
        }
        edits.extend(more);
        edits
    }

    fn shown(&self, text: &[u8]) -> Vec<u8> {
        self.redacted(text).unwrap_or_else(|| text.to_vec())
    }

    fn redacted(&self, text: &[u8]) -> Option<Vec<u8>> {
        redacted(text, self.secrets())
    }

    fn secrets(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.provider.keys().chain(self.upstream_secret.iter().map(|secret| secret.expose()))
    }
}
