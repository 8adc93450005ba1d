//! Streams of completions, which report usage only where `stream_options` says so: asked for in the client's place, and
//! taken out of the response again; denied where it must be known and nobody would say it.

use super::admission::Admission;
use super::denials::{ambiguous_stream, ambiguous_version, background, unreadable_body, unreported_stream};
use crate::denial::Denial;
use crate::http::Target;
use crate::policy::{Provider, ProviderKind};
use crate::protocol::{Inspected, InvalidBody, RequestBody, UsageChunkFilter};

/// The first version of Azure's API that knows `stream_options`.
const AZURE_STREAM_OPTIONS: &str = "2024-09";

/// Whether a stream reports usage that its client did not ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamUsage {
    /// The request goes up with what the client asked for.
    AsSent,
    /// The usage is asked for in the client's place.
    Added,
}

impl StreamUsage {
    /// What takes the usage out of the stream again, if its client did not ask for it.
    pub(crate) fn chunk_filter(self) -> Option<UsageChunkFilter> {
        match self {
            Self::AsSent => None,
            Self::Added => Some(UsageChunkFilter::new()),
        }
    }
}

/// Reads a body; `None` if it is empty.
pub(crate) fn read_body<'a>(admission: &Admission, body: &'a [u8]) -> Result<Option<RequestBody<'a>>, Denial> {
    if body.is_empty() {
        return Ok(None);
    }
    let inspected = match (admission.needs_include_usage(), admission.must_be_counted()) {
        (true, _) => Inspected::ModelAndStream,
        (false, true) => Inspected::ModelAndBackground,
        (false, false) => Inspected::Model,
    };
    let read = RequestBody::read(body, inspected).map_err(|error| match error {
        InvalidBody::AmbiguousStream => ambiguous_stream(),
        InvalidBody::Unreadable => unreadable_body(),
    })?;
    if read.is_in_background() { Err(background()) } else { Ok(Some(read)) }
}

/// Asks for the usage of what a body asks for, where that must be and can be. Under a budget of the day, no stream passes
/// that would not report it.
pub(crate) fn include_usage(
    admission: &Admission,
    target: &Target<'_>,
    provider: &Provider,
    body: Option<&mut RequestBody<'_>>,
) -> Result<StreamUsage, Denial> {
    let Some(body) = body.filter(|_| admission.needs_include_usage()) else { return Ok(StreamUsage::AsSent) };
    let has_budget = admission.caller.limits.has_budget();
    match supports_include_usage(target, provider) {
        Some(true) if body.include_usage() => Ok(StreamUsage::Added),
        None if has_budget => Err(ambiguous_version()),
        Some(false) if has_budget && body.is_stream() => Err(unreported_stream()),
        Some(_) | None => Ok(StreamUsage::AsSent),
    }
}

