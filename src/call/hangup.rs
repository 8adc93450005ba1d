//! The request that ends a call.

use std::sync::Arc;
use std::time::Duration;

use crate::host::Callout;
use crate::http::{HeaderValue, Param, ParamEdit, Target};
use crate::policy::{Placement, Provider, ProviderKind};
use crate::secret::Secret;

/// How long an upstream may take to end a call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `POST …/realtime/calls/{id}/hangup`, as it is sent to the upstream.
pub struct Hangup {
    /// Envoy's cluster of the upstream.
    pub cluster: String,
    /// `:authority`
    pub authority: String,
    /// `:path`, the query included.
    pub path: Vec<u8>,
    /// The headers that hold the provider's key, unless the query does, and that pick its account.
    pub headers: Vec<(String, Arc<Secret>)>,
}

/// A key of a provider's, and where it is put.
pub struct ProviderKey {
    /// Whose it is.
    pub provider: Arc<Provider>,
    /// Where it is put.
    pub placement: Placement,
    /// What is put there.
    pub value: Arc<Secret>,
}

impl Hangup {
    /// The request that ends the call `id` where `calls`, `…/realtime/calls`, began it. Of its query all is kept that is
    /// about neither call nor model and is no credential, such as Azure's `api-version`.
    pub fn new(id: &str, cluster: String, authority: String, calls: &Target<'_>, key: &ProviderKey) -> Self {
        let query = calls.query.map_or_else(Vec::new, |query| [b"?", query].concat());
        let path = [calls.path, b"/", id.as_bytes(), b"/hangup", &query].concat();
        let mut headers = Vec::new();
        let mut added: Vec<(&str, &[u8])> = Vec::new();
        match &key.placement {
            Placement::Header { name, .. } => headers.push((name.to_string(), key.value.clone())),
            Placement::Query(name) => added.push((name, key.value.expose())),
        }
        let account = key.provider.account.iter();
        headers.extend(account.map(|(name, value)| ((*name).to_owned(), Arc::new(Secret::new(value.clone().into())))));
        let edit = |param: &Param<'_>| if key.is_dropped(param) { ParamEdit::Remove } else { ParamEdit::Keep };
        let rewritten = Target::parse(&path).rewrite(&edit, &added);
        let path = rewritten.unwrap_or(path);
        Self { cluster, authority, path, headers }
    }

    /// The request as a host sends it.
    pub fn callout(&self) -> Callout {
        let plain = |text: &str| HeaderValue::Plain(text.into());
        // The query may hold the key.
        let path = HeaderValue::Secret(Arc::new(Secret::new(self.path.clone())));
        let mut headers = vec![
            (":method".into(), plain("POST")),
            (":path".into(), path),
            (":authority".into(), plain(&self.authority)),
            (":scheme".into(), plain("https")),
            ("content-length".into(), plain("0")),
        ];
        let own = self.headers.iter().map(|(name, value)| (name.clone().into(), HeaderValue::Secret(value.clone())));
        headers.extend(own);
        Callout { cluster: self.cluster.clone(), headers, timeout: TIMEOUT }
    }
}

impl ProviderKey {
    /// Whether a parameter does not belong into a hangup's query: it is about the call, its model, or a credential.
    fn is_dropped(&self, param: &Param<'_>) -> bool {
        let is_credential = matches!(&self.placement, Placement::Query(name) if param.is(name));
        let is_model = param.is("model") || (self.provider.kind == ProviderKind::AzureOpenAi && param.is("deployment"));
        is_credential || is_model || param.is("call_id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::provider;

    const ACCOUNT: (&str, &str) = ("openai-project", "proj_1");

    fn hangup(kind: ProviderKind, placement: Placement, path: &str) -> Hangup {
        let account = vec![(ACCOUNT.0, ACCOUNT.1.to_owned())];
        let provider = Arc::new(Provider { kind, account, ..provider() });
        let key = ProviderKey { provider, placement, value: Arc::new(Secret::new(b"Bearer sk".to_vec())) };
        Hangup::new("rtc_1", "up".into(), "api".into(), &Target::parse(path.as_bytes()), &key)
    }

    #[test]
    fn it_goes_where_the_call_came_from_with_key_and_account() {
        let hangup = hangup(ProviderKind::OpenAi, ProviderKind::OpenAi.placement(), "/v1/realtime/calls");
        assert_eq!(hangup.path, b"/v1/realtime/calls/rtc_1/hangup");
        let headers = hangup.headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
        let want = [("authorization", b"Bearer sk".as_slice()), (ACCOUNT.0, ACCOUNT.1.as_bytes())];
        assert_eq!(headers.collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_key_of_the_query_stands_there_once() {
        let hangup =
            hangup(ProviderKind::OpenAi, Placement::Query("key".into()), "/v1/realtime/calls?key=old&x=1&Key=older");
        assert_eq!(hangup.path, b"/v1/realtime/calls/rtc_1/hangup?x=1&key=Bearer%20sk");
        assert_eq!(hangup.headers.len(), 1);
    }

    #[test]
    fn it_keeps_the_query_but_for_the_model_and_the_call() {
        for (kind, query, want) in [
            (ProviderKind::AzureOpenAi, "?api-version=2025-04-01&deployment=d", "?api-version=2025-04-01"),
            (ProviderKind::AzureOpenAi, "?model=m&api-version=1&call_id=rtc_1&x", "?api-version=1&x"),
            (ProviderKind::OpenAi, "?model=m&deployment=d", "?deployment=d"),
            (ProviderKind::OpenAi, "?mode%6C=m", ""),
            (ProviderKind::OpenAi, "", ""),
        ] {
            let placement = kind.placement();
            let hangup = hangup(kind, placement, &format!("/v1/realtime/calls{query}"));
            assert_eq!(hangup.path, format!("/v1/realtime/calls/rtc_1/hangup{want}").as_bytes(), "{query}");
        }
    }
}