/// Whether a provider knows how to be asked for a stream's usage; `None` if that depends on an API version that the
/// query names twice, so that the provider may take another one than is seen here.
fn supports_include_usage(target: &Target<'_>, provider: &Provider) -> Option<bool> {
    if provider.kind != ProviderKind::AzureOpenAi {
        return Some(true);
    }
    let mut versions = target.params().filter(|param| param.is("api-version"));
    match (versions.next(), versions.next()) {
        (None, _) => Some(true),
        // Other versions than dates, such as `preview`, are later ones.
        (Some(version), None) => Some(version.value().is_some_and(|version| *version >= *AZURE_STREAM_OPTIONS)),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::credential::Caller;
    use crate::endpoint::Endpoint;
    use crate::limit::CallerLimits;
    use crate::stream::admission::testing::admission;
    use crate::testing::{caller, policy, provider};

    /// What becomes of a body sent here: whether it is made to ask, or the answer that refuses it.
    fn asked(path: &str, kind: ProviderKind, body: &str, tokens_per_day: Option<u64>) -> Result<bool, String> {
        let target = Target::parse(path.as_bytes());
        let (endpoint, _) = Endpoint::read(b"POST", &target, None).unwrap();
        let limits = CallerLimits { tokens_per_day, ..CallerLimits::default() };
        let caller = Arc::new(Caller { limits, ..caller() });
        let admission = Admission { caller, ..admission(policy(), endpoint) };
        let provider = Provider { kind, ..provider() };
        let asked = read_body(&admission, body.as_bytes())
            .and_then(|mut body| include_usage(&admission, &target, &provider, body.as_mut()));
        asked
            .map(|asked| asked == StreamUsage::Added)
            .map_err(|denial| String::from_utf8(denial.local_reply().body).unwrap())
    }

    #[test]
    fn completions_are_asked_where_their_provider_understands() {
        for (path, openai, azure) in [
            ("/v1/chat/completions", true, true),
            ("/v1/completions/", true, true),
            ("/x/Chat/%63ompletions", true, true),
            ("/openai/deployments/gpt/chat/completions?api-version=2024-06-01", true, false),
            ("/openai/deployments/gpt/chat/completions?api-version=2024-10-21", true, true),
            ("/openai/deployments/gpt/chat/completions?api-version=2024-10-21&API-version=2024-10-21", true, false),
            ("/openai/deployments/gpt/chat/completions?api-version=2024-1%0", true, false),
            ("/openai/v1/chat/completions?api-version=preview", true, true),
            ("/v1/responses", false, false),
            ("/v1/chat/completions/chatcmpl-1", false, false),
        ] {
            for (kind, want) in [(ProviderKind::OpenAi, openai), (ProviderKind::AzureOpenAi, azure)] {
                assert_eq!(asked(path, kind.clone(), r#"{"stream":true}"#, None), Ok(want), "{path}");
                assert_eq!(asked(path, kind.clone(), r#"{"stream":false}"#, None), Ok(false), "{path}");
                assert_eq!(asked(path, kind, "", None), Ok(false), "{path}");
            }
        }
    }

    #[test]
    fn under_a_budget_of_the_day_no_stream_passes_that_tells_nothing() {
        let stream = r#"{"stream":true,"stream_options":{"include_usage":true}}"#;
        for (versions, kind, body, want) in [
            ("api-version=2024-06-01", ProviderKind::AzureOpenAi, stream, Err("tells nobody")),
            ("api-version=1", ProviderKind::AzureOpenAi, r#"{"stream":true}"#, Err("tells nobody")),
            ("api-version=%zz", ProviderKind::AzureOpenAi, stream, Err("tells nobody")),
            ("api-version=2024-06-01", ProviderKind::AzureOpenAi, r#"{"stream":false}"#, Ok(false)),
            (
                "api-version=2024-06-01",
                ProviderKind::AzureOpenAi,
                r#"{"stream":false,"stream":true}"#,
                Err("only once"),
            ),
            ("api-version=2024-06-01", ProviderKind::OpenAi, stream, Ok(false)),
            ("api-version=2024-10-21&api-version=1", ProviderKind::AzureOpenAi, stream, Err("`api-version` only once")),
            (
                "api-version=2024-10-21&Api%2Dversion=2024-10-21",
                ProviderKind::AzureOpenAi,
                "{}",
                Err("`api-version` only once"),
            ),
            ("api-version=2024-10-21&api-version=1", ProviderKind::OpenAi, r#"{"stream":true}"#, Ok(true)),
            ("api-version=2024-10-21", ProviderKind::AzureOpenAi, r#"{"stream":true}"#, Ok(true)),
            ("api-version=2024-10-21", ProviderKind::AzureOpenAi, stream, Ok(false)),
        ] {
            let path = format!("/openai/deployments/gpt/chat/completions?{versions}");
            match (asked(&path, kind, body, Some(1)), want) {
                (Ok(asked), Ok(want)) => assert_eq!(asked, want, "{versions} {body}"),
                (Err(answer), Err(want)) => {
                    let is_so = answer.contains(want) && answer.contains("malformed_request");
                    assert!(is_so, "{versions} {body}: {answer}");
                }
                (got, _) => panic!("{versions} {body}: {got:?}"),
            }
        }
        let elsewhere = "/openai/deployments/gpt/embeddings?api-version=1&api-version=2";
        assert_eq!(asked(elsewhere, ProviderKind::AzureOpenAi, "{}", Some(1)), Ok(false));
    }
}
